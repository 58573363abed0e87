from __future__ import annotations

from pathlib import Path

import pytest

from emohop import corpora
from emohop.clips import Clip
from emohop.corpora.labels import map_names
from emohop.errors import CorpusError
from emohop.registry.corpora import CORPORA


@pytest.mark.parametrize("name", map_names())
def test_shipped_maps_give_every_corpus_the_same_classes(name: str) -> None:
    sets = {corpus: corpora.class_set(corpus, name) for corpus in CORPORA}
    assert len({labels.labels for labels in sets.values()}) == 1
    assert {labels.name for labels in sets.values()} == {name}
    for corpus, labels in sets.items():
        own = {label for s in CORPORA[corpus].class_sets for label in s.labels}
        reached = {labels.class_of(label) for label in own or {*labels.labels, *labels.merged}}
        if corpus != "iemocap":  # whose own class sets leave fear and disgust out
            assert reached - {None} == set(labels.labels), corpus


def test_common_4_on_iemocap_is_the_usual_one() -> None:
    common, usual = (corpora.class_set("iemocap", n) for n in ("common-4", "iemocap-4"))
    to = {"anger": "ang", "happiness": "hap", "neutral": "neu", "sadness": "sad", None: None}
    for label in ("ang", "hap", "exc", "neu", "sad", "fru", "xxx"):
        assert to[common.class_of(label)] == usual.class_of(label)


def test_a_map_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(
        "classes: [good, bad]\n"
        "corpora:\n  meld: {joy: good, anger: bad}\n"
        "from: {1: good, yes: bad}\n"
    )
    labels = corpora.class_set("meld", str(path))
    assert (labels.name, labels.labels) == ("two", ("good", "bad"))
    assert [labels.class_of(x) for x in ("joy", "anger", "neutral", None)] == [
        "good",
        "bad",
        None,
        None,
    ]
    other = corpora.class_set("folder", str(path), [Clip("a", label="1")])
    assert other.class_of("1") == "good"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("classes: [a, b]\n", "maps the labels of no corpus, not of meld: add it"),
        ("classes: [a, b]\ncorpora: {emodb: {anger: a}}\n", "of emodb, not of meld"),
        ("classes: [a]\nfrom: {x: a}\n", "at least two classes"),
        ("classes: [a, a]\nfrom: {x: a}\n", "each once"),
        ("classes: a\n", "must be a list"),
        ("classes: [a, b]\nfrom: {x: c}\n", "x goes to 'c': unknown class: 'c'"),
        ("classes: [a, b]\nfrom: {a: b}\n", "a is a class and cannot go to b"),
        ("classes: [a, b]\nfrom: [x]\n", "from must map labels to classes"),
        ("classes: [a, b]\nform: {x: a}\n", r"unknown key: 'form' \(did you mean from\?\)"),
        ("- a\n", "expected the keys classes, corpora, from"),
        ("a: [\n", "is not valid YAML"),
        (None, "cannot be read"),
    ],
)
def test_bad_maps(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "map.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(CorpusError, match=message) as caught:
        corpora.class_set("meld", str(path))
    assert "\n" not in str(caught.value)


def test_an_unknown_name() -> None:
    with pytest.raises(CorpusError, match=r"unknown class set of meld: 'comon-4' \(did you mean"):
        corpora.class_set("meld", "comon-4")
