"""How long one training step takes: ours, plain PyTorch, packed sequences.

    python benchmarks/train_step.py                      # on the CPU, 1 and 2 threads
    python benchmarks/train_step.py --device cuda        # steps a second on a GPU

AMH with 7 hops at the published sizes on a batch of 128 clips whose lengths are drawn as
IEMOCAP's are; forward, backward and an Adam step. Everything that is compared takes turns in one
run, medians are printed. `plain` is the same model as one writes it with torch's own parts:
padded batches, torch.nn.GRU, torch's dropout, attention by einsum and masked softmax; before
anything is timed its logits are compared with ours. `packed` is plain with packed sequences.
On the CPU each row says, too, how long one more step spent in matrix products alone.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.profiler import ProfilerActivity, profile

from emohop.clips import Modality
from emohop.config import ModelSettings
from emohop.model_config import InputDims
from emohop.models import build
from emohop.models.batch import Batch, Output
from emohop.models.gru import Layer
from emohop.models.hopping import ModalityHopping
from emohop.models.kernels import step_mask

A, T, V = Modality.AUDIO, Modality.TEXT, Modality.VIDEO
SIZES = InputDims(classes=7, steps={A: 120, T: 3747, V: 2048})
FRAMES_PER_SECOND, WORDS_PER_SECOND, VIDEO_FRAMES_PER_SECOND = 100, 2.9, 3
LEARNING_RATE = 1e-3


def draw_batch(clips: int, seed: int = 0) -> Batch:
    """Clips of random content; durations log-normal, mean 4.5 s, deviation 3.1 s."""
    rng = np.random.default_rng(seed)
    spread = np.log(1 + (3.1 / 4.5) ** 2)
    seconds = rng.lognormal(np.log(4.5) - spread / 2, np.sqrt(spread), clips).clip(0.6, 30)
    rate = WORDS_PER_SECOND * rng.lognormal(-(0.25**2) / 2, 0.25, clips)
    settings = ModelSettings()
    lengths = {
        m: torch.from_numpy(
            np.round(number).clip(1, settings.encoder(m).max_length).astype(np.int64)
        )
        for m, number in (
            (A, seconds * FRAMES_PER_SECOND),
            (T, seconds * rate),
            (V, seconds * VIDEO_FRAMES_PER_SECOND),
        )
    }
    generator = torch.Generator().manual_seed(seed)
    time_steps = {m: int(long.max()) for m, long in lengths.items()}
    steps = {
        A: torch.randn(clips, time_steps[A], SIZES.steps[A], generator=generator),
        T: torch.randint(2, SIZES.steps[T], (clips, time_steps[T]), generator=generator),
        V: torch.rand(clips, time_steps[V], SIZES.steps[V], generator=generator),
    }
    for m, values in steps.items():
        values[~step_mask(lengths[m], time_steps[m])] = 0
    classes = torch.randint(SIZES.classes, (clips,), generator=generator)
    return Batch(("",) * clips, steps, lengths, None, classes)


class Plain(nn.Module):
    """The same network with torch's own parts, and with the same weights."""

    def __init__(self, ours: ModalityHopping, *, packed: bool) -> None:
        super().__init__()
        self.targets, self.packed = ours.targets, packed
        self.project, self.classify = ours.project, ours.classify
        encoders = {m: ours.get_submodule(f"encoders.encoders.{m}") for m in (A, T, V)}
        self.embedding = encoders[T].get_submodule("steps.embedding")
        self.dropout = {m: ModelSettings().encoder(m).dropout for m in encoders}
        self.grus = nn.ModuleDict()
        for m, encoder in encoders.items():
            layer = encoder.get_submodule("gru.forward_stack.0")
            assert isinstance(layer, Layer)
            self.grus[m.value] = _torch_gru(layer)

    def forward(self, batch: Batch) -> Output:
        """Logits, with padding everywhere."""
        outputs, vectors = {}, {}
        for m in (A, T, V):
            steps, lengths = batch.sequences[m], batch.lengths[m]
            if m is T:
                steps = self.embedding(steps)
            steps = functional.dropout(steps, self.dropout[m], self.training)
            outputs[m], vectors[m] = self._encode(self.grus[m.value], steps, lengths)
        for target, project in zip(self.targets, self.project, strict=True):
            query = project(torch.cat([v for m, v in vectors.items() if m is not target], dim=-1))
            scores = torch.einsum("bs,bts->bt", query, outputs[target])
            valid = step_mask(batch.lengths[target], scores.shape[1])
            weights = torch.softmax(scores.masked_fill(~valid, -1e9), dim=-1)
            vectors[target] = torch.einsum("bt,bts->bs", weights, outputs[target])
        return Output(self.classify(torch.cat(list(vectors.values()), dim=-1)))

    def _encode(self, gru: nn.Module, steps: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        if self.packed:
            sequence = pack_padded_sequence(
                steps, lengths.cpu(), batch_first=True, enforce_sorted=False
            )
            outputs, state = gru(sequence)
            padded, _ = pad_packed_sequence(outputs, batch_first=True, total_length=steps.shape[1])
            return padded, state[0]
        outputs, _ = gru(steps)
        rows = torch.arange(len(lengths), device=lengths.device)
        return outputs, outputs[rows, lengths - 1]


def _torch_gru(layer: Layer) -> nn.GRU:
    gru = nn.GRU(layer.size, layer.hidden, batch_first=True)
    weights = torch.cat([layer.gates.weight, layer.candidate.weight])
    gru.load_state_dict(
        {
            "weight_ih_l0": weights[:, : layer.size],
            "weight_hh_l0": weights[:, layer.size :],
            "bias_ih_l0": (bias := torch.cat([layer.gates.bias, layer.candidate.bias])),
            "bias_hh_l0": torch.zeros_like(bias),
        }
    )
    return gru


@dataclass
class Contestant:
    """A network that takes training steps."""

    name: str
    network: nn.Module
    bfloat16: bool = False

    def __post_init__(self) -> None:
        self.network.train()
        self.optimizer = torch.optim.Adam(self.network.parameters(), LEARNING_RATE)

    def step(self, batch: Batch) -> None:
        """Forward, backward, Adam."""
        assert batch.classes is not None
        self.optimizer.zero_grad()
        kind = batch.classes.device.type
        with torch.autocast(kind, torch.bfloat16, enabled=self.bfloat16):
            logits = self.network(batch).logits
        functional.cross_entropy(logits.float(), batch.classes).backward()
        self.optimizer.step()


def network(*, reset_after: bool, device: torch.device) -> ModalityHopping:
    """AMH-7 at the published sizes, always with the same weights."""
    torch.manual_seed(0)
    made = build(ModelSettings(reset_after=reset_after), SIZES).to(device)
    assert isinstance(made, ModalityHopping)
    return made


def check_plain(device: torch.device) -> None:
    """Plain and packed compute what ours computes."""
    batch = draw_batch(8, seed=1).to(device)
    with torch.no_grad():
        ours = network(reset_after=True, device=device).eval()
        for packed in (False, True):
            plain = Plain(ours, packed=packed).to(device).eval()
            torch.testing.assert_close(
                ours(batch).logits, plain(batch).logits, rtol=1e-3, atol=1e-4
            )


def take_turns(
    contestants: Sequence[Contestant],
    batch: Batch,
    rounds: int,
    clock: Callable[[Callable[[], None]], float],
) -> dict[str, list[float]]:
    """Seconds of each step; every round gives each contestant one step."""
    seconds: dict[str, list[float]] = {c.name: [] for c in contestants}
    for number in range(rounds + 1):
        for contestant in contestants:
            taken = clock(lambda c=contestant: c.step(batch))  # type: ignore[misc]
            if number:  # the first round warms up
                seconds[contestant.name].append(taken)
    return seconds


def on_cpu(threads: int, rounds: int, clips: int) -> None:
    """The table of one number of threads, in Markdown."""
    torch.set_num_threads(threads)
    device = torch.device("cpu")
    check_plain(device)
    batch = draw_batch(clips)
    after = network(reset_after=True, device=device)
    contestants = [
        Contestant("plain", Plain(after, packed=False)),
        Contestant("ours, reset after", network(reset_after=True, device=device)),
        Contestant("ours, reset before", network(reset_after=False, device=device)),
        Contestant("plain, bfloat16", Plain(after, packed=False), bfloat16=True),
        Contestant("ours, reset after, bfloat16", network(reset_after=True, device=device), True),
        Contestant("ours, reset before, bfloat16", network(reset_after=False, device=device), True),
    ]
    seconds = take_turns(contestants, batch, rounds, cpu_clock)
    packed = Contestant("packed (one step)", Plain(after, packed=True))
    seconds[packed.name] = [cpu_clock(lambda: packed.step(batch))]
    products = {c.name: f"{_product_seconds(c, batch):.3f} s" for c in contestants}
    reference = statistics.median(seconds["plain"])
    rows = ", ".join(f"{m} {int(long.sum())}" for m, long in batch.lengths.items())
    print(f"\n{threads} thread{'s' * (threads > 1)}; steps in the batch: {rows}\n")
    print("| | median | fastest | slowest | times as fast as plain | its matrix products alone |")
    print("|---|---|---|---|---|---|")
    for name, taken in seconds.items():
        median = statistics.median(taken)
        print(
            f"| {name} | {median:.3f} s | {min(taken):.3f} | {max(taken):.3f} "
            f"| {reference / median:.2f} | {products.get(name, '')} |"
        )


def cpu_clock(step: Callable[[], None]) -> float:
    """Seconds of a call."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def _product_seconds(contestant: Contestant, batch: Batch) -> float:
    """Seconds of one step on the CPU within the operators that multiply matrices."""
    names = {f"aten::{n}" for n in ("mm", "addmm", "bmm", "baddbmm", "mv", "addmv")}
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        contestant.step(batch)
    spent = (e.self_cpu_time_total for e in profiled.key_averages() if e.key in names)
    return float(sum(spent)) / 1e6


def gpu_clock(step: Callable[[], None]) -> float:
    """Seconds of a call on the GPU, until it is done."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    step()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def on_gpu(rounds: int, clips_of_batches: Sequence[int], *, compiled: bool) -> None:
    """Steps a second on a GPU, and the share of its time in matrix products, in Markdown."""
    device = torch.device("cuda")
    check_plain(device)
    print("\n| batch | precision | network | median | steps/s | clips/s | in matrix products |")
    print("|---|---|---|---|---|---|---|")
    for clips in clips_of_batches:
        batch = draw_batch(clips).to(device)
        for bfloat16 in (False, True):
            contestants = []
            for reset_after in (True, False):
                name = f"ours, reset {'after' if reset_after else 'before'}"
                eager = network(reset_after=reset_after, device=device)
                contestants.append(Contestant(name, eager, bfloat16))
            if compiled:  # minutes: the rows of every batch are cut otherwise
                network_of_graphs: Any = torch.compile(network(reset_after=True, device=device))
                contestants.append(
                    Contestant("ours, reset after, compiled", network_of_graphs, bfloat16)
                )
            plain = Plain(network(reset_after=True, device=device), packed=False).to(device)
            contestants.append(Contestant("plain", plain, bfloat16))
            seconds = take_turns(contestants, batch, rounds, gpu_clock)
            for contestant in contestants:
                median = statistics.median(seconds[contestant.name])
                share = _product_share(contestant, batch)
                print(
                    f"| {clips} | {'bfloat16' if bfloat16 else 'float32'} | {contestant.name} "
                    f"| {median * 1000:.1f} ms | {1 / median:.1f} | {clips / median:.0f} "
                    f"| {share:.0%} |",
                    flush=True,
                )


def _product_share(contestant: Contestant, batch: Batch) -> float:
    """Share of the GPU's busy time in kernels that multiply matrices."""
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        contestant.step(batch)
        torch.cuda.synchronize()
    kernels = [(e.key.lower(), e.self_device_time_total) for e in profiled.key_averages()]
    names = ("gemm", "gemv", "cutlass", "matmul", "rnn", "nvjet", "xmma")
    products: float = sum(spent for name, spent in kernels if any(n in name for n in names))
    return products / max(1e-9, float(sum(spent for _, spent in kernels)))


def main() -> None:
    """Print the machine and the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", default="1,2", help="numbers of threads, on the CPU")
    parser.add_argument("--rounds", type=int, default=10, help="steps of each that count")
    parser.add_argument("--clips", help="in a batch; default 128, and on a GPU 128,2048")
    parser.add_argument("--compiled", action="store_true", help="torch.compile too, on a GPU")
    options = parser.parse_args()
    print(f"torch {torch.__version__}, Python {platform.python_version()}", end="")
    if options.device == "cuda":
        print(f", {torch.cuda.get_device_name()}")
        on_gpu(
            options.rounds,
            [int(n) for n in (options.clips or "128,2048").split(",")],
            compiled=options.compiled,
        )
        return
    print(f", {torch.backends.cpu.get_cpu_capability()}")
    for threads in options.threads.split(","):
        on_cpu(int(threads), options.rounds, int(options.clips or 128))


if __name__ == "__main__":
    main()
