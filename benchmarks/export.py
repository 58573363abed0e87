"""The network in PyTorch, in onnxruntime, and there with weights of int8: one clip, one thread.

    python benchmarks/export.py [--rounds 100]

AMH-7 at the published sizes with random weights, on a clip of 5 s with 20 words and 15 frames.
They take turns. onnxruntime's dynamic quantisation of everything that it can do so is there too.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
from pathlib import Path

import torch

from emohop.exporting.graph import graph_of
from emohop.exporting.int8 import as_int8
from emohop.models.onnx_network import OnnxNetwork
from predict import published


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network, batch, settings, sizes = published()
    begun = time.perf_counter()
    graph = graph_of(network, settings, sizes)
    print(f"export: {time.perf_counter() - begun:.1f} s")
    graphs = {
        "onnxruntime": graph.SerializeToString(),
        "onnxruntime, int8 weights": as_int8(graph).SerializeToString(),
        "onnxruntime, its dynamic int8": dynamic(graph.SerializeToString()),
    }
    networks: dict[str, torch.nn.Module] = {"PyTorch": network}
    for name, content in graphs.items():
        begun = time.perf_counter()
        networks[name] = OnnxNetwork(content)
        taken = time.perf_counter() - begun
        print(f"{name}: {len(content) / 1e6:.1f} MB, loaded in {1000 * taken:.0f} ms")
    times: dict[str, list[float]] = {name: [] for name in networks}
    logits = {}
    with torch.inference_mode():
        for _ in range(options.rounds + 1):
            for name, one in networks.items():
                begun = time.perf_counter()
                logits[name] = one(batch).logits
                times[name].append(1000 * (time.perf_counter() - begun))
    plain = statistics.median(times["PyTorch"][1:])
    for name, taken_ms in times.items():
        middle = statistics.median(taken_ms[1:])  # the first time is warming up
        apart = float((logits[name] - logits["PyTorch"]).abs().max())
        print(
            f"{name}: median {middle:.2f} ms, slowest {max(taken_ms[1:]):.1f}, "
            f"{plain / middle:.2f}×, logits differ by {apart:.1g}"
        )


def dynamic(content: bytes) -> bytes:
    """A graph after onnxruntime's own quantisation, which goes by files."""
    from onnxruntime.quantization import quantize_dynamic

    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "before.onnx", Path(folder) / "after.onnx"
        before.write_bytes(content)
        quantize_dynamic(before, after, per_channel=True)
        return after.read_bytes()


if __name__ == "__main__":
    main()
