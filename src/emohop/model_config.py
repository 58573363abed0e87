"""`model.json`: what a trained model is, how it was trained, and how clips become its input.

Beside the weights it is all that rebuilds a model. It is read without torch, since tables and
reports need it too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from emohop.clips import Modality
from emohop.config import FeatureSettings, ModelSettings, Recipe, Standardisation, settings_of
from emohop.documents import Block, Document
from emohop.learned import LearnedFile

MODEL_CONFIG = "model.json"
"""The name of the file, in a model folder."""

STATES = "text_states"
"""The array of a language model's word vectors; the words themselves are in `text`."""
LARGEST_COUNT = 2**31 - 1
LARGEST_FLOAT32, SMALLEST_FLOAT32 = 3.4028235e38, 1.2e-38
"""What a float32 above 0 can be (to its normal numbers)."""

Count = Annotated[int, Field(ge=1, le=LARGEST_COUNT)]
CountOrZero = Annotated[int, Field(ge=0, le=LARGEST_COUNT)]
Mean = Annotated[float, Field(ge=-LARGEST_FLOAT32, le=LARGEST_FLOAT32)]
Deviation = Annotated[float, Field(ge=SMALLEST_FLOAT32, le=LARGEST_FLOAT32)]


@dataclass(frozen=True, slots=True)
class InputDims:
    """What the data decide about a network.

    `steps` maps audio and video to the numbers in a frame and text to the size of the vocabulary,
    or with `text_states` to the numbers in a word's vector. Of a modality in `layers`, so many
    hidden states of that size stand side by side in a frame.

    Example:
        >>> emohop.InputDims(7, {emohop.Modality.AUDIO: 120}).width(emohop.Modality.AUDIO)
        120
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    classes: Count
    steps: Mapping[Modality, Count]
    prosody: CountOrZero = 0
    layers: Mapping[Modality, Annotated[int, Field(ge=2, le=LARGEST_COUNT)]] = field(
        default_factory=dict
    )
    text_states: bool = False

    def words(self, modality: Modality) -> bool:
        """Whether its steps are numbers of words, not of numbers themselves."""
        return modality is Modality.TEXT and not self.text_states

    def width(self, modality: Modality) -> int:
        """Numbers in a step, all hidden states together; for what is not `words`."""
        return self.steps[modality] * self.layers.get(modality, 1)


class Moments(Block):
    """Mean and standard deviation of each feature of an array."""

    mean: tuple[Mean, ...]
    std: tuple[Deviation, ...]

    @property
    def lengths(self) -> tuple[int, int]:
        """Numbers in either."""
        return len(self.mean), len(self.std)


class Normalisation(Block):
    """The training part's feature statistics, by array (`standardisation.Standardiser`)."""

    kind: Standardisation
    overall: dict[str, Moments] = Field(default_factory=dict)
    speakers: dict[str, dict[str, Moments]] = Field(default_factory=dict)

    def tables(self) -> Iterator[dict[str, Moments]]:
        """The statistics of all, then those of each speaker."""
        yield self.overall
        yield from self.speakers.values()


class PreprocessorConfig(Block):
    """How clips become batches: what was fitted on the training part."""

    labels: tuple[str, ...]
    """The classes, in the order of the network's logits."""
    features: Annotated[FeatureSettings, BeforeValidator(settings_of(FeatureSettings))]
    """The features that the model was trained on."""
    sizes: InputDims
    """Sizes that the data decide."""
    encoders: dict[Modality, str] = Field(default_factory=dict)
    """The fingerprint of each modality's pretrained encoder."""
    max_length: dict[Modality, Count]
    """Steps read of a clip, by modality."""
    normalisation: Normalisation
    """Feature statistics of the training part."""
    vocabulary: tuple[str, ...] | None
    """The word of each number; None without words."""

    @model_validator(mode="after")
    def _fits(self) -> PreprocessorConfig:
        """The parts fit each other; what was fitted always does."""
        labels, sizes = self.labels, self.sizes
        if len(labels) != sizes.classes:
            raise ValueError(f"labels are {len(labels)} names, sizes.classes is {sizes.classes}")
        if len(set(labels)) != len(labels):
            raise ValueError("labels names a class twice")
        if self.max_length.keys() != sizes.steps.keys() or not sizes.steps:
            raise ValueError("max_length and sizes.steps are not of the same modalities")
        told = 0 if sizes.text_states else sizes.steps.get(Modality.TEXT, 0)
        if told != len(self.vocabulary or ()):
            raise ValueError(
                f"vocabulary has {len(self.vocabulary or ())} words, sizes.steps.text is {told}"
            )
        if not sizes.layers.keys() <= sizes.steps.keys():
            raise ValueError("sizes.layers names a modality that sizes.steps does not")
        if self.normalisation.kind != "none":
            self._check_moments()
        return self

    def _check_moments(self) -> None:
        """ValueError unless each array of numbers has statistics of its size."""
        sizes = self.sizes
        wanted = {
            array_of(m, text_states=sizes.text_states): sizes.width(m)
            for m in sizes.steps
            if not sizes.words(m)
        }
        if sizes.prosody:
            wanted["prosody"] = sizes.prosody
        for table in self.normalisation.tables():
            for name, width in wanted.items():
                if name not in table:
                    raise ValueError(f"normalisation has no {name}")
                # one number where a speaker has no steps at all
                if not {*table[name].lengths} <= {width, 1}:
                    raise ValueError(f"normalisation of {name} is not of {width} numbers")


class Calibration(Block):
    """How sure the model is, mended."""

    temperature: float = Field(gt=0)
    """What logits are divided by (docs/evaluation.md)."""


class TrainedOn(Block):
    """The prepared corpus that a model was trained on."""

    name: str
    class_set: str | None = None
    fingerprint: str
    """Of its manifest: what its features and clips depend on."""


class ExportedWith(Block):
    """How `emohop export` made the graph."""

    opset: int
    int8: bool
    """Whether weights are stored in 8 bits."""
    torch: str
    """The version of torch that it was exported with."""


class ModelConfig(Document):
    """A model folder's `model.json`.

    Example:
        >>> ModelConfig.read(Path("run/fold-0/seed-0/model/model.json")).model.name
        'amh'
    """

    remedy: ClassVar[str] = "train the model again, or copy its folder anew"

    version: Literal[4] = 4
    emohop: str
    """The version of emohop that trained it."""
    model: Annotated[ModelSettings, BeforeValidator(settings_of(ModelSettings))]
    """The network."""
    preprocessor: PreprocessorConfig
    """How clips become batches."""
    calibration: Calibration
    recipe: Annotated[Recipe, BeforeValidator(settings_of(Recipe))]
    """The whole recipe of the run; `model` is the one of this fold."""
    corpus: TrainedOn
    fold: CountOrZero
    """The fold of the recipe's protocol whose training part was used."""
    seed: int = Field(ge=0)
    learned: LearnedFile | None = None
    """The file of hashes of the clips that it learned from; None in models of an older emohop."""
    exported: ExportedWith | None = None
    """None for what was trained, which has weights and no graph."""

    @model_validator(mode="after")
    def _reads_its_inputs(self) -> ModelConfig:
        if set(self.model.uses) != set(self.preprocessor.max_length):
            raise ValueError("model does not read the modalities of preprocessor.max_length")
        return self


def array_of(modality: Modality, *, text_states: bool) -> str:
    """The name of the array that a modality's steps are in."""
    return STATES if modality is Modality.TEXT and text_states else modality.value
