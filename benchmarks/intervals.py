"""How often intervals over speakers hold the truth, and how often runs that are alike look unlike.

    python benchmarks/intervals.py

Speakers with a skill of their own (normal, 0.6 ± 0.12) say clips of seven classes, half of the runs
in equal shares and half with rare ones; the truth is the score of 20,000 of them. For each number
of speakers, the share of 95 % intervals that hold the truth, of four kinds: the percentiles of a
bootstrap over speakers, the same bias-corrected and accelerated (BCa), t times the error of
linearised scores, and t times the jackknife's error, which emohop uses. Then of two runs that are
alike, the share whose difference has p < 0.05, by the bootstrap and by swaps of speakers, which
emohop uses.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from emohop import processes
from emohop.evaluation.metrics import scores
from emohop.evaluation.significance import cluster_intervals, paired_differences

CLASSES = 7
EQUAL = np.full(CLASSES, 1 / CLASSES)
RARE = np.array([0.3, 0.2, 0.15, 0.15, 0.1, 0.06, 0.04])
EASE = np.array([-0.1, 0.1, 0.0, 0.05, -0.05, -0.15, 0.1])
SHOWN = ("accuracy", "balanced_accuracy", "f1_macro")
KINDS = ("percentile", "BCa", "linearised t", "jackknife t")
RESAMPLES = 1000
CLIPS = 60
Tables = NDArray[np.float64]


def speakers(draw: np.random.Generator, count: int, shares: NDArray[np.float64]) -> Tables:
    """The confusion matrices of so many speakers, [count, classes, classes]."""
    return np.stack([confused(draw, *spoken(draw, shares)) for _ in range(count)])


def spoken(
    draw: np.random.Generator, shares: NDArray[np.float64]
) -> tuple[NDArray[np.int64], float]:
    """How many clips of each class a speaker says, and the speaker's skill."""
    clips = draw.integers(CLIPS // 2, CLIPS * 3 // 2)
    return draw.multinomial(clips, draw.dirichlet(40 * shares)), float(draw.normal(0.6, 0.12))


def confused(draw: np.random.Generator, clips: NDArray[np.int64], skill: float) -> Tables:
    """What a model says of a speaker's clips."""
    right = np.clip(np.clip(skill, 0.15, 0.95) + EASE, 0.05, 0.97)
    chances = np.repeat(((1 - right) / (CLASSES - 1))[:, None], CLASSES, axis=1)
    np.fill_diagonal(chances, right)
    found = [draw.multinomial(clips[k], chances[k]) for k in range(CLASSES)]
    return np.array(found, dtype=np.float64)


def clips_of(tables: Tables) -> tuple[NDArray[np.int64], NDArray[np.int64], list[int]]:
    """Tables as true and predicted classes and speakers, one entry a clip."""
    who, true, said = (np.indices(tables.shape)[axis].ravel() for axis in range(3))
    times = tables.ravel().astype(np.int64)
    columns = (np.repeat(column, times) for column in (true, said, who))
    first, second, third = columns
    return first, second, third.tolist()


def intervals(
    draw: np.random.Generator, tables: Tables
) -> Iterator[tuple[str, str, tuple[float, float]]]:
    """Each score's intervals by kind."""
    count, whole = len(tables), scores(tables.sum(0))
    flat = tables.reshape(count, -1)
    drawn = draw.multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(float) @ flat
    again = scores(drawn.reshape(-1, CLASSES, CLASSES))
    without = scores(tables.sum(0) - tables)
    step = 1e-4
    up, down = (scores(tables.sum(0) + sign * step * tables) for sign in (1, -1))
    ours = cluster_intervals(*clips_of(tables), CLASSES)
    for name in SHOWN:
        value, values = float(whole[name]), again[name]
        low, high = np.quantile(values, (0.025, 0.975))
        yield name, KINDS[0], (float(low), float(high))
        below = (values < value).mean() + (values == value).mean() / 2
        bias = norm.ppf(np.clip(below, 1e-4, 1 - 1e-4))
        apart = without[name].mean() - without[name]
        cubes = (apart**2).sum() ** 1.5
        bend = (apart**3).sum() / (6 * cubes) if cubes else 0.0
        ends = bias + norm.ppf((0.025, 0.975))
        places = norm.cdf(bias + ends / (1 - bend * ends))
        low, high = np.quantile(values, np.clip(places, 0, 1))
        yield name, KINDS[1], (float(low), float(high))
        slope = (up[name] - down[name]) / (2 * step)
        half = t.ppf(0.975, count - 1) * np.sqrt(count / (count - 1) * np.square(slope).sum())
        yield name, KINDS[2], (value - float(half), value + float(half))
        yield name, KINDS[3], ours[name]


def covered(task: tuple[int, int, bool]) -> dict[tuple[str, str], float]:
    """The share of intervals that hold the truth, by score and kind."""
    count, runs, rare = task
    shares = RARE if rare else EQUAL
    truth = scores(speakers(np.random.default_rng(99), 20_000, shares).sum(0))
    draw, hits = np.random.default_rng(count), dict[tuple[str, str], list[bool]]()
    for _ in range(runs):
        for name, kind, (low, high) in intervals(draw, speakers(draw, count, shares)):
            hits.setdefault((name, kind), []).append(low <= float(truth[name]) <= high)
    return {key: float(np.mean(found)) for key, found in hits.items()}


def alarms(task: tuple[int, int]) -> tuple[float, float]:
    """The share of alike runs with p < 0.05 in balanced accuracy: by bootstrap, by swaps."""
    count, runs = task
    draw, small = np.random.default_rng(count), np.zeros((runs, 2), bool)
    for run in range(runs):
        said = [spoken(draw, EQUAL) for _ in range(count)]
        a, b = (np.stack([confused(draw, *one) for one in said]) for _ in range(2))
        chances = np.full(count, 1 / count)
        drawn = draw.multinomial(count, chances, RESAMPLES).astype(float)
        sides = [
            scores((drawn @ side.reshape(count, -1)).reshape(-1, CLASSES, CLASSES))
            for side in (a, b)
        ]
        gaps = sides[1]["balanced_accuracy"] - sides[0]["balanced_accuracy"]
        rarer = min((gaps <= 0).sum(), (gaps >= 0).sum())
        small[run, 0] = 2 * (1 + rarer) / (RESAMPLES + 1) < 0.05
        # the same clips of the same speakers, so that both are in one order of true classes
        true_a, said_a, who = clips_of(a)
        _, said_b, _ = clips_of(b)
        p = paired_differences(true_a, said_a, said_b, who, CLASSES)["balanced_accuracy"].p
        small[run, 1] = p < 0.05
    bootstrap, swaps = small.mean(axis=0)
    return float(bootstrap), float(swaps)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=1000, help="simulated corpora of each kind")
    parser.add_argument("--speakers", default="2,5,10,24,100", help="numbers of speakers")
    parser.add_argument("--jobs", type=int, default=processes.cores())
    asked = parser.parse_args()
    counts = [int(count) for count in asked.speakers.split(",")]
    tasks = [(count, asked.runs, rare) for count in counts for rare in (False, True)]
    found = dict(processes.run(covered, tasks, asked.jobs))
    alike = dict(processes.run(alarms, [(count, asked.runs) for count in counts], asked.jobs))
    print("| speakers | score |", " | ".join(KINDS), "|")
    print("|---|---|" + "---|" * len(KINDS))
    for place, count in enumerate(counts):
        for name in SHOWN:
            both = (found[2 * place], found[2 * place + 1])
            cells = (f"{np.mean([part[name, kind] for part in both]):.3f}" for kind in KINDS)
            print(f"| {count} | {name} |", " | ".join(cells), "|")
    print("\n| speakers | p < 0.05 of runs alike, by bootstrap | by swaps |\n|---|---|---|")
    for place, count in enumerate(counts):
        bootstrap, swaps = alike[place]
        print(f"| {count} | {bootstrap:.3f} | {swaps:.3f} |")


if __name__ == "__main__":
    main()
