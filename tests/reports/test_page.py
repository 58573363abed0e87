"""The page of a report: whole by itself, the same each time, true to the numbers, safe to open."""

from __future__ import annotations

import html
import re
import shutil
from collections import Counter
from collections.abc import Callable
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from emohop.cli import FAILED, app
from emohop.config import FeatureSettings
from emohop.errors import EmohopError
from emohop.evaluation.comparison import compare
from emohop.evaluation.run_folder import CLIPS, ROBUSTNESS
from emohop.evaluation.runs import read_runs
from emohop.preparation import prepare
from emohop.recipes import make_recipe
from emohop.reports.page.page import make_report, render, write_report
from emohop.training.run import train
from tests.prepared import write_prepared
from tests.reports.conftest import QUICK, write_robustness
from tests.runs import RANDOM, edit_results, write_run

HOSTILE = "<script>alert(1)</script> \"$x^2$\" & 'y'"


class Page(HTMLParser):
    """What a page holds: tags with their attributes, and the anchors of its sections."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    handle_startendtag = handle_starttag

    @property
    def sections(self) -> list[str | None]:
        return [found["id"] for tag, found in self.tags if tag == "section"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs, two of which differ in hops alone, one measured under damage."""
    folder = tmp_path_factory.mktemp("runs")
    for hops, skill in ((1, 0.5), (3, 1.0)):
        settings = [f"model.hops={hops}"]
        write_run(folder / f"hops{hops}", skill=skill, settings=settings, seeds=(0, 1))
    write_run(folder / "are", skill=0.2, settings=["model.name=are"], seeds=(0, 1))
    write_robustness(folder / "are")
    return folder


@cache
def page_of(*folders: Path) -> str:
    return render(make_report(read_runs(folders), command="emohop report …"))


def test_the_page_is_whole_by_itself_and_always_the_same(folder: Path) -> None:
    names = [folder / name for name in ("hops1", "hops3", "are")]
    text = page_of(*names)
    assert text == page_of.__wrapped__(*names)
    page = Page(text)
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object", "form", "base")
        for name in ("src", "href", "xlink:href", "action"):
            value = attributes.get(name) or ""
            assert value.startswith(("#", "data:image/png;base64,")) or not value
        assert not any(name.startswith("on") for name in attributes)
    policy = [found["content"] for tag, found in page.tags if "http-equiv" in found]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    assert not re.search(r"https?://(?!www\.w3\.org/)", text)
    ids = Counter(found["id"] for _, found in page.tags if "id" in found)
    assert [name for name, count in ids.items() if count > 1] == []
    targets = [found["href"] for tag, found in page.tags if tag == "a"]
    assert all((target or "")[1:] in ids for target in targets)


def test_sections_are_there_when_their_data_are(folder: Path) -> None:
    everything = Page(page_of(*(folder / name for name in ("hops1", "hops3", "are"))))
    assert everything.sections == [
        *("scores", "hops", "confusion", "groups", "calibration", "robustness", "learning"),
        "recipes",
    ]
    single = page_of(folder / "hops1")
    assert set(Page(single).sections) == set(everything.sections) - {"hops", "robustness"}
    assert "Differences" not in single
    assert "Accuracy by gender" in single


def test_unknown_speakers_and_genders_are_left_out(tmp_path: Path) -> None:
    write_run(tmp_path / "a", speakers=False)
    lines = (tmp_path / "a" / CLIPS).read_text().splitlines()
    place = lines[0].split(",").index("gender")
    blank = [
        ",".join(x if k != place else "" for k, x in enumerate(line.split(",")))
        for line in lines[1:]
    ]
    (tmp_path / "a" / CLIPS).write_text("\n".join([lines[0], *blank]) + "\n")
    edit_results(tmp_path / "a", protocol="random", reservations=RANDOM)
    text = page_of(tmp_path / "a")
    assert "Accuracy by fold" in text
    assert "Accuracy by speaker" not in text
    assert "Accuracy by gender" not in text
    assert "speakers and scripted sentences of test are in train too" in text
    assert "speakers are unknown" in text


def test_the_numbers_are_those_of_the_comparison(folder: Path) -> None:
    runs = read_runs([folder / "hops1", folder / "hops3"])
    text = html.unescape(page_of(folder / "hops1", folder / "hops3"))
    found = compare(runs)
    for row in found.rows:
        for name in ("accuracy", "balanced_accuracy", "f1_macro"):
            ends = row.interval[name]
            assert ends is not None
            assert f"{row.mean[name]:.3f} ± {row.std[name]:.3f}" in text
            assert f"[{ends[0]:.3f}, {ends[1]:.3f}]" in text
        assert f"{row.title} {row.pooled['accuracy']:.3f}" in text
    (pair,) = found.pairs
    assert pair.difference is not None
    assert f"{pair.difference['accuracy'].value:+.3f}" in text
    other = make_report(runs, reference=runs[1].title).sections[0].grids[1].lines[0]
    assert other[:2] == (runs[1].title, runs[0].title)
    assert other[2].startswith(f"{-pair.difference['accuracy'].value:+.3f} [")


def test_hostile_names_are_text(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_run(tmp_path / name, folds=[0, 1])
        edit_results(tmp_path / name, model=f"{HOSTILE} 日本 {name}", class_set=HOSTILE)
    runs = read_runs([tmp_path / "a", tmp_path / "b"])
    text = render(make_report(runs, command=f"emohop report '{HOSTILE}'"))
    assert "<script" not in text
    assert text.count("alert(1)") > 10
    assert html.escape(HOSTILE, quote=False).split(' "')[0] in text
    page = Page(text)
    labels = [str(found["aria-label"]) for tag, found in page.tags if tag == "svg"]
    assert any(HOSTILE in label for label in labels)


def test_figures_for_papers_are_files_of_their_own(folder: Path, tmp_path: Path) -> None:
    words = ["report", str(folder / "are"), str(tmp_path / "page.html")]
    words += ["--figures", str(tmp_path / "figures"), "--format", "svg"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    report = make_report(read_runs([folder / "are"]))
    names = [plot.name for section in report.sections for plot in section.plots]
    assert sorted(path.stem for path in (tmp_path / "figures").iterdir()) == sorted(names)
    assert f"wrote {tmp_path / 'page.html'}: {len(report.sections)} sections, {len(names)}" in (
        result.output
    )
    assert f"wrote {tmp_path / 'figures'}: {len(names)} svg files" in result.output
    assert "licence" not in result.output


def test_where_each_hop_looked(hopping: tuple[Path, Path], tmp_path: Path) -> None:
    prepared, table = hopping
    out = tmp_path / "page.html"
    report = write_report([table], out, prepared=prepared, clips=["Ses01_001", "Ses02_020"])
    (section,) = (section for section in report.sections if section.anchor == "attention")
    assert [plot.label.split(":")[0] for plot in section.plots] == ["Ses01_001", "Ses02_020"]
    assert "hop 1 video entropy" in section.plots[0].label
    assert "hop 3 text entropy" in section.plots[0].label
    assert "is not by itself an explanation" in out.read_text()
    assert "data:image/png" not in out.read_text()


def test_the_clips_that_are_shown_tell_something(
    hopping: tuple[Path, Path], tmp_path: Path
) -> None:
    prepared, table = hopping
    report = write_report([table], tmp_path / "page.html", prepared=prepared)
    (section,) = (section for section in report.sections if section.anchor == "attention")
    runs = [run for run in read_runs([table]) if run.recipe["model"]["name"] == "amh"]
    run = max(runs, key=lambda one: one.results.pooled["balanced_accuracy"])
    test = run.fold_runs[0].predictions.part("test")
    sure = dict(zip(test.id, test.probabilities.max(axis=1), strict=True))
    right = {i for i, a, b in zip(test.id, test.label, test.predicted, strict=True) if a == b}
    wrong = set(test.id) - right
    telling = [max(ids, key=lambda i: sure[i]) for ids in (right, wrong) if ids]
    telling.append(min(sure, key=lambda i: sure[i]))
    shown = [plot.label.split(":")[0] for plot in section.plots]
    assert shown == list(dict.fromkeys(telling))


def test_prepared_without_attention_says_so(hopping: tuple[Path, Path], tmp_path: Path) -> None:
    prepared, table = hopping
    (run,) = (run for run in read_runs([table]) if run.recipe["model"]["name"] == "are")
    words = ["report", run.folder, tmp_path / "p.html", "--prepared", prepared]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    assert "no run has attention: --prepared added nothing" in result.output
    assert "licence" not in result.output


def test_with_audio_and_frames(synthetic_corpus: Path, tmp_path: Path) -> None:
    features = FeatureSettings(video="hog", prosody=False)
    prepared = tmp_path / "prepared"
    prepare("iemocap", synthetic_corpus, prepared, features=features, labels="iemocap-4")
    recipe = make_recipe("demo", [*QUICK, "folds=[1]"])
    train(prepared, tmp_path / "run", recipe)
    words = ["report", tmp_path / "run", tmp_path / "p.html", "--prepared", prepared]
    result = CliRunner().invoke(app, [str(word) for word in [*words, "--source", synthetic_corpus]])
    assert result.exit_code == 0, result.output
    assert "text, audio and video of the corpus are in it: mind its licence" in result.output
    text = (tmp_path / "p.html").read_text()
    clips = set(re.findall(r'id="(attention-\d)-', text))
    assert text.count("data:image/png;base64,") == len(clips) >= 1  # a strip of frames each


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["RUN"], "name at least one run folder"),
        (["RUN", "page.pdf"], "ends in .html, not"),
        (["RUN", "NOWHERE/page.html"], "give a file in a folder that is there"),
        (["RUN", "FOLDER.html"], "give a file in a folder that is there"),
        (["RUN", "page.html", "--source", "x"], "--source and --clips need --prepared"),
        (["RUN", "page.html", "--format", "gif"], "--format 'gif': one of pdf, svg, png"),
        (["NOWHERE", "page.html"], "is not a run folder"),
        (["RUN", "page.html", "--reference", "ar"], "did you mean 'are audio'"),
        (["RUN", "page.html", "--clips", "x", "--prepared", "PREPARED"], "a run with attention"),
        (
            ["TABLE", "page.html", "--clips", "Ses01_1", "--prepared", "PREPARED"],
            "did you mean Ses01_",
        ),
        (["TABLE", "page.html", "--prepared", "OTHER"], "is not the prepared corpus that"),
    ],
)
def test_what_cannot_be_shown_is_one_line(
    folder: Path, hopping: tuple[Path, Path], tmp_path: Path, words: list[str], message: str
) -> None:
    (tmp_path / "FOLDER.html").mkdir()
    write_prepared(tmp_path / "other", seed=5)
    names = {"RUN": folder / "are", "PREPARED": hopping[0], "TABLE": hopping[1]}
    places = {
        "OTHER": tmp_path / "other",
        **{w: tmp_path / w for w in words if w.endswith((".html", ".pdf"))},
    }
    command = [str({**names, **places}.get(word, word)) for word in words]
    result = CliRunner().invoke(app, ["report", *command])
    assert result.exit_code == FAILED, result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert not (tmp_path / "page.html").exists()


def test_a_half_written_run_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "run", folds=[0, 1])
    (tmp_path / "run/fold-1/seed-0/metrics.json").unlink()
    with pytest.raises(EmohopError, match="half written"):
        write_report([tmp_path / "run"], tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def emptied(path: Path) -> None:
    path.write_text("{}")


def beheaded(path: Path) -> None:
    path.write_text(path.read_text().splitlines()[0] + "\n")


def renamed(old: str, new: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return change


FOLD_RUN = "fold-0/seed-0"


@pytest.mark.parametrize(
    ("name", "hurt", "message"),
    [
        (f"{FOLD_RUN}/history.csv", beheaded, "no epoch"),
        (f"{FOLD_RUN}/history.csv", Path.unlink, "is missing"),
        (f"{FOLD_RUN}/history.csv", renamed("dev_loss", "loss"), "'dev_loss'"),
        (f"{FOLD_RUN}/model/model.json", emptied, "it has no version"),
        (
            f"{FOLD_RUN}/model/model.json",
            renamed('temperature": ', 'temperature": -'),
            r"calibration\.temperature: .* greater than 0",
        ),
        (
            f"{FOLD_RUN}/model/model.json",
            renamed('"calibration"', '"cal"'),
            r"calibration: field required",
        ),
        (f"{FOLD_RUN}/predictions.parquet", Path.unlink, "did not get that far"),
        ("recipe.yaml", emptied, "'model'"),
        ("recipe.yaml", renamed("hops:", "jumps:"), "jumps|ModelSettings"),
        ("recipe.yaml", renamed("training:", "teaching:"), "'training'"),
        ("results.json", renamed('"speakers"', '"people"'), "speakers: field required"),
        ("results.json", renamed('"pooled"', '"all"'), "pooled"),
        ("results.json", renamed('"version": ', '"version": 9'), "use the version of emohop"),
        ("clips.csv", Path.unlink, "is missing"),
        (ROBUSTNESS, emptied, "it has no version"),
        (ROBUSTNESS, renamed("balanced_accuracy", "ua"), "balanced_accuracy is missing"),
        (ROBUSTNESS, renamed('"name": "clean"', '"name": "noise:1"'), "none is called clean"),
        (ROBUSTNESS, renamed('"kind": "noise"', '"kind": "../../x\'"'), "kind"),
        (ROBUSTNESS, renamed('"level": 10.0', '"level": "loud"'), "level: "),
    ],
)
def test_damage_is_one_line_that_names_the_file(
    whole: Path, tmp_path: Path, name: str, hurt: Callable[[Path], None], message: str
) -> None:
    shutil.copytree(whole, tmp_path / "run")
    hurt(tmp_path / "run" / name)
    words = ["report", str(tmp_path / "run"), str(tmp_path / "page.html")]
    result = CliRunner().invoke(app, [*words, "--figures", str(tmp_path / "figures")])
    assert result.exit_code == FAILED, result.output
    (line,) = result.stderr.strip().splitlines()
    assert str(tmp_path / "run" / name) in line
    assert re.search(message, line), line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two fold runs that lacks nothing."""
    folder = write_run(tmp_path_factory.mktemp("whole") / "run", folds=[0, 1], clips=40)
    write_robustness(folder)
    return folder
