"""The demo's stages on a small corpus; a second call goes on from what is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from emohop import cli, demo
from emohop.errors import EmohopError
from emohop.evaluation.run_files import RunResults


def test_the_whole_way_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "demo"
    quick = ["training.max_epochs=2", "folds=[0, 3]"]

    def run() -> tuple[list[RunResults], list[str]]:
        said: list[str] = []
        results = demo.run_demo(
            out, clips=100, seed=0, jobs=1, say=said.append, models=["tre", "amh"], settings=quick
        )
        return results, said

    first, said = run()
    assert said[0].startswith("synthesized a corpus of 100 clips: ")
    assert "  100 clips, 0 left out" in said
    assert [results.model for results in first] == ["tre text", "amh-3 audio+text+video"]
    assert "Where each hop looks" in (out / "report.html").read_text("utf-8")
    assert (out / "runs/amh/fold-3/seed-0/model/model.json").exists()
    again, said = run()
    assert again == first
    assert not any("synthesized a corpus" in line for line in said)

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    for folder, seed, message in ((out, 1, "holds a demo of"), (tmp_path / "mine", 0, "no demo")):
        with pytest.raises(EmohopError, match=message):
            demo.run_demo(folder, clips=100, seed=seed, jobs=1, say=said.append)

    monkeypatch.setattr(demo, "run_demo", lambda *_, **__: first)
    shown = CliRunner().invoke(cli.app, ["demo", str(out)])
    assert shown.exit_code == 0, shown.output
    assert "amh-3 audio+text+video" in shown.output
    assert "95 % interval" in shown.output
    assert "say nothing about people" in shown.output
