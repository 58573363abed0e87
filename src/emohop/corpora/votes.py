"""What raters said of a clip, as shares of the classes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from emohop.clips import Clip, LabelSet


def vote_shares(clip: Clip, words: Mapping[str, str], labels: LabelSet) -> NDArray[np.float32]:
    """The raters' votes by class, float32 [classes], summing to 1, or 0 where none is of a class.

    `words` maps the corpus's words for categories, in lower case, to its labels. A rater who names
    several categories shares one vote among them; what is of no class of the set is dropped.
    """
    counts = dict.fromkeys(labels.labels, 0.0)
    for vote in clip.votes:
        found = [labels.class_of(words.get(word.strip().lower())) for word in vote.categories]
        for name in found:
            if name is not None:
                counts[name] += 1 / len(found)
    shares = np.array(list(counts.values()), np.float32)
    return np.asarray(shares / max(float(shares.sum()), 1e-9), np.float32)
