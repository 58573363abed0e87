"""Clips that lack a modality."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from emohop.clips import MODALITIES, Modality
from emohop.model_config import InputDims
from emohop.models import build
from emohop.models.batch import Batch
from emohop.models.missing import drop
from emohop.registry.models import MODELS
from tests.models.made import SIZES, batch, settings

A, T, V = MODALITIES
LENGTHS = {A: [4, 6, 2, 5], T: [2, 3, 5, 1], V: [3, 1, 2, 4]}
FUSING = [spec.name for spec in MODELS.shipped.values() if spec.most > 1]


def lacking(**which: list[int]) -> Batch:
    """The clips above, without these modalities of these clips."""
    masks = {Modality(m): torch.zeros(4, dtype=torch.bool) for m in which}
    for m, clips in which.items():
        masks[Modality(m)][clips] = True
    return batch(LENGTHS).without(masks)


def test_without() -> None:
    clips = lacking(audio=[1], text=[0, 1])
    assert clips.lengths[A].tolist() == [4, 0, 2, 5]
    assert clips.lengths[T].tolist() == [0, 0, 5, 1]
    assert clips.has(A).tolist() == [True, False, True, True]
    assert clips.has(V).tolist() == [True] * 4
    assert clips.prosody is not None
    assert clips.prosody[1].abs().sum() == 0
    assert (clips.prosody[0] == batch(LENGTHS).prosody[0]).all()  # type: ignore[index]
    again = clips.without({A: torch.tensor([True, False, False, False])})
    assert again.has(A).tolist() == [False, False, True, True]


@pytest.mark.parametrize("absent", ["zero", "learned"])
@pytest.mark.parametrize("name", FUSING)
def test_what_an_absent_modality_held_never_matters(name: str, absent: str) -> None:
    case = settings(name=name, missing_modality=absent, hops=3)
    torch.manual_seed(0)
    network = build(case, SIZES).eval()
    clips = lacking(audio=[1], text=[0, 1], video=[2])
    other = Batch(
        clips.ids,
        {
            A: clips.sequences[A].clone(),
            T: clips.sequences[T].clone(),
            V: clips.sequences[V].clone(),
        },
        clips.lengths,
        clips.prosody,
        present=clips.present,
    )
    other.sequences[A][1], other.sequences[T][:2], other.sequences[V][2] = 9.0, 3, -5.0
    logits = network(clips).logits
    assert logits.isfinite().all()
    torch.testing.assert_close(logits, network(other).logits)
    for hop in network(clips).hops:
        gone = ~clips.has(hop.target)
        assert (hop.weights[gone] == 0).all()
        assert (hop.context[gone] == 0).all()


@pytest.mark.parametrize("name", FUSING)
def test_the_learned_vector_is_learned_and_used(name: str) -> None:
    if name == "late":
        pytest.skip("a clip is judged by the modalities that it has")
    case = settings(name=name, missing_modality="learned", hops=3)
    network = build(case, SIZES).eval()
    vectors = {k: p for k, p in network.named_parameters() if ".vectors." in k or "absent" in k}
    assert len(vectors) == len(case.uses)
    clips = lacking(**{case.attended[0].value: [1]})
    functional.cross_entropy(network(clips).logits, torch.arange(4)).backward()
    (used,) = (p for k, p in vectors.items() if k.endswith(f".{case.attended[0]}"))
    assert used.grad is not None
    if name not in ("mdrea", "gated"):  # there the attended one's own vector counts for little
        assert used.grad.abs().sum() > 0
    before = network(clips).logits
    with torch.no_grad():
        used.add_(1.0)
    after = network(clips).logits
    torch.testing.assert_close(before[[0, 2, 3]], after[[0, 2, 3]])
    if name not in ("mdrea",):
        assert not torch.allclose(before[1], after[1])


def test_zero_has_no_parameters_of_its_own() -> None:
    plain, learned = (build(settings(missing_modality=a), SIZES) for a in ("zero", "learned"))
    more = set(learned.state_dict()) - set(plain.state_dict())
    assert more == {f"encoders.absent.vectors.{m}" for m in MODALITIES}


def test_no_words_are_not_absent_words() -> None:
    clips = batch({**LENGTHS, T: [0, 3, 5, 1]})
    network = build(settings(missing_modality="learned"), SIZES).eval()
    with torch.no_grad():
        network.get_parameter("encoders.absent.vectors.text").fill_(1.0)
    silent = network(clips).logits[0]
    absent = network(clips.without({T: torch.tensor([True, False, False, False])})).logits[0]
    assert not torch.allclose(silent, absent)


def test_drop_takes_its_share_and_leaves_one() -> None:
    long = {m: [2] * 4000 for m in MODALITIES}
    torch.manual_seed(0)
    found = drop(batch(long), 0.3)
    there = torch.stack([found.has(m) for m in MODALITIES])
    assert there.any(0).all()
    # a clip that would lose all three keeps one: of 0.3^3 each modality gets a third back
    expected = 0.7 + 0.3**3 / 3
    assert there.float().mean(1).tolist() == pytest.approx([expected] * 3, abs=0.03)
    for m in MODALITIES:
        assert ((found.lengths[m] > 0) == found.has(m)).all()
    torch.manual_seed(0)
    again = drop(batch(long), 0.3)
    assert all((again.has(m) == found.has(m)).all() for m in MODALITIES)


def test_drop_never_takes_the_only_modality() -> None:
    torch.manual_seed(0)
    masks = {A: torch.ones(4, dtype=torch.bool), V: torch.ones(4, dtype=torch.bool)}
    found = drop(batch(LENGTHS).without(masks), 0.99)
    assert found.has(T).all()
    assert not found.has(A).any()


def toy(count: int, seed: int) -> Batch:
    """Two modalities of one step that say the class alike, around means that are far from 0."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randint(0, 4, (count,), generator=generator)
    said = torch.eye(4)[classes]
    steps = {
        m: (said * loud + mean + 0.4 * torch.randn(count, 4, generator=generator))[:, None]
        for m, loud, mean in ((A, 1.5, torch.tensor([4.0, 0, 0, 0])), (V, 1.0, 0.0))
    }
    one = torch.ones(count, dtype=torch.long)
    return Batch(tuple(map(str, range(count))), steps, {A: one, V: one}, classes=classes)


def accuracy(network: nn.Module, clips: Batch, gone: Mapping[Modality, Tensor]) -> float:
    network.eval()
    said = network(clips.without(gone)).logits.argmax(1)
    return float((said == clips.classes).float().mean())


def test_modality_dropout_teaches_to_do_without() -> None:
    case = settings(name="stats", modalities=(A, V), missing_modality="learned",
                    audio={"dropout": 0.0}, video={"dropout": 0.0})  # fmt: skip
    scores = {}
    test = toy(600, seed=1)
    gone = torch.ones(600, dtype=torch.bool)
    for share in (0.0, 0.4):
        torch.manual_seed(0)
        network = build(case, InputDims(4, {A: 4, V: 4}))
        optimiser = torch.optim.Adam(network.parameters(), lr=0.02)
        train = toy(400, seed=0)
        assert train.classes is not None
        for _ in range(150):
            optimiser.zero_grad()
            clips = drop(train, share) if share else train
            functional.cross_entropy(network(clips).logits, train.classes).backward()
            optimiser.step()
        scores[share] = [accuracy(network, test, {m: gone}) for m in (A, V)]
    assert scores[0.4][0] > scores[0.0][0] + 0.03
    assert scores[0.4][1] >= scores[0.0][1] - 0.02
