"""The README's Python example runs as it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from emohop.recipes import make_recipe
from emohop.training.run import train
from tests.prepared import write_prepared

README = Path(__file__).parents[1] / "README.md"


def test_the_python_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_prepared(Path("prepared"))
    train("prepared", "run", make_recipe("demo", ["training.max_epochs=1", "folds=[0]"]))
    code = README.read_text("utf-8").split("```python\n")[1].split("```")[0]
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert "Ses01_000 Ses01F ang (" in capsys.readouterr().out
    assert len(names["predictions"]) == 40  # type: ignore[arg-type]
