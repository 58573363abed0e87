"""A prepared corpus copied to where it is needed, every file against its checksum."""

from __future__ import annotations

import hashlib
from pathlib import Path

from emohop.errors import EmohopError
from emohop.processes import Progress
from emohop.storage.backends import Folder, place
from emohop.storage.locks import locked
from emohop.storage.manifest import MANIFEST, Manifest


def fetch(where: str | Path, folder: Path, progress: Progress | None = None) -> Manifest:
    """Copy the prepared corpus at a path or URL to `folder`; files that are there already stay.

    Raises:
        EmohopError: there is no prepared corpus, a file is not the one that was written, or
            `folder` holds another corpus.
    """
    source, to = place(where), Folder(folder)
    try:
        data = source.get(MANIFEST)
    except FileNotFoundError:
        raise EmohopError(f"no {MANIFEST} in {where}: it is not a finished corpus") from None
    manifest = Manifest.parse(data, f"{where}/{MANIFEST}")
    if manifest.parts:
        raise EmohopError(f"{where} only joins other corpora: fetch those")
    sums = manifest.checksums
    with locked(folder):
        here = to.names()
        if MANIFEST in here and to.get(MANIFEST) != data:
            raise EmohopError(f"{folder} holds another prepared corpus: choose a new folder")
        for done, (name, sha256) in enumerate(sums.items(), 1):
            if not _is_there(to, name, sha256):
                content = source.get(name)
                if hashlib.sha256(content).hexdigest() != sha256:
                    raise EmohopError(f"{where}/{name} is damaged: prepare it again there")
                to.put(name, content)
            if progress is not None:
                progress(done, len(sums))
        for name in source.names() - {MANIFEST, *here, *sums}:
            if not name.startswith("."):
                to.put(name, source.get(name))
        to.put(MANIFEST, data)
    return manifest


def _is_there(to: Folder, name: str, sha256: str) -> bool:
    try:
        return hashlib.sha256(to.get(name)).hexdigest() == sha256
    except FileNotFoundError:
        return False
