"""The originals' numbers (tests/golden), their variables by name, and what is wrong with some."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from emohop.clips import Modality
from emohop.config import ModelSettings
from emohop.errors import EmohopError
from emohop.model_config import InputDims
from emohop.models import build
from emohop.models.published import load_published, published_variables, variable_names
from tests.models.made import SIZES, settings
from tests.replay import main, replay

A, T, V = Modality.AUDIO, Modality.TEXT, Modality.VIDEO
FILES = sorted((Path(__file__).parents[1] / "golden").glob("*.npz"))
ORIGINALS = [
    settings(),
    settings(hops=12, audio={"hidden": 4, "bidirectional": True, "layers": 2}),
    settings(text={"hidden": 3, "embedding": 5, "residual": True}),
    settings(name="are", prosody=True),
    settings(name="tre"),
    settings(name="mdre", modalities=(A, T)),
    settings(name="mdrea", shared_bias=True),
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_number_of_the_original(path: Path) -> None:
    compared = replay(path)
    assert {one.group for one in compared} >= {"out", "enc", "grad", "clip", "step", "lossseq"}
    assert [one.key for one in compared if one.share > 1] == []


def test_all_golden_files_are_here() -> None:
    assert [path.stem for path in FILES] == [
        *("amh_hop1", "amh_hop3", "amh_hop3_bi", "amh_hop3_zero", "amh_hop7"),
        *("are", "mdre", "mdrea", "tre"),
    ]


def changed(path: Path, to: Path, change: Callable[[dict[str, NDArray[Any]]], None]) -> str:
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    change(arrays)
    np.savez(to, **arrays)
    return str(to)


def test_replay_notices_a_wrong_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def off(arrays: dict[str, NDArray[Any]]) -> None:
        arrays["hop2/query"][3, 1] += 1e-4

    def nan(arrays: dict[str, NDArray[Any]]) -> None:
        arrays["step2/multi_output_layer/output_bias"][0] = np.nan

    good = FILES[1]
    assert main([str(good)]) == 0
    assert main([changed(good, tmp_path / "off.npz", off), str(good)]) == 1
    printed = capsys.readouterr().out
    assert [line.split()[0] for line in printed.splitlines() if "OVER" in line] == ["hop"]
    assert main([changed(good, tmp_path / "nan.npz", nan)]) == 1


def test_replay_says_in_one_line_what_is_wrong_with_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def gone(arrays: dict[str, NDArray[Any]]) -> None:
        del arrays["var/multi_output_layer/output_bias"]

    text = tmp_path / "text.npz"
    text.write_text("not an archive")
    for path in (changed(FILES[0], tmp_path / "gone.npz", gone), str(text), str(tmp_path / "no")):
        assert main([path]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert path in line
    assert main([]) == 2


@pytest.mark.parametrize("model", ORIGINALS, ids=lambda model: model.title)
def test_variables_there_and_back(model: ModelSettings) -> None:
    network, other = build(model, SIZES), build(model, SIZES)
    variables = published_variables(model, dict(network.named_parameters()))
    assert sorted(variable_names(model).values()) == sorted(
        n for n, _ in network.named_parameters()
    )
    names = ("global_step_2", "optimizer/beta1_power", f"{next(iter(variables))}/Adam_1:0")
    extras: dict[str, NDArray[Any]] = {name: np.zeros(()) for name in names}
    load_published(other, model, {f"{n}:0": v for n, v in variables.items()} | extras)
    for ours, theirs in zip(network.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_residual_projection_is_found_in_any_scope() -> None:
    model = ORIGINALS[2]
    network = build(model, SIZES)
    variables = published_variables(model, dict(network.named_parameters()))
    inside = {n.replace("text_RNN/", ""): v for n, v in variables.items()}
    assert inside != variables
    load_published(network, model, inside)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.pop("multi_output_layer/output_bias"), "output_bias is missing: amh-7"),
        (lambda v: v.update({"attn_bias": np.zeros(1)}), "attn_bias is not part of amh-7"),
        (
            lambda v: v.update({"multi_output_layer/output_bias": np.zeros(6)}),
            r"output_bias is \(6,\): \(7,\) is expected",
        ),
        (
            lambda v: v.update({"multi_output_layer/output_bias": np.full(7, np.inf)}),
            "output_bias holds NaN or infinity",
        ),
        (
            lambda v: v.update({"multi_output_layer/output_bias": np.array(["x"] * 7)}),
            "output_bias holds <U1: floating point is expected",
        ),
    ],
)
def test_variables_that_do_not_fit(change: Callable[[Any], Any], message: str) -> None:
    model = settings()
    network = build(model, SIZES)
    before = [p.clone() for p in network.parameters()]
    variables = published_variables(model, dict(network.named_parameters()))
    variables = {name: values + 1 for name, values in variables.items()}
    change(variables)
    with pytest.raises(EmohopError, match=message):
        load_published(network, model, variables)
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


@pytest.mark.parametrize(
    "model",
    [
        settings(name="vre"),
        settings(name="mha"),
        settings(name="mdre"),
        settings(name="mdrea", order=(A, T)),
        settings(modalities=(A, T)),
        settings(order=(A, T, V)),
    ],
    ids=lambda model: model.title,
)
def test_models_that_the_originals_lack(model: ModelSettings) -> None:
    with pytest.raises(EmohopError, match="is in neither of the original programs"):
        variable_names(model)


@pytest.mark.parametrize("reset_after", [True, False])
@pytest.mark.parametrize(
    ("hops", "bidirectional", "count"),
    [
        (1, False, 2_508_299),
        (3, False, 2_639_899),
        (6, False, 2_822_827),
        (7, False, 2_874_155),
        (9, False, 3_005_755),
        (7, True, 5_456_203),
    ],
)
def test_parameter_counts(hops: int, bidirectional: bool, count: int, reset_after: bool) -> None:
    both = {m.value: {"bidirectional": bidirectional} for m in Modality}
    model = ModelSettings.model_validate({"hops": hops, "reset_after": reset_after, **both})
    with torch.device("meta"):
        network = build(model, InputDims(7, {A: 120, T: 3747, V: 2048}))
    assert sum(p.numel() for p in network.parameters()) == count
