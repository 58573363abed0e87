"""What a prepared corpus is going to hold, settled before any work: clips, classes, the cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from emohop.clips import Clip, LabelSet
from emohop.config import FeatureSettings, settings_of
from emohop.documents import Block, Document
from emohop.errors import EmohopError
from emohop.storage.backends import Place

PLAN = "plan.json"
CLIPS_PER_SHARD = 32, 256
"""At least, in a small corpus and in a large one."""
FEW_SHARDS = 512
"""Above so many, shards grow."""


def cut(clips: Sequence[Clip]) -> list[list[Clip]]:
    """Groups of clips for the shards, in order; the clips of one video file stay together."""
    fewest, most = CLIPS_PER_SHARD
    size = min(max(fewest, len(clips) // FEW_SHARDS), most)
    by_file: dict[Any, list[Clip]] = {}
    for clip in clips:
        span = clip.video or clip.audio
        by_file.setdefault(span.path if span else None, []).append(clip)
    groups: list[list[Clip]] = []
    for file, members in by_file.items():
        parts = [members] if file else [members[i : i + size] for i in range(0, len(members), size)]
        for part in parts:
            if groups and len(groups[-1]) < size:
                groups[-1].extend(part)
            else:
                groups.append(list(part))
    return groups


class ClassSet(Block):
    """The classes that clips are prepared for."""

    name: str
    labels: tuple[str, ...]
    merged: dict[str, str]
    """Labels of the corpus that count as another."""


class PreparationPlan(Document):
    """`plan.json`: what was asked for."""

    remedy: ClassVar[str] = "choose a new folder or delete it"

    version: Literal[2] = 2
    corpus: str
    class_set: ClassSet
    features: Annotated[FeatureSettings, BeforeValidator(settings_of(FeatureSettings))]
    reading: dict[str, str | bool] = Field(default_factory=dict)
    """The options of the corpus's reader."""

    def content(self) -> dict[str, Any]:
        """What the plan says, without the version of its file."""
        return self.model_dump(mode="json", exclude={"version"})


def make_plan(
    corpus: str,
    labels: LabelSet,
    features: FeatureSettings,
    reading: Mapping[str, str | bool] | None = None,
) -> PreparationPlan:
    """What was asked for; a folder is continued only under an equal plan."""
    return PreparationPlan(
        corpus=corpus,
        class_set=ClassSet(name=labels.name, labels=labels.labels, merged=dict(labels.merged)),
        features=features,
        reading=dict(reading or {}),
    )


def is_begun(out: Place, where: str, plan: PreparationPlan) -> bool:
    """Whether `out` holds a run of this plan; EmohopError when it holds something else.

    Where every label of a corpus is a class, its classes may have changed with it.
    """
    files = {name for name in out.names() if not name.startswith(".")}
    if PLAN not in files:
        if files:
            raise EmohopError(f"{where} exists and is not a prepared corpus: choose a new folder")
        return False
    begun, now = read_plan(out, where).content(), plan.content()
    if plan.class_set.name == plan.corpus:
        begun["class_set"]["labels"] = now["class_set"]["labels"]
    differing = [key for key in now if begun[key] != now[key]]
    if differing:
        what = ", ".join(differing)
        raise EmohopError(
            f"{where} was begun with other settings ({what}): choose a new folder or delete it"
        )
    return True


def read_plan(out: Place, where: str) -> PreparationPlan:
    """The plan of what was begun; EmohopError when it is missing or damaged."""
    try:
        return PreparationPlan.parse(out.get(PLAN), f"{where}/{PLAN}")
    except FileNotFoundError:
        raise EmohopError(f"no {PLAN} in {where}: `emohop prepare` did not write it") from None


def begin(out: Place, where: str, plan: PreparationPlan) -> None:
    """Write the plan to `out`, or refuse what holds something else than a run of this plan."""
    if not is_begun(out, where, plan) or read_plan(out, where) != plan:
        out.put(PLAN, plan.to_bytes())
