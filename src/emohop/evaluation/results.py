"""What a fold run (one fold, one seed) leaves behind: predictions.parquet and metrics.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emohop.errors import EmohopError
from emohop.evaluation.metrics import checked_probabilities, class_numbers, metrics
from emohop.evaluation.run_files import FoldRunMetrics
from emohop.evaluation.run_folder import FoldRunFolder
from emohop.files import replacing

SPLITS = ("dev", "test")
_TEXTS = ("split", "id", "speaker", "label", "predicted")
_PROBABILITY = "p_"


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Predicted clips, one entry per clip [n]; an id occurs once in each split.

    `probabilities` is [n, classes] in the order of `labels`; `predicted` is the most probable
    label. Raises EmohopError when the parts contradict each other.
    """

    split: tuple[str, ...]
    id: tuple[str, ...]
    speaker: tuple[str | None, ...]
    label: tuple[str, ...]
    predicted: tuple[str, ...]
    probabilities: NDArray[np.float32]
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        shape = np.shape(self.probabilities)
        lengths = {len(self.split), len(self.id), len(self.speaker), len(self.label)}
        if shape != (len(self.predicted), len(self.labels)) or lengths != {len(self.predicted)}:
            raise EmohopError(
                f"predictions of {shape} probabilities, {len(self.labels)} labels and columns "
                f"of {sorted(lengths | {len(self.predicted)})} rows do not fit together"
            )
        for what, values, known in (
            ("split", self.split, SPLITS),
            ("label", self.label, self.labels),
        ):
            if strange := sorted(set(values) - set(known)):
                raise EmohopError(f"{what} {strange[0]!r} in predictions: one of {list(known)}")
        if not self.split:
            return
        (pair, times), *_ = Counter(zip(self.split, self.id, strict=True)).most_common(1)
        if times > 1:
            raise EmohopError(f"clip {pair[1]} is predicted {times} times in {pair[0]}")
        best = checked_probabilities(self.probabilities).argmax(axis=1)
        for row, (number, said) in enumerate(zip(best, self.predicted, strict=True)):
            if self.labels[number] != said:
                raise EmohopError(
                    f"clip {self.id[row]} is predicted {said!r}, but {self.labels[number]!r} is "
                    "the most probable label"
                )

    @classmethod
    def of(
        cls,
        split: str,
        ids: Sequence[str],
        speakers: Sequence[str | None],
        true: ArrayLike,
        probabilities: ArrayLike,
        labels: Sequence[str],
    ) -> Predictions:
        """Predictions of one split, from true class numbers [n] and probabilities."""
        table = np.asarray(probabilities, dtype=np.float32)
        names = tuple(map(str, labels))
        numbers = class_numbers(true, len(names), "true")
        return cls(
            split=(split,) * len(numbers),
            id=tuple(map(str, ids)),
            speaker=tuple(None if s is None else str(s) for s in speakers),
            label=tuple(names[number] for number in numbers),
            predicted=tuple(names[number] for number in checked_probabilities(table).argmax(1)),
            probabilities=table,
            labels=names,
        )

    def __len__(self) -> int:
        return len(self.id)

    def __add__(self, other: Predictions) -> Predictions:
        """Both one after the other; they have the same labels and share no clip of a split."""
        if self.labels != other.labels:
            raise EmohopError(f"predictions over {self.labels} and over {other.labels}")
        texts: dict[str, Any] = {n: getattr(self, n) + getattr(other, n) for n in _TEXTS}
        return Predictions(
            **texts,
            probabilities=np.concatenate([self.probabilities, other.probabilities]),
            labels=self.labels,
        )

    def part(self, split: str) -> Predictions:
        """The predictions of one split, in their order."""
        rows = [row for row, name in enumerate(self.split) if name == split]
        texts: dict[str, Any] = {n: tuple(getattr(self, n)[row] for row in rows) for n in _TEXTS}
        return Predictions(
            **texts,
            probabilities=self.probabilities[rows],
            labels=self.labels,
        )

    @property
    def true_numbers(self) -> NDArray[np.int64]:
        """The class numbers [n] of `label`."""
        return self._numbers(self.label)

    @property
    def predicted_numbers(self) -> NDArray[np.int64]:
        """The class numbers [n] of `predicted`."""
        return self._numbers(self.predicted)

    def metrics(self) -> dict[str, Any]:
        """The metrics.json block of these clips; EmohopError when there are none."""
        return metrics(self.true_numbers, self.probabilities)

    def _numbers(self, names: Sequence[str]) -> NDArray[np.int64]:
        number = {label: i for i, label in enumerate(self.labels)}
        return np.array([number[name] for name in names], dtype=np.int64)


def check_complete(predictions: Predictions, split: str, expected_ids: Iterable[str]) -> None:
    """Raise EmohopError unless each expected clip is predicted exactly once in `split`."""
    expected = list(expected_ids)
    wanted = set(expected)
    if len(wanted) != len(expected):
        raise ValueError("an id is expected twice")
    got = dict.fromkeys(predictions.part(split).id)
    missing = [clip for clip in expected if clip not in got]
    extra = [clip for clip in got if clip not in wanted]
    for clips, said in ((missing, "is not predicted"), (extra, "is predicted but not part of it")):
        if clips:
            others = f" (and {len(clips) - 1} more)" if len(clips) > 1 else ""
            raise EmohopError(
                f"{split}: clip {clips[0]}{others} {said}; each of its {len(expected)} clips has "
                "to be scored exactly once"
            )


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Put `predictions.parquet` in place: split, id, speaker, label, predicted, p_<label>…."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    scored = [_PROBABILITY + label for label in predictions.labels]
    columns = [*(getattr(predictions, name) for name in _TEXTS), *predictions.probabilities.T]
    table = pa.table(
        [pa.array(np.ascontiguousarray(c) if isinstance(c, np.ndarray) else c) for c in columns],
        schema=_schema(scored),
    )
    with replacing(path) as file:
        pq.write_table(table, file)


def read_predictions(path: Path) -> Predictions:
    """Read what `write_predictions` wrote; EmohopError when it is missing or something else."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # by file object: a path would make pyarrow look for partitions in the folder names
        with path.open("rb") as file:
            table = pq.read_table(file)
        names = table.column_names
        scored = names[len(_TEXTS) :]
        prefixed = bool(scored) and all(name.startswith(_PROBABILITY) for name in scored)
        if tuple(names[: len(_TEXTS)]) != _TEXTS or not prefixed:
            raise EmohopError(f"columns {', '.join(names)}: {', '.join(_TEXTS)}, p_<label>… needed")
        table = table.cast(_schema(scored))
        texts: dict[str, Any] = {name: tuple(table[name].to_pylist()) for name in _TEXTS}
        return Predictions(
            **texts,
            probabilities=np.stack([table[name].to_numpy() for name in scored], axis=1),
            labels=tuple(name.removeprefix(_PROBABILITY) for name in scored),
        )
    except FileNotFoundError:
        raise EmohopError(f"no {path}: the run did not get that far, train it again") from None
    except (OSError, ValueError, pa.ArrowException, EmohopError) as error:
        reason = str(error).splitlines()[0]
        raise EmohopError(f"{path} is not a predictions file: {reason}") from None


def _schema(probabilities: Iterable[str]) -> Any:
    import pyarrow as pa

    scored = [pa.field(name, pa.float32(), nullable=False) for name in probabilities]
    texts = [pa.field(name, pa.string(), nullable=name == "speaker") for name in _TEXTS]
    return pa.schema([*texts, *scored])


def write_fold_run(
    folder: Path,
    predictions: Predictions,
    more: Mapping[str, Mapping[str, float]] = MappingProxyType({}),
) -> FoldRunMetrics:
    """Write the predictions and, last, the metrics of one fold and seed; returns the metrics.

    `more` are further scores of dev and test.
    """
    dev, test = ({**predictions.part(s).metrics(), **more.get(s, {})} for s in SPLITS)
    found, files = FoldRunMetrics(dev=dev, test=test), FoldRunFolder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_predictions(files.predictions_file, predictions)
    found.write(files.metrics_file)
    return found
