"""What classifies new products: the heads of one strategy, the networks that they need, and the names of the classes.

Shapes: n products, C classes.
"""

import codecs
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.records import expecting, read_record
from fusecat.cache.store import FeatureCache
from fusecat.cache.table import Feature
from fusecat.stages.calibration import RANGE, temperature, tempered
from fusecat.stages.catalogue.data_model import PLACES, ImageUse
from fusecat.stages.catalogue.decoding import MAX_PIXELS
from fusecat.stages.errors import ModelError
from fusecat.stages.external.attributes import Attributes
from fusecat.stages.fields import TEXTS
from fusecat.stages.fusion.late.late_predictors import TrainedEnsemble
from fusecat.stages.fusion.predictions import Mean
from fusecat.stages.fusion.predictor import Predictor, Shared, TrainedHead
from fusecat.stages.fusion.restore import load
from fusecat.stages.fusion.runs import DETERMINISTIC, Products, Runs
from fusecat.stages.fusion.unimodal import prior
from fusecat.stages.prediction.fine_tuned_encoder import FineTunedEncoder
from fusecat.stages.vocabulary import Part
from fusecat.stages.workspace import Workspace


@dataclass(frozen=True)
class Shape:
    """What the heads take of a feature: vectors of `width` D, kept as `storage` (float16, float32); class logits, if wanted."""

    width: int
    storage: str
    logits: bool


@dataclass(frozen=True)
class Model:
    """One strategy, ready to use.

    `predictors`: seed -> head; their probabilities are averaged. `shapes`: every feature that they need; `fine_tuned`: those of
    them that a network here computes, the vectors of the others have to be passed. `prior` (C,): share of each class among the
    products that the heads were fitted on, which is all that can be said of a product with nothing in it. `fitted_on`: parts of
    the study. `card`: what is worth telling of it (scores, data), as JSON. `reading`: how the study's catalogue was read.
    `attributes`: features whose vectors are made of a table that is brought. `temperature`: what makes averaged probabilities
    mean what they say (see `stages.calibration`), 1 for none.
    """

    strategy: str
    classes: tuple[str, ...]
    predictors: Mapping[int, Predictor]
    shapes: Mapping[str, Shape]
    fine_tuned: Mapping[str, FineTunedEncoder]
    prior: NDArray[np.float32]
    fitted_on: tuple[str, ...]
    class_names: Mapping[str, str] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)
    reading: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Attributes] = field(default_factory=dict)
    temperature: float = 1.0

    def __post_init__(self) -> None:
        """Raise ValueError where its parts do not fit together: they may have been read from anybody's files."""
        problem = self._problem()
        if problem:
            raise ValueError(problem)

    def _problem(self) -> str | None:
        if not self.classes or len(set(self.classes)) != len(self.classes):
            return "there is no class, or one stands twice"
        if self.prior.shape != (len(self.classes),) or not np.isfinite(self.prior).all() or (self.prior < 0).any():
            return f"the shares of {len(self.classes)} classes are not as many numbers from 0 on"
        if not self.predictors:
            return "there is no head"
        for predictor in self.predictors.values():
            for name in predictor.features:
                if name not in self.shapes:
                    return f"nothing is said of {name}, which its heads look at"
                width = predictor.scaling[name][0].size if isinstance(predictor, TrainedHead) else self.shapes[name].width
                if width != self.shapes[name].width:
                    return f"{name} has {self.shapes[name].width} columns, its heads look at {width}"
        for name, fine_tuned in self.fine_tuned.items():
            if name not in self.shapes or fine_tuned.width != self.shapes[name].width:
                return f"the network of {name} does not give what its heads look at"
        if not RANGE[0] <= self.temperature <= RANGE[1]:
            return f"the temperature {self.temperature} is not between {RANGE[0]:g} and {RANGE[1]:g}"
        for name, made in self.attributes.items():
            if name not in self.shapes or made.width != self.shapes[name].width:
                return f"the attributes of {name} do not make what its heads look at"
        return odd_reading(self.reading)

    @classmethod
    def of_runs(
        cls,
        place: Workspace,
        strategy: str,
        seeds: Sequence[int],
        *,
        class_names: Mapping[str, str],
        heads: Path | None = None,
        fitted_on: Sequence[str] = (),
        external: Collection[str] = (),
        merges: Collection[str] = (),
    ) -> "Model":
        """The heads of these runs of a workspace, and its networks.

        `heads`: the folder of the seeds' heads where it is not that of the runs (`refit`), then `fitted_on` says on what.
        `external`: features whose vectors will be passed, so that no network is looked for. `merges`: the merges of one's own
        that the caller names.
        Raises: ModelError where a head or a run is missing, or a network was fine-tuned again since; UsageError for a merge
        that the caller has not named.
        """
        runs = Runs(place.runs)
        products = runs.products()
        predictors = {}
        for seed in seeds:
            run = runs.existing(strategy, seed)
            place_of, within = (heads / f"seed-{seed}", heads) if heads else (runs.path(strategy, seed), runs.folder)
            predictors[seed] = checked(load(place_of, merges=merges, within=within), place_of, strategy, products.classes)
            fitted_on = fitted_on or run.fitted_on
        needed = sorted({name for predictor in predictors.values() for name in predictor.features})
        with_logits = {name for predictor in predictors.values() for name in _wants_logits(predictor)}
        classes = products.classes
        found = {name: FineTunedEncoder.in_workspace(place, name, classes) for name in needed if name not in external}
        try:
            return cls(
                strategy=strategy,
                classes=classes,
                predictors=predictors,
                shapes={name: _shape(place, name, logits=name in with_logits) for name in needed},
                fine_tuned={name: fine_tuned for name, fine_tuned in found.items() if fine_tuned is not None},
                prior=class_shares(products, fitted_on),
                fitted_on=tuple(fitted_on),
                class_names=dict(class_names),
                attributes={name: made for name in needed if (made := _attributes(place, name))},
            )
        except ValueError as error:
            raise ModelError(f"{runs.folder / strategy}: {error}; run 'fusecat fuse' again") from error

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts that are read of a product: title, description, and what else its networks look at."""
        read = [part for each in self.fine_tuned.values() if not each.field.is_image for part in each.field.parts]
        return tuple(dict.fromkeys((*TEXTS, *read)))

    @property
    def drawn(self) -> str:
        """How many heads answer, in words."""
        seeds = list(self.predictors)
        if seeds == [DETERMINISTIC]:
            return "nothing in it is drawn at random"
        return f"one head, of seed {seeds[0]}" if len(seeds) == 1 else f"heads of seeds {', '.join(map(str, seeds))}, averaged"

    def probabilities(self, features: Mapping[str, Feature]) -> NDArray[np.float32]:
        """(n, C): the mean over the seeds, added up as the report does it, at the model's temperature."""
        features = Shared(features)
        found = [predictor.probabilities(features) for predictor in self.predictors.values()]
        total = found[0].astype(np.float32)
        for each in found[1:]:
            total = total + each
        if not np.isfinite(total).all():
            raise ModelError(
                f"{self.strategy} answers with what is no number: its weights are damaged, or its fit had diverged"
            )
        return tempered(total / np.float32(len(found)), self.temperature)


def _attributes(place: Workspace, feature: str) -> Attributes | None:
    """How a table becomes the vectors of a feature, None where it is not made of one."""
    path, way = place.attributes / f"{feature}.json", "run 'fusecat import --attributes' again"
    if not path.is_file():
        return None
    with expecting(path, way):
        return Attributes.of(read_record(path, way))


def fitted_temperature(place: Workspace, strategy: str, seeds: Sequence[int]) -> float:
    """The temperature of these runs' averaged probabilities, fitted on validation; 1 where there is none."""
    runs = Runs(place.runs)
    products, held = runs.products(), [run.probabilities for seed in seeds if (run := runs.read(strategy, seed))]
    if Part.VALIDATION not in products.parts or not held:
        return 1.0
    rows = products.rows(Part.VALIDATION)
    return temperature(Mean([parts[Part.VALIDATION] for parts in held]), products.labels[rows]) if len(rows) else 1.0


def odd_reading(reading: Mapping[str, Any]) -> str | None:
    """What is wrong with a record of how a catalogue was read, in words; None where it is one that could have been written."""
    kinds: dict[str, Any] = {
        "images": str,
        "max_images": int,
        "max_image_pixels": int,
        "encoding": str,
        "follow_symlinks": bool,
        "texts": bool,
        **dict.fromkeys((*PLACES, "image_prefix", "image_separator", "separator"), str),
        "label_level": int,
    }
    for name, kind in kinds.items():
        if reading.get(name) is not None and (not isinstance(reading[name], kind) or (kind is int and reading[name] < 1)):
            return f"'{name}' of how its catalogue was read is {reading[name]!r:.40}"
    if len(reading.get("separator") or ";") != 1:
        return f"'separator' of how its catalogue was read is {reading['separator']!r:.40}, not one character"
    if (pixels := reading.get("max_image_pixels")) and pixels > 10 * MAX_PIXELS:  # 1.2 GB as RGB
        return f"'max_image_pixels' of how its catalogue was read is {pixels}"
    columns = reading.get("columns") or {}
    if not isinstance(columns, Mapping) or not all(isinstance(text, str) for pair in columns.items() for text in pair):
        return "'columns' of how its catalogue was read are no names"
    try:
        codecs.lookup(reading.get("encoding", "utf-8"))
        ImageUse(reading.get("images", ImageUse.FIRST))
    except (LookupError, ValueError) as error:
        return f"how its catalogue was read is unknown here ({error})"
    return None


def checked(predictor: Predictor, folder: Path, strategy: str, classes: tuple[str, ...]) -> Predictor:
    """The predictor, refused where it is of another strategy or of other classes than who names it says."""
    if (predictor.strategy.name, predictor.classes) != (strategy, classes):
        raise ModelError(
            f"{folder} holds a {predictor.strategy.name} or other classes; a {strategy} of these classes is expected"
        )
    return predictor


def _shape(place: Workspace, feature: str, *, logits: bool) -> Shape:
    """As the feature of the workspace is."""
    header = FeatureCache(place.features).header(feature)
    return Shape(header.width, header.storage, logits)


def _wants_logits(predictor: Predictor) -> set[str]:
    """The features whose logits a predictor looks at."""
    if isinstance(predictor, TrainedEnsemble):
        return {name for member in predictor.members.values() for name in _wants_logits(member)}
    return set() if isinstance(predictor, TrainedHead) else set(predictor.features)


def class_shares(products: Products, parts: Sequence[str]) -> NDArray[np.float32]:
    """(C,) share of each class among the products of these parts, or of train where a strategy was fitted on nothing."""
    rows = np.concatenate([products.rows(part) for part in parts or ("train",) if part in products.parts])
    return prior(products.labels[rows], len(products.classes))
