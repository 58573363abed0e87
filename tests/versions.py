"""Run the tests with the oldest and the newest version of each dependency, on each Python.

    make test-versions
    python tests/versions.py --pythons 3.11 --resolutions lowest -- -k "not browser"
    python tests/versions.py --pin    # writes constraints.txt

What `pyproject.toml` admits is resolved by uv, wheels only; torch is the one of constraints.txt,
since another is gigabytes of CUDA. Each environment is kept in `.versions/`. The words after `--`
go to pytest. The exit status is 1 if any run failed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from importlib.metadata import requires
from pathlib import Path

ROOT = Path(__file__).parents[1]
HOME = ROOT / ".versions"
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
RESOLUTIONS = {"lowest": "lowest-direct", "newest": "highest"}
_OF_TORCH = re.compile(r"^(torch|triton|nvidia-|cuda-)")


def find_python(version: str) -> Path | None:
    """An interpreter of a version: on the path, else pyenv's."""
    found = shutil.which(f"python{version}")
    if found is not None and works(Path(found), version):
        return Path(found)
    folder = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for path in sorted(folder.glob(f"{version}.*/bin/python"), reverse=True):
        if works(path, version):
            return path
    return None


def works(path: Path, version: str) -> bool:
    """Whether it is there (pyenv has stand-ins that are not) and of that version."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([str(path), "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() == version


def resolve(version: str, resolution: str) -> str:
    """Pinned requirements, a line each."""
    words = ["uv", "pip", "compile", "-q", "--no-build", "--extra", "dev", "--no-header"]
    words += ["--resolution", RESOLUTIONS[resolution], "--python-version", version, "--no-annotate"]
    done = subprocess.run(
        [*words, "pyproject.toml"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{version} {resolution}: {done.stderr.strip().splitlines()[-1]}")
    pins = [line for line in done.stdout.splitlines() if not _OF_TORCH.match(line)]
    torch = re.search(r"^torch==.*$", (ROOT / "constraints.txt").read_text("utf-8"), re.M)
    assert torch is not None
    return "\n".join([*pins, torch.group(), ""])


def install(python: Path, folder: Path, pins: str) -> Path:
    """An environment of these requirements, and the project itself; its interpreter."""
    inside = folder / "bin/python"
    known = folder / "requirements.txt"
    if not known.exists() or known.read_text("utf-8") != pins:
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([str(python), "-m", "venv", str(folder)], check=True)
        wanted = folder / "wanted.txt"
        wanted.write_text(pins, "utf-8")
        pip = [str(inside), "-m", "pip", "install", "-q"]
        subprocess.run([*pip, "-r", str(wanted)], check=True)
        subprocess.run([*pip, "--no-deps", "-e", str(ROOT)], check=True)
        wanted.rename(known)
    return inside


def pin() -> None:
    """Write constraints.txt: one version of each direct dependency that every Python here takes.

    What it pins already stays, as far as pyproject.toml admits it: delete a line to move it on.
    """
    path = ROOT / "constraints.txt"
    head, kept = (_lines(path.read_text("utf-8"), comments) for comments in (True, False))
    pins = HOME / "pins.txt"
    pins.write_text("\n".join(kept), "utf-8")
    torch = HOME / "torch.txt"
    torch.write_text("\n".join(line for line in kept if line.startswith("torch==")), "utf-8")
    words = ["uv", "pip", "compile", "-q", "--universal", "--no-build", "--extra", "dev"]
    words += ["--no-header", "--no-annotate", "--python-version", PYTHONS[0], "-c", str(torch)]
    subprocess.run([*words, "-o", str(pins), "pyproject.toml"], cwd=ROOT, check=True)
    direct = {name_of(wanted) for wanted in requires("emohop") or ()}
    found = [line for line in _lines(pins.read_text("utf-8"), False) if name_of(line) in direct]
    path.write_text("\n".join([*head, *found, ""]), "utf-8")


def _lines(text: str, comments: bool) -> list[str]:
    return [line for line in text.splitlines() if line and line.startswith("#") == comments]


def name_of(requirement: str) -> str:
    """Its package, as indexes spell it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement, maxsplit=1)[0]).lower()


def main() -> None:
    """Try every combination, and say how each ended."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pythons", default=",".join(PYTHONS))
    parser.add_argument("--resolutions", default=",".join(RESOLUTIONS))
    parser.add_argument("--pin", action="store_true", help="write constraints.txt, and that is all")
    parser.add_argument("tests", nargs="*", help="words for pytest; default: all tests")
    options = parser.parse_args()
    if shutil.which("uv") is None:
        raise SystemExit("uv is not installed: pip install uv")
    HOME.mkdir(exist_ok=True)
    if options.pin:
        pin()
        return
    ended = []
    for version in options.pythons.split(","):
        python = find_python(version)
        for resolution in options.resolutions.split(","):
            name = f"{version} {resolution}"
            if python is None:
                ended.append((name, "no such Python here"))
                continue
            begun = time.monotonic()
            inside = install(python, HOME / name.replace(" ", "-"), resolve(version, resolution))
            words = [str(inside), "-m", "pytest", "-q", "-n", "auto", *options.tests]
            done = subprocess.run(words, cwd=ROOT, check=False)
            said = "passed" if done.returncode == 0 else f"FAILED (pytest gave {done.returncode})"
            ended.append((name, f"{said} in {time.monotonic() - begun:.0f} s"))
    for name, said in ended:
        print(f"{name:<16}{said}")
    sys.exit(any("FAILED" in said for _, said in ended))


if __name__ == "__main__":
    main()
