"""The one list of names: command-line choices, file names, docs and reports all come from here. Imports nothing heavy."""

from enum import StrEnum

REFERENCE = "reference."
"""Features whose names begin so are compared with the others, each by itself; no merge and no late fusion takes them."""


class Part(StrEnum):
    """A part of the split; the order is the code stored in feature files."""

    TRAIN = "train"
    HEAD = "head"
    VALIDATION = "validation"
    TEST = "test"


PARTS = tuple(part.value for part in Part)


class SplitProtocol(StrEnum):
    """How the labelled products are parted (see `stages.catalogue.split`)."""

    TEST_20 = "80-20"
    NO_TEST = "90-10"


class Architecture(StrEnum):
    """Which features meet where."""

    BASELINE = "baseline"
    FLAT = "flat"
    HIERARCHICAL = "hierarchical"
    TEXT = "text"
    LOGISTIC = "logistic"
    LATE = "late"
    UNIMODAL = "unimodal"
    PROBE = "probe"


class Merge(StrEnum):
    """How several vectors become one."""

    CONCATENATION = "concatenation"
    ADDITION = "addition"
    AVERAGE = "average"
    MAXIMUM = "maximum"
    PRODUCT = "product"
    WEIGHTED = "weighted"
    ATTENTION = "attention"
    GATED = "gated"
    FILM = "film"
    HIGHWAY = "highway"
    LOW_RANK = "low-rank"
    BILINEAR = "bilinear"
    TOKENS = "tokens"
    MLP = "mlp"
    TENSOR = "tensor"


class Variant(StrEnum):
    """What may stand between the final merge and the last layer: `average+dropout`, `average+layers`."""

    DROPOUT = "dropout"
    LAYERS = "layers"


class Late(StrEnum):
    """How the class probabilities of several networks become one (late fusion)."""

    MEAN = "mean"
    PROBES = "probes"
    WEIGHTED = "weighted"
    PRODUCT = "product"
    MAXIMUM = "maximum"
    CALIBRATED = "calibrated"
    LOGISTIC = "logistic"
    LIGHTGBM = "lightgbm"
    SELECTION = "selection"
    VOTE = "vote"
