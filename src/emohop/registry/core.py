"""A registry: entries by name, those that ship and those of plug-ins."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from emohop.errors import EmohopError, UnknownNameError, brief

PLUGINS = "EMOHOP_PLUGINS"
"""The environment variable that names plug-in modules, or files of Python code, parted by commas.
`--plugin` adds to it, so that the processes of a run inherit it."""


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

    def __init__(
        self,
        kind: str,
        group: str,
        shipped: Sequence[_Spec],
        error: type[UnknownNameError] = UnknownNameError,
    ) -> None:
        """A registry of entries of a `kind`, as messages call them; `error` is of unknown names."""
        self.kind, self.group, self.error = kind, group, error
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
            raise self.error(self.unknown(name))
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

    def names(self) -> list[str]:
        """Every name, for help texts: installed plug-ins are not imported for it."""
        installed = [entry.name for entry in entry_points(group=self.group)]
        return list(dict.fromkeys([*self.shipped, *self._added, *installed]))

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
            f"the plug-in that has it (--plugin MODULE, or {PLUGINS}=MODULE)"
        )

    def _load(self, name: str | None = None) -> None:
        """Import the plug-ins that may have `name`, or all."""
        load_plugins()
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


def add_plugin(plugin: str) -> None:
    """Import a plug-in now, and let the processes of this run inherit it.

    `plugin` is a module's name or a file FILE.py. EmohopError when it cannot be imported.
    """
    if plugin.endswith(".py"):
        plugin = str(Path(plugin).absolute())
    if "," in plugin:
        raise EmohopError(f"plug-in {plugin!r}: name one module or FILE.py, without a comma")
    named = _named()
    _import(plugin)
    if plugin not in named:
        os.environ[PLUGINS] = ",".join([*named, plugin])


def load_plugins() -> None:
    """Import the plug-ins that EMOHOP_PLUGINS names."""
    for plugin in _named():
        _import(plugin)


def _named() -> list[str]:
    return [name.strip() for name in os.environ.get(PLUGINS, "").split(",") if name.strip()]


def _import(plugin: str) -> None:
    path = Path(plugin) if plugin.endswith(".py") else None
    module = plugin if path is None else path.stem
    if module in sys.modules:
        if path is not None and getattr(sys.modules[module], "__file__", None) != str(path):
            raise EmohopError(
                f"plug-in {path}: a module {module} is there already: rename the file"
            )
        return
    try:
        if path is None:
            import_module(module)
        else:
            _import_file(module, path)
    except EmohopError:
        raise
    except Exception as error:  # whatever somebody else's module raises
        raise EmohopError(
            f"the plug-in {plugin} cannot be imported: {type(error).__name__}: {brief(error)}: is "
            "it installed, on PYTHONPATH, or a file FILE.py?"
        ) from error


def _import_file(module: str, path: Path) -> None:
    spec = spec_from_file_location(module, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not Python code")
    sys.modules[module] = made = module_from_spec(spec)
    try:
        spec.loader.exec_module(made)
    except BaseException:
        del sys.modules[module]
        raise


def resolve(reference: Reference) -> Callable[..., Any]:
    """The function or class that a reference stands for."""
    if not isinstance(reference, str):
        return reference
    module, _, name = reference.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found
