"""The project's own promises: what imports what, what the README lists, what is committed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "numpy", "lightning", "sklearn", "skimage", "pyarrow", "av", "transformers")


def files() -> list[str]:
    """What git tracks, or every file of the source tree where there is no git."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return sorted(name for name in listed.stdout.splitlines() if (ROOT / name).is_file())


@pytest.mark.parametrize(
    "code",
    [
        "import emohop",
        "import sys; sys.argv = ['emohop', '--help']; from emohop.cli import app; "
        "app(standalone_mode=False)",
    ],
)
def test_nothing_heavy_is_imported(code: str) -> None:
    look = f"\nimport sys; print('\\n' + ' '.join(m for m in {HEAVY!r} if m in sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code + look], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1].strip() == ""


def test_the_readme_lists_every_file_once() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    block = text.split("## Files", 1)[1].split("```text")[1].split("```")[0]
    listed = [line.split()[0] for line in block.splitlines() if line.strip()]
    folders = tuple(name for name in listed if name.endswith("/"))
    assert len(listed) == len(set(listed))
    for line in block.splitlines():
        assert not line.strip() or len(line.split()) > 1, f"{line} says nothing of its file"
    expected = {name for name in files() if not name.startswith(folders)}
    assert set(listed) - set(folders) == expected
    assert all((ROOT / folder).is_dir() for folder in folders)


def test_no_machine_path_and_no_registry_host() -> None:
    parts = [
        ("/wo", "rk/"),
        ("/ro", "ot/"),
        ("pypi", r"\.org"),
        ("python", "hosted"),
        ("deb.", "debian"),
        ("npm", "js.org"),
    ]
    found = []
    for name in files():
        try:
            text = (ROOT / name).read_text("utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{name}: {a}{b}" for a, b in parts if re.search(a + b, text)]
    assert found == []


def test_continuous_integration_calls_both_gates() -> None:
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    assert "make check" in script.read_text()
    assert "make test" in script.read_text()
