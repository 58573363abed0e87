"""Files of facts that emohop writes for itself and for others: versioned JSON, checked when read.

A subclass is one kind of file: its fields are the file's keys, `version` is the only version that
it reads, and `remedy` says what to do about a file that is missing or damaged.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from emohop.errors import EmohopError, UnknownNameError, brief
from emohop.files import replacing

_Document = TypeVar("_Document", bound="Document")


class Block(BaseModel):
    """A block of a file: its keys are these and no others."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


class Document(Block):
    """The content of a JSON file. Subclasses declare `version: Literal[N] = N` among their fields.

    Example:
        >>> class Note(Document):
        ...     version: Literal[1] = 1
        ...     clips: int
        >>> Note.parse(Note(clips=3).to_bytes(), "note.json").clips
        3
    """

    remedy: ClassVar[str] = "use the version of emohop that wrote it"
    """What to do next, as the end of an error."""
    computed: ClassVar[tuple[str, ...]] = ()
    """Keys that the file has for its readers and that follow from the others."""

    @classmethod
    def parse(cls: type[_Document], data: bytes, where: str | Path) -> _Document:
        """The document in a file's bytes.

        Raises:
            EmohopError: one line that names `where` and the first key that is wrong, or the
                version where it is another.
        """
        try:
            values = json.loads(data)
            found = _version(values) if isinstance(values, dict) else None
        except KeyError:
            raise EmohopError(f"{where} is damaged (it has no version): {cls.remedy}") from None
        except (ValueError, RecursionError) as error:
            reason = brief(error)
            raise EmohopError(f"{where} is damaged (not JSON: {reason}): {cls.remedy}") from None
        known = cls.model_fields["version"].default
        if found is not None and (type(found) is not int or found != known):
            raise EmohopError(
                f"{where}: version {brief(found)}, this emohop reads version {known}: use the "
                f"version of emohop that wrote it, or {cls.remedy}"
            )
        if cls.computed and isinstance(values, dict):
            data = json.dumps({k: v for k, v in values.items() if k not in cls.computed}).encode()
        try:
            return cls.model_validate_json(data, strict=True)
        except UnknownNameError as error:
            raise UnknownNameError(f"{where}: {error}") from None
        except ValidationError as error:
            raise EmohopError(f"{where} is damaged ({_reason(error)}): {cls.remedy}") from None

    @classmethod
    def read(cls: type[_Document], path: Path) -> _Document:
        """The document in a file; EmohopError as `parse`, or when there is no such file."""
        try:
            data = path.read_bytes()
        except OSError as error:
            reason = error.strerror or error
            raise EmohopError(f"{path} cannot be read ({reason}): {cls.remedy}") from None
        return cls.parse(data, path)

    def to_json(self) -> dict[str, Any]:
        """The document as plain values, in the order of its fields."""
        values: dict[str, Any] = self.model_dump(mode="json")
        return values

    def to_bytes(self) -> bytes:
        """The file: UTF-8, indented by one space. ValueError for NaN and infinity."""
        text = json.dumps(self.to_json(), indent=1, ensure_ascii=False, allow_nan=False)
        return (text + "\n").encode()

    def write(self, path: Path) -> None:
        """Put the file in place, whole or not at all; EmohopError for NaN and infinity."""
        try:
            data = self.to_bytes()
        except ValueError as error:
            raise EmohopError(f"{path} is not written: it would hold NaN or infinity") from error
        with replacing(path) as file:
            file.write(data)


def _version(values: dict[str, Any]) -> object:
    """The version that a file says; files of long ago call it their format."""
    return values["format"] if "version" not in values and "format" in values else values["version"]


def _reason(error: ValidationError) -> str:
    """The first key that is wrong and how, in a few words."""
    first = error.errors(include_url=False, include_context=False)[0]
    key = ".".join(str(part) for part in first["loc"]) or "the whole file"
    message = first["msg"].removeprefix("Value error, ")
    return brief(f"{key}: {message[:1].lower()}{message[1:]}")
