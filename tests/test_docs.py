"""Numbers that the documentation works out are those that the library computes."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from emohop.evaluation.metrics import TITLES, scores

DOCS = Path(__file__).parents[1] / "docs"


def test_the_example_of_wa_and_ua() -> None:
    text = (DOCS / "wa-and-ua.md").read_text("utf-8")
    lines = re.findall(r"^\| \*\*(\w+)\*\* \((\d+)\) \| (\d) \| (\d) \| (\d) \|$", text, re.M)
    confusion = [[int(cell) for cell in line[2:]] for line in lines]
    assert [sum(row) for row in confusion] == [int(line[1]) for line in lines]
    found = scores(confusion)
    names = {title: name for name, title in TITLES.items()}
    worked = re.findall(r"^\| ([\w ()]+) \| \((.+)\) / (\d+) \| ([\d.]+) \|$", text, re.M)
    assert len(worked) == 4
    for title, terms, divisor, result in worked:
        value = eval(terms.replace("·", "*")) / int(divisor)
        assert f"{value:.3f}" == result
        assert float(found[names[title]]) == pytest.approx(value)


def test_links_lead_somewhere() -> None:
    for page in [*DOCS.rglob("*.md"), DOCS.parent / "README.md"]:
        prose = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.S)
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", prose):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_tables_and_schemas_follow_from_the_code() -> None:
    pinned = (DOCS.parent / "constraints.txt").read_text("utf-8")
    if f"pydantic=={version('pydantic')}" not in pinned:
        pytest.skip("schemas are as the pinned pydantic writes them")
    words = [sys.executable, str(DOCS / "make_tables.py"), "--check"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
