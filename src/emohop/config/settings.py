"""What all settings share: unknown names are refused, errors are one line."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, TypeVar, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from emohop.errors import EmohopError, UnknownNameError

_Model = TypeVar("_Model", bound=BaseModel)


class Settings(BaseModel):
    """A group of settings that does not change once it is made."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    also: ClassVar[tuple[str, ...]] = ()
    """What a file may hold beside these settings."""


def checked(kind: type[_Model], values: object) -> _Model:
    """`values` as settings of a kind, or an error of one line that names what is wrong."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise EmohopError(_one_line(kind, error)) from None


def settings_of(kind: type[_Model]) -> Callable[[object], _Model]:
    """A validator for fields of files that are settings: their own errors name the setting."""

    def read(values: object) -> _Model:
        try:
            return checked(kind, values)
        except UnknownNameError:
            raise  # the file is whole: a plug-in is missing here
        except EmohopError as error:
            raise ValueError(str(error)) from None

    return read


def put(values: dict[str, Any], key: str, value: object) -> None:
    """Set a value by its dotted key."""
    *path, last = key.split(".")
    for part in path:
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise EmohopError(f"setting {key}: {part} is a value, not a group of settings")
    values[last] = value


def flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Values by dotted key, the way back from `put`."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _one_line(kind: type[BaseModel], error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = [*_keys(kind), *getattr(kind, "also", ())]
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
        return f"unknown setting {key!r}: did you mean {near[0]!r}? (settings: docs/settings.md)"
    return f"setting {key} = {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}"


def _keys(kind: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in kind.model_fields.items():
        inner = field.annotation
        yield f"{prefix}{name}"
        # get_origin: on Python 3.10 dict[str, int] is a type, too, but not a class
        if get_origin(inner) is None and isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _keys(inner, f"{prefix}{name}.")
