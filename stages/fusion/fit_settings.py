"""How a head is fitted: one frozen object, every field with its unit, each default in one place."""

from dataclasses import dataclass
from enum import StrEnum


class Schedule(StrEnum):
    """What the learning rate does after the warm-up."""

    LINEAR = "linear"
    CONSTANT = "constant"


class Loss(StrEnum):
    """What a fit minimises (see `stages.fusion.losses`)."""

    CROSS_ENTROPY = "cross-entropy"
    FOCAL = "focal"
    LOGIT_ADJUSTED = "logit-adjusted"


@dataclass(frozen=True)
class FitSettings:
    """Hyperparameters of one fit; `THESIS` is what the study used, benchmarks/stage_two_settings.py chose the defaults."""

    learning_rate: float = 3e-3
    """Peak step size of AdamW, for a layer that reads `columns` columns."""
    columns: int = 512
    """A layer that reads more gets a step size smaller in proportion: a step of Adam moves every weight alike, so its effect on
    what the layer says grows with their number (Yang et al. 2022, "Tensor Programs V"). Halved where one deep merge follows
    another, because their effects multiply. 0: one step size for all."""
    narrow: float = 8.0
    """Most that a step size grows by, in the same proportion, where a layer reads fewer; 1 where a merge multiplies."""
    weight_decay: float = 1e-2
    """Decoupled, per step, multiplied by the learning rate."""
    initial: float = 0.1
    """Factor on the last layer's first weights (none after a deep merge): torch's own are noise that decays too slowly."""
    epsilon: float = 1e-8
    """AdamW's denominator term."""
    batch_size: int = 1024
    """Products per step, at most."""
    least_steps: int = 16
    """Steps per epoch, at least: small catalogues get smaller batches (16 products or more). 0: always `batch_size`."""
    epochs: int = 30
    """Passes over the fit rows, at most."""
    steps: int = 180
    """Steps in all, at most, unless 4 passes take more: a large catalogue needs fewer passes. 0: `epochs` alone counts."""
    patience: int = 6
    """Epochs without a better validation metric before the fit stops. 0: never stops early."""
    warmup: float = 0.1
    """Share of all steps in which the learning rate climbs from 0."""
    schedule: Schedule = Schedule.LINEAR
    clip_norm: float = 1.0
    """Largest norm of the gradient over all parameters; 0 does not clip."""
    label_smoothing: float = 0.1
    """Probability mass that the loss spreads over all classes."""
    dropout: float = 0.0
    """Share of the merged vector that is zeroed before the last layer while fitting."""
    hidden_layer: bool = False
    """Dropout 0.3, a layer of the merged width and LeakyReLU(0.01) before the last layer."""
    modality_dropout: float = 0.1
    """Chance that a present field of a product is treated as absent in one step; at least one stays."""
    missing_vector: bool = False
    """Learn a vector that stands in for each absent field, instead of masking it; needs modality dropout."""
    auxiliary: float = 0.0
    """Weight of a loss on each feature alone, through a linear layer of its own that is not used afterwards."""
    loss: Loss = Loss.CROSS_ENTROPY
    """What is minimised."""
    class_weights: bool = False
    """Weigh each product by 1 / the size of its class."""
    balanced_batches: bool = False
    """Draw fit rows with replacement so that every class is equally likely."""
    averaging: float = 0.0
    """Decay per step of a moving average of the weights, which is what is then kept; 0 keeps the weights themselves."""
    standardise: bool = True
    """Centre and scale each column of each feature by the fit rows."""

    def __post_init__(self) -> None:
        # JSON and TOML give the words, not the members
        object.__setattr__(self, "loss", Loss(self.loss))
        object.__setattr__(self, "schedule", Schedule(self.schedule))
        for name in ("learning_rate", "narrow", "epochs", "batch_size"):
            if not getattr(self, name) > 0:
                message = f"{name} must be above 0, not {getattr(self, name)}"
                raise ValueError(message)
        if self.missing_vector and not self.modality_dropout:
            message = "missing_vector needs modality_dropout above 0: fields that are never absent could not learn theirs"
            raise ValueError(message)

    def passes(self, rows: int) -> int:
        """Epochs for so many fit rows."""
        each = -(-rows // self.batch(rows))
        return min(self.epochs, max(4, self.steps // each)) if self.steps else self.epochs

    def rate(self, columns: int, *, multiplies: bool = False, depth: int = 0) -> float:
        """Peak step size for a layer that reads so many columns, in a head with so many deep merges one behind the other."""
        if not self.columns:
            return self.learning_rate
        most = 1.0 if multiplies else self.narrow
        return self.learning_rate * min(most, self.columns / columns) / max(1, depth)

    def batch(self, rows: int) -> int:
        """Products per step for so many fit rows."""
        if not self.least_steps:
            return min(self.batch_size, rows)
        return max(1, min(self.batch_size, max(16, rows // self.least_steps), rows))


DEFAULT = FitSettings()
THESIS = FitSettings(
    learning_rate=2e-4,
    columns=0,
    steps=0,
    initial=1.0,
    weight_decay=1e-3,
    batch_size=128,
    least_steps=0,
    epochs=7,
    patience=0,
    warmup=0.0,
    label_smoothing=0.0,
    modality_dropout=0.0,
    standardise=False,
)
NAMED = {"default": DEFAULT, "thesis": THESIS}
