"""What users import: `emohop.__all__` is all of it, each with an example that runs."""

from __future__ import annotations

import doctest
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import emohop
from emohop.config import FeatureSettings
from emohop.preparation import prepare
from emohop.recipes import make_recipe
from emohop.training.run import train

ROOT = Path(__file__).parents[1]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL
DATA = ("MODELS", "FEATURES", "CORPORA", "__version__")
"""What is not a function or class."""


@pytest.fixture(scope="module")
def demo(synthetic_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `demo` is as `emohop demo demo` leaves it, only smaller."""
    folder = tmp_path_factory.mktemp("here")
    demo = folder / "demo"
    demo.mkdir()
    (demo / "corpus").symlink_to(synthetic_corpus)
    features = FeatureSettings(video="hog", prosody=False)
    prepare("iemocap", synthetic_corpus, demo / "prepared", features=features, labels="iemocap-4")
    small = ["training.max_epochs=1", "folds=[1]", "model.audio.hidden=4", "model.text.hidden=4"]
    train(demo / "prepared", demo / "runs/amh", make_recipe("demo", small))
    return folder


@pytest.mark.parametrize("name", [name for name in emohop.__all__ if name not in DATA])
def test_each_example_runs(name: str, demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(demo)
    found = getattr(emohop, name)
    text = inspect.getdoc(found) or ""
    test = doctest.DocTestParser().get_doctest(
        text, {"emohop": emohop, "Path": Path}, name, None, None
    )
    assert test.examples, f"{name} has no example"
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=said.append)
    assert result.failed == 0, "".join(said)


def test_each_name_is_there_and_there_is_no_other() -> None:
    assert sorted(emohop.__all__) == emohop.__dir__()
    assert emohop.__all__ == sorted(
        emohop.__all__, key=lambda n: (n.lower() == n, not n.isupper(), n)
    )
    with pytest.raises(AttributeError, match="module 'emohop' has no attribute 'nothing'"):
        emohop.nothing  # noqa: B018


def test_importing_it_imports_nothing_heavy() -> None:
    code = (
        "import sys, emohop\n"
        "heavy = {'torch', 'numpy', 'pydantic', 'pyarrow', 'lightning'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
        "emohop.Clip, emohop.CORPORA\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_documentation_imports_from_nowhere_else() -> None:
    deeper = re.compile(r"^\s*(?:from emohop\.\S+ import|import emohop\.)", re.M)
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        text = page.read_text("utf-8")
        assert not deeper.findall(text), f"{page.name} imports from deeper than emohop"
        for names in re.findall(r"^\s*from emohop import ([\w, ]+)$", text, re.M):
            assert {name.strip() for name in names.split(",")} <= set(emohop.__all__), page.name


def test_each_public_function_says_what_it_takes() -> None:
    for name in emohop.__all__:
        found: Any = getattr(emohop, name)
        if inspect.isfunction(found):
            hints = inspect.signature(found).parameters.values()
            assert all(parameter.annotation is not parameter.empty for parameter in hints)
