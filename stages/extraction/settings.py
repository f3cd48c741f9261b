"""What decides a network and its fine-tuning: small frozen settings, every field with its unit. Imports nothing heavy.

All of it (but `workers`, which changes no bit) goes into the recipe of a feature, so a changed setting makes exactly the
features stale that it touches.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from fusecat.stages.errors import UsageError
from fusecat.stages.fields import Field
from fusecat.stages.processors import processors
from fusecat.stages.vocabulary import REFERENCE

NEW = "new"
"""`weights = "new"`: a network of the given `shape`, initialised at random, its tokenizer learnt from the training texts."""


class Library(StrEnum):
    """Who builds the network; `images`: whether it sees images (else texts), None where it builds both kinds."""

    images: bool | None

    TRANSFORMERS = "transformers", None
    PRETRAINEDMODELS = "pretrainedmodels", True
    TIMM = "timm", True
    SCIKIT_LEARN = "scikit-learn", False

    def __new__(cls, value: str, images: bool | None) -> Self:  # noqa: FBT001
        """A member with what it sees."""
        member = str.__new__(cls, value)
        member._value_, member.images = value, images
        return member


class Pooling(StrEnum):
    """How the last hidden states of a text network become one vector; `model`: as its own makers do."""

    FIRST = "first"
    MEAN = "mean"
    LAST = "last"
    FLATTEN = "flatten"
    MODEL = "model"


class Tower(StrEnum):
    """Which half of a joint checkpoint (CLIP, SigLIP) a network is."""

    TEXT = "text"
    IMAGE = "image"


class Crop(StrEnum):
    """How an image becomes a square: its centre, or all of it with its sides made equal."""

    CENTER = "center"
    SQUASH = "squash"


class Interpolation(StrEnum):
    """How pixels are scaled: by Pillow's filters, which average where they shrink, or fast, by OpenCV's linear and area."""

    FAST = "fast"
    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    LANCZOS = "lanczos"


class Channels(StrEnum):
    """Order of the colours that a network sees."""

    RGB = "rgb"
    BGR = "bgr"


class Precision(StrEnum):
    """Arithmetic of the network: `auto` is bf16 where the device has it, else fp32."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


class Balance(StrEnum):
    """Weights of the classes in the loss: none, or the inverse of their frequency (`n / (C * n_c)`)."""

    NONE = "none"
    INVERSE_FREQUENCY = "inverse_frequency"


class Optimizer(StrEnum):
    """The two optimisers of the method."""

    ADAMW = "adamw"
    ADAM = "adam"


@dataclass(frozen=True, kw_only=True)
class Training:
    """Fine-tuning of one network with a classification layer."""

    epochs: int = 10
    batch: int = 32
    """Products per optimiser step."""
    learning_rate: float = 2e-5
    optimizer: Optimizer = Optimizer.ADAMW
    weight_decay: float = 0.0
    epsilon: float = 1e-8
    warmup: float = 0.0
    """Share of all steps in which the learning rate rises; it falls linearly to 0 after them."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    label_smoothing: float = 0.0
    """Share of the target's probability that is spread over all classes."""
    balance: Balance = Balance.NONE
    patience: int = 0
    """Epochs without a better validation metric after which training stops; 0 = never."""
    group_by_length: bool = False
    """Batches of texts of like length, in random order."""
    dropout: float = 0.1
    """Probability, before the classification layer; vectors are exported before it."""
    token_dropout: float = 0.0
    """Share of the tokens that are replaced by the unknown token in training."""
    freeze: bool = False
    """Only the classification layer learns, on vectors of the given weights; with `flatten` its layer too."""
    gradient_checkpointing: bool = False
    lora: int = 0
    """Rank of the matrices that learn in place of the backbone's own (Hu et al. 2021); 0 = none. They are merged when kept."""
    seed: int = 42


@dataclass(frozen=True, kw_only=True)
class Network:
    """One entry `[networks.NAME]` of a preset."""

    name: str
    library: Library
    model: str
    """transformers: the family of a new network (`camembert`, `flaubert`, ...) or any name; else the function or model name."""
    weights: str = NEW
    """`new`, a hub id, a local folder, or a file in safetensors (or a `.pth` state dict)."""
    revision: str | None = None
    """Commit, tag or branch of a hub id."""
    sha256: str | None = None
    """Digest that a weights file must have."""
    fields: tuple[Field, ...] = ()
    shape: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the configuration of a new network."""
    vocabulary: int = 2000
    """Pieces of a new tokenizer; of TF-IDF, most words and most runs of characters."""
    tower: Tower | None = None
    """Half of a joint checkpoint, and None of any other."""
    pooling: Pooling | None = None
    """None is `mean`, where nothing says that the network is read otherwise."""
    width: int = 768
    """Width of the vector after `flatten` pooling, or of TF-IDF's after truncated SVD."""
    length: int = 256
    """Tokens, special ones included; longer texts are cut."""
    prompts: tuple[str, ...] = ()
    """Zero-shot, with `tower = "image"`: what the text half reads of a class, its name in place of `{}`; nothing is learnt."""
    lowercase: bool = False
    """Texts in small letters: a vocabulary learnt from a thousand texts cannot afford every word twice."""
    prefix: str | None = None
    """Put before every text (`query: ` for e5); None is nothing, or with pooling `model` the folder's default prompt."""
    size: int | None = None
    """Pixels: side of the square that an image network sees. This and the next six: None is what its library says."""
    resize: int | None = None
    """Pixels: side to which an image is scaled before the centre crop of `size`."""
    crop: Crop | None = None
    interpolation: Interpolation | None = None
    channels: Channels | None = None
    mean: tuple[float, float, float] | None = None
    """Of each channel, in the order of `channels`, where white is 1; `std` alike."""
    std: tuple[float, float, float] | None = None
    augment: bool = True
    reference: bool = False
    """It is compared with the others and enters no merge and no late fusion; its features are called `reference.NAME.FIELD`."""
    training: Training = Training()

    def __post_init__(self) -> None:
        if self.training.lora and self.training.freeze:
            raise UsageError(f"networks.{self.name}: 'freeze' teaches nothing before the classifier, 'lora' does; choose one")
        if self.training.optimizer is Optimizer.ADAM and self.training.weight_decay:  # the thesis's Adam had none
            raise UsageError(f"networks.{self.name}: optimizer 'adam' goes with weight_decay 0; use 'adamw' for decay")
        wrong = [field for field in self.fields if field.is_image is not self.is_image]
        if wrong:
            kind = "images" if self.is_image else "texts"
            raise UsageError(
                f"networks.{self.name}: it sees {kind}, not '{wrong[0]}'; give each kind of field a network of its own"
            )

    @property
    def is_image(self) -> bool:
        """Whether the network looks at images (else at texts)."""
        if self.library.images is not None:
            return self.library.images
        return Field.IMAGE in self.fields if self.tower is None else self.tower is Tower.IMAGE

    @property
    def learns_from_vectors(self) -> bool:
        """Whether nothing before the vector learns, so that every epoch would compute the same vectors."""
        return self.training.freeze and (self.is_image or self.pooling is not Pooling.FLATTEN)

    def feature(self, field: Field) -> str:
        """Name of what this network gives of a field: `camembert.title`, `reference.tfidf.title`."""
        return f"{REFERENCE}{self.name}.{field}" if self.reference else f"{self.name}.{field}"

    def features(self) -> tuple[str, ...]:
        """Names of the features that this network gives."""
        return tuple(map(self.feature, self.fields))


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """What all networks of a study share in stage one."""

    precision: Precision = Precision.AUTO
    storage: str = "float16"
    """Type of the stored vectors: float16, or float32."""
    block: int = 1024
    """Products per durable block: what a crash can cost."""
    tokens: int = 1024
    """Computed tokens per extraction batch, padding included, on a CPU; on a GPU thirty-two times as many."""
    images: int = 16
    """Images per extraction batch on a CPU; on a GPU sixteen times as many."""
    folds: int = 0
    """Parts of train for out-of-fold logits, each said by a network fine-tuned on the others; 0 = none."""
    workers: int = 0
    """Processes that decode and tokenise; 0 = in the main process. Changes no result. See also `fitting_workers`."""


LARGE = 10_000
"""Products from which worker processes are worth their start: seconds each, for each epoch."""


def fitting_workers(products: int) -> int:
    """As many worker processes as suit this machine and catalogue: a processor is left to the main process of each device."""
    if products < LARGE:
        return 0
    return max(0, min(4, processors() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")) - 1))
