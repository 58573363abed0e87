"""A registry: entries by name, those that ship and those of plug-ins."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Generic, Protocol, TypeVar

from emohop.errors import EmohopError, brief

PLUGINS = "EMOHOP_PLUGINS"
"""The environment variable that names plug-in modules, parted by commas; processes inherit it."""


class Spec(Protocol):
    """What an entry has at least."""

    @property
    def name(self) -> str:
        """What it is called in settings and on the command line."""


_Spec = TypeVar("_Spec", bound=Spec)

Reference = str | Callable[..., Any]
"""A function or class, or where it is: `package.module:name`, imported when it is used."""


class Registry(Generic[_Spec]):
    """Entries of one kind by name.

    Those that ship come first. A plug-in adds others, by an entry point of `group` (its value is a
    spec) or by a module that calls `add`, which the variable EMOHOP_PLUGINS names. A plug-in is
    imported when a name is asked for that does not ship, or when all names are listed.
    """

    def __init__(self, kind: str, group: str, shipped: Sequence[_Spec]) -> None:
        """A registry of entries of a `kind`, as messages call them."""
        self.kind, self.group = kind, group
        self.shipped: dict[str, _Spec] = {spec.name: spec for spec in shipped}
        self._added: dict[str, _Spec] = {}

    def add(self, spec: _Spec) -> _Spec:
        """Add an entry; EmohopError when its name is taken by another."""
        taken = self.shipped.get(spec.name) or self._added.get(spec.name)
        if taken is not None and taken != spec:
            raise EmohopError(
                f"two entries are called {self.kind} {spec.name!r}: rename the plug-in's"
            )
        if taken is None:
            self._added[spec.name] = spec
        return spec

    def __getitem__(self, name: str) -> _Spec:
        found = self.get(name)
        if found is None:
            raise EmohopError(self.unknown(name))
        return found

    def get(self, name: str) -> _Spec | None:
        """The entry of a name, or None; EmohopError when its plug-in cannot be loaded."""
        found = self.shipped.get(name) or self._added.get(name)
        if found is None:
            self._load(name)
            found = self._added.get(name)
        return found

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        """Every name, those that ship first."""
        self._load()
        return iter([*self.shipped, *self._added])

    def values(self) -> list[_Spec]:
        """Every entry, those that ship first."""
        return [self[name] for name in self]

    def unknown(self, name: str) -> str:
        """One line about a name that nothing has: the nearest one, all of them, plug-ins."""
        names = list(self)
        near = difflib.get_close_matches(name, names, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        return (
            f"unknown {self.kind} {brief(name)!r}{hint}: give one of {', '.join(names)}, or name "
            f"the module of the plug-in that has it in {PLUGINS}"
        )

    def _load(self, name: str | None = None) -> None:
        """Import the plug-ins that may have `name`, or all."""
        for module in filter(None, os.environ.get(PLUGINS, "").split(",")):
            _import(module.strip())
        everything = entry_points(group=self.group)
        wanted = everything if name is None else everything.select(name=name)
        for entry in wanted:
            if entry.name in self._added:
                continue
            try:
                spec = entry.load()
            except Exception as error:  # whatever somebody else's module raises
                raise EmohopError(
                    f"the plug-in {entry.value} for {self.kind} {entry.name!r} cannot be loaded: "
                    f"{type(error).__name__}: {brief(error)}"
                ) from error
            if getattr(spec, "name", None) != entry.name:
                raise EmohopError(
                    f"the plug-in {entry.value} is not the spec of {self.kind} {entry.name!r}"
                )
            self.add(spec)


def _import(module: str) -> None:
    if module in sys.modules:
        return
    try:
        import_module(module)
    except EmohopError:
        raise
    except Exception as error:  # whatever somebody else's module raises
        raise EmohopError(
            f"the plug-in module {module} cannot be imported: {type(error).__name__}: "
            f"{brief(error)}: is it installed, or on PYTHONPATH?"
        ) from error


def resolve(reference: Reference) -> Callable[..., Any]:
    """The function or class that a reference stands for."""
    if not isinstance(reference, str):
        return reference
    module, _, name = reference.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found
