"""How a head is fitted: one frozen object, every field with its unit, each default in one place."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from numbers import Integral
from typing import Any, Self


class Schedule(StrEnum):
    """What the learning rate does after the warm-up."""

    LINEAR = "linear"
    CONSTANT = "constant"


class Loss(StrEnum):
    """What a fit minimises (see `stages.fusion.losses`)."""

    CROSS_ENTROPY = "cross-entropy"
    FOCAL = "focal"
    LOGIT_ADJUSTED = "logit-adjusted"


class Scaling(StrEnum):
    """What vectors are centred and divided by before a head sees them, all of it measured on the fit rows."""

    NONE = "none"
    COLUMN = "column"
    """Each column by its own spread: a column of noise becomes as large as one that knows the class."""
    FEATURE = "feature"
    """All columns of a feature by one number, the root of their mean variance: what a network holds small stays small."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        """What earlier versions wrote."""
        return cls("column" if value else "none") if isinstance(value, bool) else None


class Moments(StrEnum):
    """Of what AdamW takes the second moment, which its steps are divided by (see `stages.fusion.optimiser`)."""

    WEIGHT = "weight"
    """Of every single weight, as AdamW does."""
    LAYER = "layer"
    """Of all weights of a layer together: what a network holds small is learnt slowly, and noise later than the rest."""
    AUTO = "auto"
    """Of layers, but of single weights in heads in which a merge multiplies: what two features say only together has next to no
    gradient before either has learnt, and a step along the gradient leaves it behind."""


class Shortcut(StrEnum):
    """Which heads say a class by a linear layer on all of their features too, added to what the merge says.

    Cheng et al. 2016, "Wide & deep learning for recommender systems". Its step is measured by layers (see `Moments`).
    """

    NONE = "none"
    """None: a head is what its formula says."""
    MULTIPLYING = "multiplying"
    """Those in which a merge multiplies: what one feature says alone need not go through the product, which is left what only
    several say together."""
    EVERY = "every"
    """All with a merge: an average or a sum of texts can then say all that a concatenation can."""


class ClassWeights(StrEnum):
    """How much a product of a rare class counts in the loss, in proportion to 1 over the size of its class, or its root."""

    NONE = "none"
    ROOT = "root"
    INVERSE = "inverse"

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        """What earlier versions wrote."""
        return cls("inverse" if value else "none") if isinstance(value, bool) else None


EARLIER = {Scaling.COLUMN: True, Scaling.NONE: False, ClassWeights.INVERSE: True, ClassWeights.NONE: False}
"""How records say what earlier versions could say: so their runs stay hits, and seeds fitted now repeat theirs."""


def _setting(default: float, *, search: tuple[float, float], below: float = math.inf) -> Any:
    """A number of at least 0 and less than `below`; `search`: the lowest and highest that `tune` tries."""
    return field(default=default, metadata={"below": below, "search": search})


@dataclass(frozen=True)
class FitSettings:
    """Hyperparameters of one fit; `THESIS` is what the study used, benchmarks/stage_two_settings.py chose the defaults."""

    learning_rate: float = _setting(3e-3, search=(3e-4, 3e-2))
    """Peak step size of AdamW, for a layer that reads `columns` columns."""
    columns: int = _setting(512, search=(128, 2048))
    """A layer that reads more gets a step size smaller in proportion: a step of Adam moves every weight alike, so its effect on
    what the layer says grows with their number (Yang et al. 2022, "Tensor Programs V"). Halved where one deep merge follows
    another, because their effects multiply. 0: one step size for all."""
    narrow: float = _setting(8.0, search=(1.0, 16.0))
    """Most that a step size grows by, in the same proportion, where a layer reads fewer; 1 where a merge multiplies."""
    projecting: float = _setting(0.5, search=(0.1, 1.0))
    """Factor on the step size of layers that project a feature to the common width, where no merge is deep or multiplies: texts
    that stay as they are have no such layer, and a wide image would learn its noise twice as fast as they what they know."""
    projecting_multiplying: float = _setting(0.5, search=(0.1, 1.0))
    """The same where a merge multiplies, for layers that read more columns than they give."""
    weight_decay: float = _setting(1e-2, search=(1e-4, 1.0))
    """Decoupled, per step, multiplied by the learning rate."""
    initial: float = _setting(0.1, search=(0.01, 1.0))
    """Factor on the last layer's first weights (none after a deep merge): torch's own are noise that decays too slowly."""
    epsilon: float = _setting(1e-8, search=(1e-10, 1e-6))
    """AdamW's denominator term."""
    moments: Moments = Moments.AUTO
    """Whether steps are measured by single weights or by layers."""
    batch_size: int = _setting(1024, search=(64, 4096))
    """Products per step, at most."""
    least_steps: int = _setting(16, search=(4, 64))
    """Steps per epoch, at least: small catalogues get smaller batches (16 products or more). 0: always `batch_size`."""
    epochs: int = _setting(30, search=(5, 60))
    """Passes over the fit rows, at most."""
    steps: int = _setting(180, search=(60, 720))
    """Steps in all, at most, unless 4 passes take more: a large catalogue needs fewer passes. 0: `epochs` alone counts."""
    patience: int = _setting(6, search=(2, 20))
    """Epochs without a better validation metric before the fit stops. 0: never stops early."""
    warmup: float = _setting(0.1, below=1, search=(0.0, 0.3))
    """Share of all steps in which the learning rate climbs from 0."""
    schedule: Schedule = Schedule.LINEAR
    clip_norm: float = _setting(1.0, search=(0.1, 10.0))
    """Largest norm of the gradient over all parameters; 0 does not clip."""
    label_smoothing: float = _setting(0.1, below=1, search=(0.0, 0.3))
    """Probability mass that the loss spreads over all classes."""
    dropout: float = _setting(0.0, below=1, search=(0.0, 0.5))
    """Share of the merged vector that is zeroed before the last layer while fitting."""
    hidden_layer: bool = False
    """Dropout 0.3, a layer of the merged width and LeakyReLU(0.01) before the last layer."""
    modality_dropout: float = _setting(0.1, below=1, search=(0.0, 0.6))
    """Chance that a present field of a product is treated as absent in one step; at least one stays."""
    missing_vector: bool = False
    """Learn a vector that stands in for each absent field, instead of masking it; needs modality dropout."""
    indicator: bool = False
    """Let the absence of each field speak for or against each class: where what is missing depends on the class."""
    shortcut: Shortcut = Shortcut.MULTIPLYING
    """Which heads have a linear layer beside the merge, from the features straight to the classes."""
    auxiliary: float = _setting(1.0, search=(0.0, 4.0))
    """Weight of a second loss: what the head says of each product by one of its features, the others masked. A joint loss alone
    stops teaching a feature once the others together have the fit rows right (Huang et al. 2022, "Modality competition"). Read
    in the same pass. Not where a merge multiplies: what only two features together say is not to be learnt from one."""
    readings: int = _setting(1024, search=(0, 4096))
    """Readings of single features in one step, at most, but one of each product at least: of small batches every feature,
    of large ones some that are drawn anew, for which their many products make up."""
    loss: Loss = Loss.CROSS_ENTROPY
    """What is minimised."""
    class_weights: ClassWeights = ClassWeights.ROOT
    """How much rare classes count in the loss."""
    balanced_batches: bool = False
    """Draw fit rows with replacement so that every class is equally likely."""
    averaging: float = _setting(0.9, below=1, search=(0.5, 0.999))
    """Decay per step of a moving average of the weights, which is what is then kept; 0 keeps the weights themselves."""
    standardise: Scaling = Scaling.FEATURE
    """How vectors are centred and scaled."""

    def __post_init__(self) -> None:
        # JSON and TOML give the words, not the members
        object.__setattr__(self, "loss", Loss(self.loss))
        object.__setattr__(self, "schedule", Schedule(self.schedule))
        object.__setattr__(self, "moments", Moments(self.moments))
        object.__setattr__(self, "shortcut", Shortcut(self.shortcut))
        object.__setattr__(self, "class_weights", ClassWeights(self.class_weights))
        object.__setattr__(self, "standardise", Scaling(self.standardise))
        for name in ("epochs", "batch_size", "readings"):
            if not isinstance(getattr(self, name), Integral):
                raise ValueError(f"{name} must be a whole number, not {getattr(self, name)!r}")
        for name in ("learning_rate", "narrow", "epochs", "batch_size"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")
        for each in fields(self):
            value, below = getattr(self, each.name), each.metadata.get("below", math.inf)
            if isinstance(value, int | float) and not 0 <= value < below:
                raise ValueError(
                    f"{each.name} must be at least 0{'' if below == math.inf else f' and below {below:g}'}, not {value}"
                )
        if self.missing_vector and not self.modality_dropout:
            raise ValueError(
                "missing_vector needs modality_dropout above 0: fields that are never absent could not learn theirs"
            )

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """From what `record` gave, in this version or an earlier one; other keys of a run's record are passed over.

        Raises: TypeError, ValueError.
        """
        # what earlier versions did not say
        known: dict[str, Any] = {
            "moments": Moments.WEIGHT,
            "projecting": 1.0,
            "projecting_multiplying": 1.0,
            "shortcut": Shortcut.NONE,
            "readings": 0,
        }
        known |= record
        return cls(**{each.name: known[each.name] for each in fields(cls) if each.name in known})

    @classmethod
    def exactly(cls, record: Mapping[str, Any]) -> Self:
        """`of`, for a record of settings alone. Raises: TypeError where it holds anything else; ValueError."""
        if unknown := sorted(set(record) - {each.name for each in fields(cls)}):
            raise TypeError(f"there is no setting '{unknown[0]:.40}'")
        return cls.of(record)

    def record(self) -> dict[str, Any]:
        """As it is written to files and goes into the key of a run."""
        held = asdict(self)
        if not self.indicator:  # so say the keys of runs that were fitted before there was one
            del held["indicator"]
        if self.moments is Moments.WEIGHT:
            del held["moments"]
        if self.shortcut is Shortcut.NONE:
            del held["shortcut"]
        if not self.readings:
            del held["readings"]
        for name in ("projecting", "projecting_multiplying"):
            if held[name] == 1:
                del held[name]
        return held | {name: EARLIER.get(value, value) for name, value in held.items() if isinstance(value, StrEnum)}

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
    projecting=1.0,
    projecting_multiplying=1.0,
    weight_decay=1e-3,
    moments=Moments.WEIGHT,
    batch_size=128,
    least_steps=0,
    epochs=7,
    patience=0,
    warmup=0.0,
    label_smoothing=0.0,
    modality_dropout=0.0,
    shortcut=Shortcut.NONE,
    auxiliary=0.0,
    readings=0,
    class_weights=ClassWeights.NONE,
    averaging=0.0,
    standardise=Scaling.NONE,
)
NAMED = {"default": DEFAULT, "thesis": THESIS}
SETTINGS = tuple(each.name for each in fields(FitSettings))
"""Every field, each of which a preset's `[fusion]` table may set and `fusecat tune --search` may vary."""

TUNED = (
    "learning_rate",
    "weight_decay",
    "label_smoothing",
    "dropout",
    "modality_dropout",
    "auxiliary",
    "class_weights",
    "standardise",
)
"""The fields of `FitSettings` that are searched where no others are named; those that are not searched stay as they are."""


def settings_of(name: str, changes: Mapping[str, Any]) -> FitSettings:
    """The `NAMED` settings with these fields changed. Raises ValueError that names what is unknown or wrong."""
    from pydantic import TypeAdapter

    if name not in NAMED:
        raise ValueError(f"settings = '{name}' is not one of {', '.join(NAMED)}")
    if unknown := sorted(changes.keys() - set(SETTINGS)):
        raise ValueError(f"there is no setting '{unknown[0]}'; there are {', '.join(SETTINGS)}")
    return TypeAdapter(FitSettings).validate_python(asdict(NAMED[name]) | dict(changes))
