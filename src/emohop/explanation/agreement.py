"""The entropy of hops, and whether other seeds attend to the same steps."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from emohop.clips import Modality
from emohop.explanation.results import Agreement, Entropy
from emohop.prediction import AttentionMap

AttentionMaps = Mapping[str, Sequence[AttentionMap]]
"""Each clip's hops, by its name."""
SHUFFLES = 100
FEWEST_STEPS = 3
"""Of a clip whose weights are compared: the order of two is right half the time."""


def entropies(targets: Sequence[AttentionMaps]) -> list[Entropy]:
    """Mean and deviation of each hop's entropy over clips with two steps or more."""
    found = []
    for hop, target in enumerate(_targets(targets)):
        maps = [clip[hop] for target in targets for clip in target.values()]
        values = [each_map.entropy for each_map in maps if len(each_map.weights) > 1]
        if values:
            mean, spread = float(np.mean(values)), float(np.std(values))
            found.append(
                Entropy(hop=hop + 1, target=target, clips=len(values), mean=mean, std=spread)
            )
    return found


def agreement(folds: Sequence[Sequence[AttentionMaps]], seed: int) -> list[Agreement]:
    """Spearman's correlation of weights on the same clips between the seeds of a fold.

    The mean over clips and pairs of seeds, hop by hop, then (hop None) of all hops that attend to a
    modality, summed. `shuffled` is that mean where one side's weights are shuffled within each
    clip, and `shuffled_95` the range that 95 % of SHUFFLES such means lie in.
    """
    pairs = [pair for fold in folds for pair in itertools.combinations(fold, 2)]
    if not pairs:
        return []
    targets = _targets(folds[0])
    wanted: list[tuple[int | None, Modality]] = [*enumerate(targets, 1)]
    wanted += [(None, modality) for modality in dict.fromkeys(targets)]
    found = []
    for hop, target in wanted:
        chosen = [
            k for k, t in enumerate(targets) if (t is target if hop is None else k == hop - 1)
        ]
        true, shuffled = [], []
        for one, other in pairs:
            for name in one:
                mine, theirs = (_summed(maps[name], chosen) for maps in (one, other))
                if len(mine) < FEWEST_STEPS:
                    continue
                draw = np.random.default_rng([seed, zlib.crc32(name.encode())])
                values = _correlations(mine, theirs, draw)
                true.append(values[0])
                shuffled.append(values[1:])
        if true:
            means = np.mean(shuffled, axis=0)
            low, high = np.quantile(means, (0.025, 0.975))
            found.append(
                Agreement(
                    hop=hop,
                    target=target,
                    pairs=len(true),
                    spearman=float(np.mean(true)),
                    shuffled=float(means.mean()),
                    shuffled_95=(float(low), float(high)),
                )
            )
    return found


def _targets(targets: Sequence[AttentionMaps]) -> list[Modality]:
    """The modality each hop attends to, which is the same for every clip and seed."""
    return [each_map.target for each_map in next(iter(targets[0].values()))]


def _summed(maps: Sequence[AttentionMap], hops: Sequence[int]) -> NDArray[np.float64]:
    return np.asarray(np.sum([maps[k].weights.astype(np.float64) for k in hops], axis=0))


def _correlations(
    mine: NDArray[np.float64], theirs: NDArray[np.float64], draw: np.random.Generator
) -> NDArray[np.float64]:
    """Spearman's correlation, then SHUFFLES with one side shuffled; 0 where a side is all alike."""
    from scipy.stats import rankdata

    ranks = [rankdata(side) - (len(side) + 1) / 2 for side in (mine, theirs)]
    length = float(np.linalg.norm(ranks[0]) * np.linalg.norm(ranks[1]))
    shuffled = draw.permuted(np.tile(ranks[1], (SHUFFLES, 1)), axis=1)
    products = np.vstack([ranks[1], shuffled]) @ ranks[0]
    return np.asarray(products / (length or 1.0))
