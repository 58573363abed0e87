"""Forms, read as they come: a file goes to disk once, and a field that is not known ends it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl

from fastapi import HTTPException
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from emohop.errors import brief
from emohop.serving.uploads import Upload

MULTIPART, URLENCODED = "multipart/form-data", "application/x-www-form-urlencoded"
HEADER_BYTES = 8192
"""Of one part of a form at most."""
SPOOL_BYTES = 1 << 20
"""Of a file that are in memory before they are written."""
LONGEST_NAME = 200
BYTES_PER_SIGN = 4
"""Of UTF-8, at most; an encoded form has three for each."""


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file that was sent."""

    name: str
    """What its sender calls it, on one line and without folders."""
    path: Path


@dataclass(frozen=True, slots=True)
class Form:
    """What was sent: texts and files by their fields."""

    texts: dict[str, str] = field(default_factory=dict)
    files: list[SentFile] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Fields:
    """What may be sent: texts, with the longest of each in characters, and files."""

    texts: Mapping[str, int]
    file: str
    most_files: int = 1

    @property
    def names(self) -> str:
        """All of them, for people."""
        return ", ".join(sorted([*self.texts, self.file]))


async def read_form(upload: Upload, fields: Fields) -> Form:
    """A request's form, its files on disk.

    Raises HTTPException for a body that is no form (415, 400), fields that are not known, come
    twice or are too long (422), and what `Upload` raises.
    """
    request = upload.request
    given = request.headers.get("content-type", "")
    kind, options = parse_options_header(given)
    if request.query_params:
        name = next(iter(request.query_params))
        raise HTTPException(
            422, f"{brief(name)}: it stands in the address: send it as a field of the form"
        )
    if kind == MULTIPART.encode():
        if not (boundary := options.get(b"boundary")):
            raise HTTPException(400, "the form cannot be read: its header names no boundary")
        return await _Multipart(upload, fields, boundary).read()
    if kind == URLENCODED.encode() or not given:
        return await _urlencoded(upload, fields)
    raise HTTPException(
        415,
        f"a body of type {brief(given.partition(';')[0].strip())}: send a form "
        "(multipart/form-data) with a file, a text or both, as curl -F file=@clip.wav "
        "-F 'text=Oh no!' does",
    )


async def _urlencoded(upload: Upload, fields: Fields) -> Form:
    most = sum(fields.texts.values()) * BYTES_PER_SIGN * 3 + HEADER_BYTES
    body = bytearray()
    async for chunk in upload.chunks():
        body += chunk
        if len(body) > most:
            raise HTTPException(422, f"a form of more than {most} bytes: send it as {MULTIPART}")
    try:
        found = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100
        )
    except ValueError as error:
        raise HTTPException(400, f"the form cannot be read: {brief(error)}") from None
    form = Form()
    for name, value in found:
        _check(fields, form, name, is_file=False)
        form.texts[name] = _fitting(fields, name, value)
    return form


@dataclass
class _Part:
    """A part of a form while it is read."""

    name: str
    file: SentFile | None
    content: bytearray = field(default_factory=bytearray)
    size: int = 0


class _Multipart:
    """A form of several parts."""

    def __init__(self, upload: Upload, fields: Fields, boundary: bytes) -> None:
        self.upload, self.fields, self.form = upload, fields, Form()
        self._happened: list[tuple[str, bytes]] = []
        self._headers: dict[bytes, bytes] = {}
        self._name, self._value = b"", b""
        self._part: _Part | None = None
        self._whole = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_data": lambda data, a, b: self._note("data", data[a:b]),
                    "on_part_end": lambda: self._note("end"),
                    "on_header_field": lambda data, a, b: self._header(name=data[a:b]),
                    "on_header_value": lambda data, a, b: self._header(value=data[a:b]),
                    "on_header_end": self._end_of_header,
                    "on_headers_finished": self._end_of_headers,
                    "on_end": lambda: self._note("whole"),
                },
            )
        except FormParserError as error:
            raise HTTPException(400, f"the form cannot be read: {brief(error)}") from None

    async def read(self) -> Form:
        """All of it."""
        try:
            async for chunk in self.upload.chunks():
                self._parser.write(chunk)
                await self._work()
        except FormParserError as error:
            raise HTTPException(400, f"the form cannot be read: {brief(error)}") from None
        if not self._whole:
            raise HTTPException(400, "the form cannot be read: it ends in the middle")
        return self.form

    def _note(self, what: str, content: bytes = b"") -> None:
        self._happened.append((what, content))

    def _header(self, name: bytes = b"", value: bytes = b"") -> None:
        self._name, self._value = self._name + name, self._value + value
        if len(self._name) + len(self._value) > HEADER_BYTES:
            raise FormParserError("a header is too long")

    def _end_of_header(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _end_of_headers(self) -> None:
        said, self._headers = self._headers.get(b"content-disposition", b""), {}
        self._note("begin", said)

    async def _work(self) -> None:
        """Do what follows from what the parser found."""
        happened, self._happened = self._happened, []
        for what, content in happened:
            if what == "begin":
                self._part = self._begun(content)
            elif what == "data" and self._part is not None:
                await self._add(self._part, content)
            elif what == "end" and self._part is not None:
                await self._finish(self._part)
                self._part = None
            elif what == "whole":
                self._whole = True

    def _begun(self, disposition: bytes) -> _Part:
        _, options = parse_options_header(disposition)
        if b"name" not in options:
            raise HTTPException(400, "the form cannot be read: a part of it has no name")
        name, filename = _text(options[b"name"]), options.get(b"filename")
        _check(self.fields, self.form, name, is_file=filename is not None)
        if filename is None:
            return _Part(name, None)
        return _Part(name, SentFile(_plain(_text(filename)), self.upload.new_file()))

    async def _add(self, part: _Part, content: bytes) -> None:
        part.content += content
        part.size += len(content)
        if part.file is None:
            if part.size > (most := self.fields.texts[part.name]) * BYTES_PER_SIGN:
                raise HTTPException(422, too_long(part.name, f"more than {most}", most))
        elif len(part.content) >= SPOOL_BYTES:
            await self.upload.write(part.file.path, part.content)
            part.content.clear()

    async def _finish(self, part: _Part) -> None:
        if part.file is not None:
            if part.size or part.file.name:  # of a page where no file was chosen there is neither
                await self.upload.write(part.file.path, part.content)
                self.form.files.append(SentFile(part.file.name or "upload", part.file.path))
            return
        try:
            said = part.content.decode("utf-8")
        except UnicodeDecodeError:
            raise HTTPException(422, f"{part.name}: it is no UTF-8") from None
        self.form.texts[part.name] = _fitting(self.fields, part.name, said)


def _check(fields: Fields, form: Form, name: str, *, is_file: bool) -> None:
    """Whether this may come now."""
    if name != fields.file and name not in fields.texts:
        raise HTTPException(422, f"{brief(name)}: only {fields.names} are accepted")
    if is_file != (name == fields.file):
        how = "as a field, without" if is_file else "as a file, with"
        raise HTTPException(422, f"{name}: send it {how} a file name")
    if is_file and len(form.files) >= fields.most_files:
        most = fields.most_files
        said = "sent twice" if most == 1 else f"up to {most} are accepted at once"
        raise HTTPException(422, f"{name}: {said}")
    if name in form.texts:
        raise HTTPException(422, f"{name}: sent twice")


def _fitting(fields: Fields, name: str, said: str) -> str:
    if len(said) > (most := fields.texts[name]):
        raise HTTPException(422, too_long(name, len(said), most))
    return said


def too_long(name: str, count: object, most: int) -> str:
    """What is said of a text of so many characters, where so many are accepted."""
    return f"{name}: {count} characters; up to {most} are accepted"


def _text(name: bytes) -> str:
    """A name in the head of a part."""
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name.decode("latin-1")


def _plain(name: str) -> str:
    """A file's name on one line and without folders."""
    plain = "".join(sign if sign.isprintable() else " " for sign in name)
    return plain.replace("\\", "/").rpartition("/")[2].strip()[:LONGEST_NAME]
