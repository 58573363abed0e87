"""The project's own promises: what imports what, and what is committed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest

from tests.versions import name_of

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "numpy", "lightning", "sklearn", "skimage", "pyarrow", "av", "transformers")


def tracked(root: Path) -> list[str]:
    """The files that git tracks; what else lies in a checkout is its owner's."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return sorted(name for name in listed.stdout.split("\0") if (root / name).is_file())


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


def private_names(root: Path) -> list[str]:
    """Where a tracked file names a path of one machine, or the host of a package registry."""
    parts = [
        ("/wo", "rk/"),
        ("/ro", "ot/"),
        ("pypi", r"\.org"),
        ("python", "hosted"),
        ("deb.", "debian"),
        ("npm", "js.org"),
    ]
    found = []
    for name in tracked(root):
        try:
            text = (root / name).read_text("utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{name}: {a}{b}" for a, b in parts if re.search(a + b, text)]
    return found


def test_no_machine_path_and_no_registry_host() -> None:
    assert private_names(ROOT) == []


def test_what_git_does_not_track_is_not_read(tmp_path: Path) -> None:
    """`make check` passes beside a log of one's own, and with names that git would quote."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    for name in ("fällt auf.txt", "make test.log"):
        (tmp_path / name).write_text("/wo" + "rk/checkout/src", "utf-8")
    subprocess.run(["git", "add", "fällt auf.txt"], cwd=tmp_path, check=True)
    assert private_names(tmp_path) == ["fällt auf.txt: /wo" + "rk/"]


def test_continuous_integration_calls_both_gates() -> None:
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    assert "make check" in script.read_text()
    assert "make test" in script.read_text()


PLANTED = {
    "recipes/__init__.py": ["lightning", "fastapi", "onnx", "matplotlib", "torch.nn"],
    "evaluation/runs.py": ["pyarrow", "emohop.training", "torch"],
    "files.py": ["typer", "transformers", "joblib", "emohop.clips"],
    "clips.py": ["optuna", "faster_whisper"],
}
"""Imports that stand nowhere, by the file that they are added to."""


def test_every_import_contract_closes_on_a_planted_import(tmp_path: Path) -> None:
    """Each contract breaks on an import that it forbids, in modules that no list has to name."""
    shutil.copytree(ROOT / "src", tmp_path / "src")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    assert lint(tmp_path) == []
    for name, modules in PLANTED.items():
        path = tmp_path / "src/emohop" / name
        planted = "".join(f"import {module}\n" for module in modules)
        path.write_text(f"{path.read_text('utf-8')}\n{planted}", "utf-8")
    settings = (ROOT / "pyproject.toml").read_text("utf-8")
    contracts = re.findall(r'\[\[tool.importlinter.contracts\]\]\nname = "(.*)"', settings)
    assert set(lint(tmp_path)) == set(contracts)


def test_a_circle_inside_a_package_is_seen(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / "src/emohop/models/batch.py"
    path.write_text(f"{path.read_text('utf-8')}\nimport emohop.models.encoder\n", "utf-8")
    assert lint(tmp_path) == ["No import circles, inside packages too"]


def test_private_operators_stay_behind_one_door() -> None:
    kernels = ROOT / "src/emohop/models/kernels"
    for path in sorted((ROOT / "src").rglob("*.py")):
        if kernels not in path.parents:
            text = path.read_text("utf-8")
            assert "torch.ops.aten" not in text, path
            assert not re.search(r"emohop\.models\.kernels\.\w+ import", text), path


def test_files_that_the_documentation_names_are_there() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        text = page.read_text("utf-8")
        for name in re.findall(r"(?<![\w/.])((?:[\w-]+/)+[\w-]+\.py)\b", text):
            homes = (ROOT, ROOT / "src/emohop", ROOT / "src")
            there = any((home / name).exists() for home in homes)
            assert there or name.startswith("emohop_example/"), f"{page.name} names {name}"


def lint(folder: Path) -> list[str]:
    """The names of the contracts that are broken in a copy of the project."""
    command = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run(
        [str(command), "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "src"), "NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Contracts:" in result.stdout, result.stdout + result.stderr
    broken = re.findall(r"^(.*) BROKEN", result.stdout, re.MULTILINE)
    assert (result.returncode != 0) == bool(broken)
    return broken


def test_every_dependency_is_pinned_for_continuous_integration() -> None:
    """`python tests/versions.py --pin` writes them."""
    pinned = {name_of(line) for line in (ROOT / "constraints.txt").read_text().splitlines()}
    wanted = {name_of(one) for one in requires("emohop") or ()}
    assert {"torch", "av", "fastapi", "pytest"} <= wanted
    assert wanted - {"emohop"} <= pinned
