"""Checks of attention: on networks whose attention is known, on trained ones, as they are typed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from emohop.cli import FAILED, app
from emohop.clips import Modality
from emohop.config import EncoderSettings
from emohop.errors import EmohopError
from emohop.explanation import explain
from emohop.explanation.agreement import agreement, entropies
from emohop.explanation.curves import ORDERS, SHARES, TOGETHER, Curves, curves_of
from emohop.explanation.orders import by_attention, by_chance, by_gradient
from emohop.explanation.removal import first_of, ranked, removed, steps_of
from emohop.explanation.results import Area
from emohop.models import build
from emohop.models.attention import attend, uniform_attention
from emohop.models.batch import Batch, Hop, Output
from emohop.models.kernels import Ragged
from emohop.prediction import AttentionMap
from emohop.recipes import make_recipe
from emohop.reports.terminal.explanation import explanation_tables, finding
from emohop.storage import open_prepared
from emohop.training.run import train
from tests.models.made import SIZES, batch, settings
from tests.prepared import write_prepared

AUDIO, TEXT, VIDEO = Modality.AUDIO, Modality.TEXT, Modality.VIDEO
LENGTHS = {AUDIO: [9, 4, 0, 7], TEXT: [3, 0, 5, 2], VIDEO: [4, 6, 1, 0]}
ONE = {AUDIO: 1, TEXT: 1, VIDEO: 1}


class Known(nn.Module):
    """Attends by the first number of a frame; its logits are the mean of the frames' others.

    Steps that are attended to are those that speak for the answer if `faithful`, else they are
    those that say nothing.
    """

    def forward(self, given: Batch) -> Output:
        ragged = Ragged(given.lengths[AUDIO], given.sequences[AUDIO].shape[1])
        rows = ragged.pack(given.sequences[AUDIO])
        query = torch.zeros(len(given), rows.shape[1])
        query[:, 0] = 1.0
        _, weights = attend(query, rows, ragged)
        mean, _ = attend(torch.zeros_like(query), rows, ragged)
        return Output(10 * mean[:, 1:], (Hop(AUDIO, query, weights, mean),))


def known(faithful: bool, clips: int = 8, time: int = 20) -> Batch:
    """Clips in which each fifth step speaks for class 1, the others softly for class 0."""
    drawn = torch.Generator().manual_seed(1)
    steps = torch.rand(clips, time, 3, generator=drawn) * 0.1
    telling = torch.zeros(clips, time, dtype=torch.bool)
    telling[:, ::5] = True
    steps[..., 1] += torch.where(telling, 0.0, 0.3)
    steps[..., 2] += torch.where(telling, 3.0, 0.0)
    steps[..., 0] = torch.where(telling == faithful, 3.0, -3.0)
    lengths = torch.tensor([time - i % 3 for i in range(clips)])
    ids = tuple(f"k{i}" for i in range(clips))
    return Batch(ids, {AUDIO: steps}, {AUDIO: lengths}, classes=torch.ones(clips, dtype=torch.long))


def areas(curves: Curves, target: str) -> dict[str, float]:
    return dict(zip(ORDERS, curves.likely[target].mean(axis=(1, 2)).tolist(), strict=True))


def test_known_attention_is_found_out() -> None:
    true = areas(curves_of(Known(), known(True), ONE, 4, 0), "audio")
    false = areas(curves_of(Known(), known(False), ONE, 4, 0), "audio")
    assert true["attention"] < true["random"] - 0.2
    assert true["gradient"] < true["random"] - 0.2
    assert false["attention"] > false["random"] + 0.1


def test_curves_begin_and_end_alike_and_only_one_target_without_others() -> None:
    found = curves_of(Known(), known(True), ONE, 2, 0)
    assert list(found.likely) == ["audio"]
    likely = found.likely["audio"]
    assert likely.shape == (3, len(SHARES), 8)
    assert (likely[:, 0] == found.before.max(axis=1)).all()
    assert (likely[:, -1] == likely[:1, -1]).all()
    np.testing.assert_allclose(likely[0, -1], 0.5)  # nothing is left: logits of 0
    assert found.right["audio"][:, 0].all()


def test_random_attention_is_no_better_than_random() -> None:
    given = known(True, clips=64)
    steps = given.sequences[AUDIO].clone()
    steps[..., 0] = torch.rand(steps.shape[:2], generator=torch.Generator().manual_seed(5))
    found = areas(curves_of(Known(), replace(given, sequences={AUDIO: steps}), ONE, 10, 0), "audio")
    assert abs(found["attention"] - found["random"]) < 0.03
    assert found["gradient"] < found["random"] - 0.2


def test_removal_keeps_order_and_tells_what_is_absent() -> None:
    given = batch(LENGTHS, padding=9)
    gone = {AUDIO: np.zeros((4, 9), bool), TEXT: np.ones((4, 5), bool)}
    gone[AUDIO][0, [0, 3]] = True
    gone[AUDIO][1, 2:] = True
    left = removed(given, gone, ONE)
    assert left.lengths[AUDIO].tolist() == [7, 2, 0, 7]
    whole = given.sequences[AUDIO]
    torch.testing.assert_close(left.sequences[AUDIO][0, :7], whole[0, [1, 2, 4, 5, 6, 7, 8]])
    torch.testing.assert_close(left.sequences[AUDIO][1, :2], whole[1, :2])
    torch.testing.assert_close(left.sequences[AUDIO][3, :7], whole[3, :7])
    assert left.lengths[TEXT].tolist() == [0, 0, 0, 0]
    assert left.has(TEXT).tolist() == [False, True, False, False]  # an empty one is there still
    assert left.has(AUDIO).all()
    assert left.lengths[VIDEO] is given.lengths[VIDEO]


def test_removal_of_stacked_steps_takes_all_their_frames() -> None:
    given = batch({AUDIO: [7, 5]})
    assert steps_of(given, AUDIO, 3).tolist() == [3, 2]
    left = removed(
        given, {AUDIO: np.array([[False, True, False], [False, True, False]])}, {AUDIO: 3}
    )
    assert left.lengths[AUDIO].tolist() == [4, 3]
    kept = given.sequences[AUDIO][0, [0, 1, 2, 6]]
    torch.testing.assert_close(left.sequences[AUDIO][0, :4], kept)


def test_ranks_of_ragged_clips() -> None:
    scores = np.array([[0.1, 0.5, 0.4, 9.0], [0.2, 0.2, 0.2, 0.2]])
    ties = np.array([[0.0, 0.0, 0.0, 0.0], [0.3, 0.9, 0.1, 0.5]])
    steps = np.array([3, 4])
    places = ranked(scores, ties, steps)
    assert places.tolist() == [[2, 0, 1, 3], [2, 0, 3, 1]]
    assert first_of(places, steps, 0.5).sum(axis=1).tolist() == [2, 2]  # 1.5 is rounded up
    assert first_of(places, steps, 1.0).sum(axis=1).tolist() == [3, 4]
    assert not first_of(places, steps, 0.0).any()


def test_attention_of_several_hops_is_summed() -> None:
    network = build(settings(name="amh", hops=4), SIZES).eval()
    hops = network(batch(LENGTHS)).hops
    found = by_attention(hops)
    assert found.keys() == {VIDEO, AUDIO, TEXT}
    np.testing.assert_allclose(found[VIDEO].sum(axis=1), [2, 2, 2, 0], atol=1e-6)
    np.testing.assert_allclose(found[TEXT].sum(axis=1), [1, 0, 1, 1], atol=1e-6)


@pytest.mark.parametrize("stack", [1, 2])
def test_gradients_are_those_of_small_steps(stack: int) -> None:
    chosen = settings(name="amh", audio=EncoderSettings(hidden=8, stack_frames=stack))
    network = build(chosen, SIZES).eval()
    given = batch(LENGTHS)
    predicted = network(given).logits.argmax(1)
    found = by_gradient(network, given, predicted, {**ONE, AUDIO: stack})
    table = network.get_submodule("encoders.encoders.text.steps.embedding")
    vectors = table(given.sequences[TEXT]).detach()

    def said(steps: dict[Modality, Tensor]) -> Tensor:
        logits = network(replace(given, sequences={**given.sequences, **steps})).logits
        return torch.log_softmax(logits, dim=-1)[torch.arange(4), predicted].detach()

    torch.testing.assert_close(said({}), said({TEXT: vectors}))
    for modality, whole in ((AUDIO, given.sequences[AUDIO]), (TEXT, vectors)):
        width = stack if modality is AUDIO else 1
        for step in range(found[modality].shape[1]):
            ends = []
            for sign in (1, -1):
                moved = whole.clone()
                moved[:, step * width : (step + 1) * width] *= 1 + sign * 0.01
                ends.append(said({modality: moved}))
            slopes = ((ends[0] - ends[1]) / 0.02).numpy()
            np.testing.assert_allclose(found[modality][:, step], slopes, atol=2e-4)


@pytest.mark.parametrize("name", ["amh", "mha", "mdrea", "sap"])
def test_uniform_attention_is_uniform_and_ends(name: str) -> None:
    uses = ["audio", "text"] if name in ("mha", "mdrea") else None
    network = build(settings(name=name, modalities=uses), SIZES).eval()
    given = batch(LENGTHS)
    before = network(given)
    with uniform_attention():
        hops = network(given).hops
    for hop in hops:
        for weights, length in zip(hop.weights, LENGTHS[hop.target], strict=True):
            np.testing.assert_allclose(weights[:length].detach(), 1 / max(1, length), rtol=1e-5)
            assert not weights[length:].any()
    assert torch.equal(network(given).logits, before.logits)
    assert any((a.weights != b.weights).any() for a, b in zip(hops, before.hops, strict=True))


def test_without_attention_nothing_changes_where_it_was_uniform() -> None:
    network = build(settings(name="amh", hops=3), SIZES).eval()
    with torch.no_grad():
        for parameter in network.get_submodule("project").parameters():
            parameter.zero_()
    given = batch(LENGTHS)
    found = curves_of(network, given, ONE, 1, 0)
    np.testing.assert_array_equal(found.uniform, found.before)
    other = build(settings(name="amh", hops=3), SIZES).eval()
    found = curves_of(other, given, ONE, 1, 0)
    assert (found.uniform != found.before).any()


def test_clips_do_not_depend_on_those_beside_them() -> None:
    network = build(settings(name="amh", hops=3), SIZES).eval()
    whole = batch(LENGTHS)
    together = curves_of(network, whole, ONE, 3, 7)
    for clip in range(4):
        alone = Batch(
            whole.ids[clip : clip + 1],
            {m: s[clip : clip + 1] for m, s in whole.sequences.items()},
            {m: n[clip : clip + 1] for m, n in whole.lengths.items()},
            classes=None if whole.classes is None else whole.classes[clip : clip + 1],
        )
        found = curves_of(network, alone, ONE, 3, 7)
        for target in (TOGETHER, "audio", "text", "video"):
            mine = together.likely[target][..., clip : clip + 1]
            np.testing.assert_allclose(found.likely[target], mine, atol=1e-5)
    assert together.steps["video"].tolist() == [4, 6, 1, 0]
    assert together.steps[TOGETHER].tolist() == [16, 10, 6, 9]
    unseen = together.likely["video"][..., 3]
    np.testing.assert_allclose(unseen, unseen[0, 0])  # nothing to remove, nothing changes


def test_chance_is_of_the_clip_and_the_seed() -> None:
    one = by_chance(["a", "b"], AUDIO, 5, 3, 0)
    np.testing.assert_array_equal(by_chance(["b"], AUDIO, 4, 3, 0)[:, 0], one[:, 1, :4])
    assert (by_chance(["a", "b"], AUDIO, 5, 3, 1) != one).all()
    assert (by_chance(["a", "b"], TEXT, 5, 3, 0) != one).all()


def test_agreement_of_alike_of_opposite_and_of_strange_seeds() -> None:
    rng = np.random.default_rng(0)
    clips = {f"c{i}": rng.random(8).astype(np.float32) for i in range(50)}
    one = {name: (AttentionMap(AUDIO, w), AttentionMap(TEXT, w[:2])) for name, w in clips.items()}
    opposite = {
        name: (AttentionMap(AUDIO, -w), AttentionMap(TEXT, w[:2])) for name, w in clips.items()
    }
    strange = {
        name: (AttentionMap(AUDIO, rng.random(8).astype(np.float32)), AttentionMap(TEXT, w[:2]))
        for name, w in clips.items()
    }
    (found, summed) = agreement([[one, one]], 0)  # text has too few steps
    assert (found.hop, summed.hop, found.target) == (1, None, "audio")
    assert found.spearman == pytest.approx(1)
    assert found.shuffled_95[0] < 0 < found.shuffled_95[1] < 0.15
    assert agreement([[one, opposite]], 0)[0].spearman == pytest.approx(-1)
    assert abs(agreement([[one, strange]], 0)[0].spearman) < 0.15
    assert agreement([[one], [strange]], 0) == []
    assert agreement([[one, strange]], 0) == agreement([[one, strange]], 0)


def test_entropies_leave_out_clips_of_one_step() -> None:
    even, sharp = np.full(4, 0.25, np.float32), np.array([1, 0, 0, 0], np.float32)
    target = {
        "a": (AttentionMap(AUDIO, even),),
        "b": (AttentionMap(AUDIO, sharp),),
        "c": (AttentionMap(AUDIO, even[:1]),),
    }
    (found,) = entropies([target])
    assert (found.clips, found.mean, found.std) == (2, 0.5, 0.5)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prepared(tmp_path_factory.mktemp("data") / "prepared", clips=36)


@pytest.fixture(scope="module")
def run(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "amh"
    quick = ["training.max_epochs=2", "model.audio.hidden=8", "model.text.hidden=8"]
    train(prepared, out, make_recipe("demo", [*quick, "seeds=[0,1]", "folds=[0,1]"]))
    return out


def test_a_run_pools_its_units_whatever_the_processes(run: Path, prepared: Path) -> None:
    corpus = open_prepared(prepared)
    found = explain(run, corpus, draws=2)
    assert (found.fold_runs, found.clips, found.speakers) == (4, 48, 4)
    assert explain(run, corpus, draws=2, jobs=2) == found
    assert explain(run, corpus, draws=2, seed=1) != found
    results = json.loads((run / "results.json").read_text())
    accuracy = results["pooled"]["accuracy"]
    assert found.uniform.accuracy.trained == accuracy
    for entry in found.deletion:
        curve = entry.curves["attention"]
        assert len(curve.probability) == len(found.shares) == 11
        assert curve.interval_95 is not None
        low, high = curve.interval_95
        assert low <= curve.area <= high
        gap = entry.differences["attention-random"].area
        assert gap == pytest.approx(curve.area - entry.curves["random"].area)
    together = found.deletion[0]
    assert together.target == TOGETHER
    assert together.curves["random"].accuracy[0] == accuracy
    assert found.agreement
    assert len(found.entropy) == 3


def test_as_it_is_typed(run: Path, prepared: Path, tmp_path: Path) -> None:
    words = ["explain", str(run / "fold-0/seed-0/model"), str(prepared), "--draws", "2"]
    files = ["--out", str(tmp_path / "a.json"), "--figure", str(tmp_path / "a.png")]
    said = CliRunner().invoke(app, [*words, *files, "--jobs", "1"])
    assert said.exit_code == 0
    assert "Attention is not by itself an explanation" in said.stdout
    assert "drawn from 2 speakers, too few to conclude anything" in said.stdout
    assert "random ones" not in said.stdout
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    printed = CliRunner().invoke(app, [*words, "--json", "--jobs", "1"])
    assert json.loads(printed.stdout) == json.loads((tmp_path / "a.json").read_text())
    run_said = CliRunner().invoke(app, ["explain", str(run), str(prepared), "--jobs", "1"])
    assert "shuffled" in run_said.stdout


@pytest.mark.parametrize(
    ("ends", "says"),
    [
        ((-0.2, -0.1), "matter more than"),
        ((0.1, 0.2), "matter less than"),
        ((-0.1, 0.1), "are not told from"),
        (None, "no interval"),
    ],
)
def test_findings_go_by_the_interval(ends: tuple[float, float] | None, says: str) -> None:
    assert says in finding(Area(area=0.0, interval_95=ends))


def test_five_speakers_are_enough_to_conclude(run: Path, prepared: Path) -> None:
    found = explain(run, open_prepared(prepared), draws=1)
    parts = explanation_tables(found.model_copy(update={"speakers": 5}))
    lines = [part for part in parts if isinstance(part, str)]
    assert sum("random ones" in line for line in lines) == len(found.deletion)
    assert not any("too few" in line for line in lines)


def test_models_without_attention_are_refused_in_a_line(prepared: Path, tmp_path: Path) -> None:
    recipe = make_recipe("demo", ["training.max_epochs=1", "model.name=mdre", "folds=[0]"])
    train(prepared, tmp_path / "mdre", recipe)
    with pytest.raises(EmohopError, match="no attention weights over steps"):
        explain(tmp_path / "mdre", open_prepared(prepared))
    said = CliRunner().invoke(app, ["explain", str(tmp_path / "mdre"), str(prepared)])
    assert said.exit_code == FAILED
    assert said.stderr.count("\n") == 1
    assert "amh, mha, mdrea, sap" in said.stderr


def test_a_figure_of_another_kind_is_refused(run: Path, prepared: Path) -> None:
    said = CliRunner().invoke(app, ["explain", str(run), str(prepared), "--figure", "a.gif"])
    assert said.exit_code == FAILED
    assert ".png, .svg, .pdf" in said.stderr
