"""emohop predict as it is typed."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
import soundfile
from typer.testing import CliRunner

from emohop.cli import app
from emohop.clips import Modality
from emohop.config import FeatureSettings, ServingSettings
from emohop.prediction import Prediction
from emohop.preparation import prepare
from emohop.recipes import make_recipe
from emohop.serving.messages import PredictRequest, Served, Work
from emohop.serving.requests import Predicting
from emohop.training.run import train
from tests.features.tiny import save_language
from tests.prediction.conftest import films, model, prepared  # noqa: F401  (fixtures)
from tests.voices import recording as talk

FILMS = "films"


def run(*words: object) -> tuple[int, str, str]:
    found = CliRunner().invoke(app, ["predict", *map(str, words)])
    return found.exit_code, found.stdout, found.stderr


def test_one_video_at_length(model: Path, films: Path) -> None:  # noqa: F811
    code, said, _ = run(model, films.parent / "0.mp4", "--text", "Excuse me, splendid!")
    assert code == 0
    assert "used: audio, text, video\n" in said
    assert "words that the model does not know: splendid" in said
    assert "Attention is not by itself an explanation" in said
    assert said.count("█") > 20


def test_several_as_a_table(model: Path, films: Path) -> None:  # noqa: F811
    code, said, _ = run(model, films.parent / "0.mp4", films.parent / "1.mp4")
    assert code == 0
    assert "0.mp4" in said
    assert "1.mp4" in said
    assert "text" in said  # it is missing


def test_json_is_one_line_a_clip(model: Path, films: Path) -> None:  # noqa: F811
    code, said, _ = run(model, films.parent / "0.mp4", films.parent / "1.mp4", "--json")
    assert code == 0
    found = [Prediction.model_validate_json(line) for line in said.splitlines()]
    assert [Path(one.source).name for one in found] == ["0.mp4", "1.mp4"]
    assert json.loads(said.splitlines()[0])["version"] == 1


def test_csv_has_one_header(model: Path, films: Path) -> None:  # noqa: F811
    code, said, _ = run(model, films.parent / "0.mp4", films.parent / "1.mp4", "--csv")
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(said)))
    assert len(rows) == 2
    assert sum(float(rows[0][f"p_{label}"]) for label in ("angry", "calm")) == pytest.approx(1)
    assert (rows[0]["used"], rows[0]["missing"]) == ("audio+video", "text")


@pytest.mark.parametrize("device", ["banana", "gpu"])
def test_a_device_that_is_not_there(model: Path, device: str) -> None:  # noqa: F811
    """It is refused where no pretrained encoder would have asked for it, too."""
    code, _, said = run(model, "--text", "No way!", "--device", device)
    assert code == 1
    assert f"no device {device!r} here: cpu, cuda where there is a GPU, or auto" in said


def test_words_alone(model: Path) -> None:  # noqa: F811
    code, said, _ = run(model, "--text", "No way!")
    assert code == 0
    assert "used: text; missing: audio, video" in said


def test_a_recording(model: Path, tmp_path: Path) -> None:  # noqa: F811
    soundfile.write(tmp_path / "talk.wav", talk(), 16_000)
    code, said, _ = run(model, tmp_path / "talk.wav", "--segments", "speech")
    assert code == 0
    assert "0:07." in said
    code, said, _ = run(model, tmp_path / "talk.wav", "--segments", "3", "--json")
    assert [json.loads(line)["start"] for line in said.splitlines()] == [0, 3, 6]


def test_a_file_that_cannot_be_read(model: Path, films: Path, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "bad.wav").write_text("no audio")
    code, said, error = run(model, tmp_path / "bad.wav")
    assert (code, said) == (1, "")
    assert error.startswith("error: ")
    assert len(error.splitlines()) == 1
    code, said, error = run(model, films.parent / "0.mp4", tmp_path / "bad.wav", "--json")
    assert code == 3
    assert len(said.splitlines()) == 1
    assert "1 of 2 files could not be read" in error


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "nothing to predict: name a file, or say --text"),
        (["--text", "x", "--json", "--csv"], "--json and --csv: choose one"),
        (["--text", "x", "--encoder", "words=a"], "write audio=FOLDER, text=FOLDER"),
        (["--text", "x", "--asr", "minilm"], "no audio features 'minilm'"),
        (["nowhere.wav"], "nowhere.wav"),
    ],
)
def test_wrong_words(words: list[str], said: str, model: Path) -> None:  # noqa: F811
    code, _, error = run(model, *words)
    assert code == 1
    assert said in error
    assert len(error.splitlines()) == 1


def test_folders_that_are_no_models(tmp_path: Path, model: Path) -> None:  # noqa: F811
    assert run(tmp_path, "--text", "x")[0] == 1
    bad = shutil.copytree(model, tmp_path / "model")
    config = json.loads((bad / "model.json").read_text())
    (bad / "model.json").write_text(json.dumps({**config, "version": 99}))
    code, _, error = run(bad, "--text", "x")
    assert code == 1
    assert "99" in error
    assert len(error.splitlines()) == 1


def test_an_encoder_that_has_moved(films: Path, tmp_path: Path) -> None:  # noqa: F811
    text = save_language(tmp_path / "encoder")
    features = FeatureSettings(audio=None, prosody=False, video=None, text=text)
    prepare("folder", films, tmp_path / "prepared", features=features)
    small = ["model.name=tre", "model.text.hidden=4", "training.max_epochs=1", "folds=[0]"]
    train(tmp_path / "prepared", tmp_path / "run", make_recipe("default", small))
    trained = tmp_path / "run/fold-0/seed-0/model"
    code, expected, _ = run(trained, "--text", "No way!", "--json")
    assert code == 0
    (tmp_path / "encoder").rename(tmp_path / "moved")
    code, _, error = run(trained, "--text", "No way!")
    assert code == 1
    assert str(tmp_path / "encoder") in error
    assert "--encoder text=FOLDER" in error
    moved = f"text={tmp_path / 'moved'}"
    assert run(trained, "--text", "No way!", "--json", "--encoder", moved)[1] == expected
    served = Served(trained, encoders={Modality.TEXT: str(tmp_path / "moved")})
    asked = Work({1: PredictRequest(None, "text", "No way!")})
    (done,) = Predicting(served, ServingSettings()).answers(asked)
    answers = done.answers[1]
    assert isinstance(answers, list)
    (answer,) = answers
    assert isinstance(answer, Prediction)
    assert answer.model_dump(mode="json") == json.loads(expected)
    other = f"text={save_language(tmp_path / 'other', seed=1)}"
    code, _, error = run(trained, "--text", "No way!", "--encoder", other)
    assert code == 1
    assert "is not the text encoder that this model was trained with" in error


@pytest.mark.parametrize("command", [["predict", "--text", "Well."], ["serve"]])
def test_an_encoder_of_no_modality(command: list[str], model: Path) -> None:  # noqa: F811
    done = CliRunner().invoke(app, [*command, str(model), "--encoder", "smell=here"])
    assert done.exit_code == 1
    wanted = "write audio=FOLDER, text=FOLDER or video=FOLDER"
    assert done.output == f"error: --encoder smell=here: {wanted}\n"


def test_frames_of_a_clip_and_a_recording(model: Path, films: Path, tmp_path: Path) -> None:  # noqa: F811
    code, said, error = run(
        model, films.parent / "0.mp4", "--text", "No way!", "--figure", tmp_path / "a.png", "--json"
    )
    assert code == 0
    assert len(said.splitlines()) == 1
    assert f"wrote {tmp_path / 'a.png'}" in error
    soundfile.write(tmp_path / "talk.wav", talk(), 16_000)
    code, _, _ = run(
        model, tmp_path / "talk.wav", "--segments", "3", "--figure", tmp_path / "b.svg"
    )
    assert code == 0
    assert "probability of each class" in (tmp_path / "b.svg").read_text()
    code, _, error = run(model, "--text", "x", "--figure", "a.gif")
    assert code == 1
    assert "as .png, .svg, .pdf" in error
