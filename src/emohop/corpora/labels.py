"""The classes of an experiment: a corpus's own class sets, or a map that corpora share.

A map is a YAML file:

    classes: [anger, happiness, neutral, sadness]
    corpora:                            the labels of corpora by name
      meld: {anger: anger, joy: happiness, neutral: neutral, sadness: sadness}
    from: {angry: anger, …}             those of any other corpus
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from emohop.clips import Clip, LabelSet
from emohop.corpora.suggestions import unknown_name
from emohop.errors import CorpusError

MAPS = Path(__file__).parent / "maps"
_ENDINGS = (".yaml", ".yml")
_KEYS = ("classes", "corpora", "from")
FEWEST_CLASSES = 2


def map_names() -> list[str]:
    """The maps that are shipped."""
    return sorted(path.stem for path in MAPS.glob("*.yaml"))


def choose_labels(
    corpus: str, own: Sequence[LabelSet], clips: Sequence[Clip], name: str | None = None
) -> LabelSet:
    """The class set `name` of a corpus: its own, a shipped map's, or that of a YAML file.

    None is the first of its own; where it has none, every label of `clips` is a class.

    Raises:
        CorpusError: there is no such class set, or the map is not in its form.
    """
    if name is None:
        return own[0] if own else _every_label(corpus, clips)
    for labels in own:
        if labels.name == name:
            return labels
    if name in map_names():
        return _read_map(MAPS / f"{name}.yaml", corpus)
    if name.endswith(_ENDINGS):
        return _read_map(Path(name), corpus)
    known = [*(labels.name for labels in own), *map_names(), "a map FILE.yaml"]
    raise CorpusError(unknown_name(f"class set of {corpus}", name, known))


def _every_label(corpus: str, clips: Sequence[Clip]) -> LabelSet:
    found = sorted({clip.label for clip in clips if clip.label is not None})
    if len(found) < FEWEST_CLASSES:
        said = found[0] if found else "none"
        raise CorpusError(f"the clips have one label ({said}): at least two classes are needed")
    return LabelSet(corpus, tuple(found))


def _read_map(path: Path, corpus: str) -> LabelSet:
    try:
        text = path.read_text("utf-8")
        values = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - strings only: `no` stays no
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise CorpusError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict) or "classes" not in values:
        raise CorpusError(f"{path}: expected the keys {', '.join(_KEYS)}")
    for key in values:
        if key not in _KEYS:
            raise CorpusError(f"{path}: {unknown_name('key', str(key), _KEYS)}")
    classes = _names(path, values["classes"])
    by_corpus = _mapping(path, "corpora", values.get("corpora"))
    if corpus in by_corpus:
        given = _mapping(path, corpus, by_corpus[corpus])
    elif "from" in values:
        given = _mapping(path, "from", values["from"])
    else:
        named = ", ".join(map(str, by_corpus)) or "no corpus"
        raise CorpusError(f"{path} maps the labels of {named}, not of {corpus}: add it")
    given = {label: str(name) for label, name in given.items()}
    for label, name in given.items():
        if name not in classes:
            raise CorpusError(
                f"{path}: {label} goes to {name!r}: {unknown_name('class', name, classes)}"
            )
        if label in classes and label != name:
            raise CorpusError(f"{path}: {label} is a class and cannot go to {name}")
    return LabelSet(path.stem, classes, {k: v for k, v in given.items() if k != v})


def _names(path: Path, values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or len({str(v) for v in values}) != len(values):
        raise CorpusError(f"{path}: classes must be a list of names, each once")
    if len(values) < FEWEST_CLASSES:
        raise CorpusError(f"{path}: at least two classes are needed")
    return tuple(str(value) for value in values)


def _mapping(path: Path, key: str, values: Any) -> Mapping[str, Any]:
    if not values:
        return {}
    if not isinstance(values, dict):
        raise CorpusError(f"{path}: {key} must map labels to classes")
    return values
