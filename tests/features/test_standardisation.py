"""Statistics of the training part against numpy, and nothing from anywhere else."""

from __future__ import annotations

import numpy as np
import pytest

from emohop.errors import EmohopError
from emohop.features.standardisation import Standardiser
from emohop.model_config import Normalisation

RNG = np.random.default_rng(5)
ROWS = [
    (
        f"c{i}",
        speaker,
        {
            "audio": RNG.normal(i, 1 + i, (n, 3)).astype(np.float32),
            "prosody": RNG.normal(size=4).astype(np.float32),
        },
    )
    for i, (speaker, n) in enumerate([("A", 4), ("B", 7), ("A", 0), (None, 3), ("B", 1)])
]


def stacked(name: str, speaker: str | None = None) -> np.ndarray:
    rows = [r[2][name] for r in ROWS if speaker is None or r[1] == speaker]
    return np.concatenate([np.atleast_2d(r) for r in rows]).astype(np.float64)


def test_global_statistics() -> None:
    standardiser = Standardiser.fit("global", ROWS, ["audio", "prosody"])
    for name in ("audio", "prosody"):
        everything = stacked(name)
        expected = (everything - everything.mean(0)) / everything.std(0)
        ours = standardiser(name, everything.astype(np.float32), "A")
        np.testing.assert_allclose(ours, expected, atol=1e-5)
        assert ours.dtype == np.float32


def test_a_training_speaker_has_its_own_and_others_the_global_ones() -> None:
    standardiser = Standardiser.fit("train_speaker", ROWS, ["audio"])
    of_b = stacked("audio", "B")
    ours = standardiser("audio", of_b.astype(np.float32), "B")
    np.testing.assert_allclose(ours, (of_b - of_b.mean(0)) / of_b.std(0), atol=1e-5)
    overall = Standardiser.fit("global", ROWS, ["audio"])
    array = of_b.astype(np.float32)
    for stranger in ("C", None):
        assert np.array_equal(
            standardiser("audio", array, stranger), overall("audio", array, stranger)
        )


def test_of_what_a_speaker_lacks_it_gets_the_global_numbers() -> None:
    rows = [*ROWS, ("c", "D", {"prosody": np.ones(4, np.float32)})]
    array = stacked("audio").astype(np.float32)
    own, overall = (
        Standardiser.fit(kind, rows, ["audio", "prosody"]) for kind in ("train_speaker", "global")
    )
    assert np.array_equal(own("audio", array, "D"), overall("audio", array, "D"))


def test_per_speaker_keeps_no_speaker_for_the_next_corpus() -> None:
    fitted = Standardiser.fit("per_speaker", ROWS, ["audio"])
    assert fitted.speakers == {}
    adapted = fitted.adapted(ROWS, ["audio"])
    of_b = stacked("audio", "B").astype(np.float32)
    np.testing.assert_allclose(adapted("audio", of_b, "B").std(0), 1, atol=1e-5)
    assert adapted.to_config() == fitted.to_config()
    assert adapted.to_config().speakers == {}


def test_none_changes_nothing() -> None:
    array = stacked("audio").astype(np.float32)
    assert Standardiser.fit("none", ROWS, ["audio"])("audio", array, "A") is array


def test_constant_features_are_only_centred() -> None:
    rows = [("c", "A", {"audio": np.full((5, 2), 7.0, np.float32)})]
    standardiser = Standardiser.fit("global", rows, ["audio"])
    assert not standardiser("audio", rows[0][2]["audio"], "A").any()
    assert (standardiser("audio", np.full((1, 2), 9.0, np.float32), "A") == 2).all()


@pytest.mark.parametrize("kind", ["global", "train_speaker", "none"])
def test_json_gives_back_the_same_numbers(kind: str) -> None:
    standardiser = Standardiser.fit(kind, ROWS, ["audio"])  # type: ignore[arg-type]
    text = standardiser.to_config().model_dump_json()
    again = Standardiser.from_config(Normalisation.model_validate_json(text, strict=True))
    array = stacked("audio").astype(np.float32)
    for speaker in ("A", "B", "C"):
        assert np.array_equal(standardiser("audio", array, speaker), again("audio", array, speaker))


@pytest.mark.parametrize("kind", ["global", "train_speaker"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_is_found_and_named(kind: str, value: float) -> None:
    bad = np.zeros((3, 3), np.float32)
    bad[1, 1] = value
    with pytest.raises(EmohopError, match="clip bad: its audio holds NaN or infinity"):
        Standardiser.fit(kind, [*ROWS, ("bad", "A", {"audio": bad})], ["audio"])  # type: ignore[arg-type]
