"""Everything that a run reads, gathered once from the table and shared by all runs.

Shapes: N products, C classes, W a feature's own width.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fusecat.cache.stream import FeatureStream, StreamedTable
from fusecat.cache.table import Feature, FeatureTable
from fusecat.stages.errors import DataError
from fusecat.stages.fusion.build_head import build_head
from fusecat.stages.fusion.feasible import wiring_of
from fusecat.stages.fusion.fit import Fitted, Source, fit, predict_blocks
from fusecat.stages.fusion.fit_settings import FitSettings, Scaling
from fusecat.stages.fusion.head import Head
from fusecat.stages.fusion.in_memory import Statistics, Vectors, standardised, statistics
from fusecat.stages.fusion.predictions import outcome_of_blocks
from fusecat.stages.fusion.runs import JUDGED
from fusecat.stages.fusion.strategy import Strategy
from fusecat.stages.fusion.streamed import StreamedVectors, streamed_statistics
from fusecat.stages.fusion.unimodal import prior
from fusecat.stages.metrics import MACRO_F1, Metric
from fusecat.stages.scores import Outcome
from fusecat.stages.vocabulary import Part

LOGITS = ("logits", "logits_oof")


@dataclass(frozen=True)
class FitData:
    """What runs share.

    `vectors` are standardised by `scaling`; `rows`: `fit` and each part that is there -> row numbers; `prior` (C,) is the share
    of each class among the fit rows. `groups` (N,): copies of a product share a number, None where nobody said.
    """

    features: Mapping[str, Feature]
    vectors: Source
    scaling: Statistics
    labels: NDArray[np.int32]
    rows: Mapping[str, NDArray[np.intp]]
    prior: NDArray[np.float32]
    classes: tuple[str, ...]
    fitted_on: tuple[str, ...]
    groups: NDArray[np.intp] | None = None

    def save(self, folder: Path) -> None:
        """Write everything as plain arrays, for another process to map."""
        arrays: dict[str, NDArray[Any]] = {"labels": self.labels, "prior": self.prior}
        arrays |= {} if self.groups is None else {"groups": self.groups}
        arrays |= {f"rows.{part}": rows for part, rows in self.rows.items()}
        for name, (mean, scale) in self.scaling.items():
            arrays |= {f"mean.{name}": mean, f"scale.{name}": scale}
        if isinstance(self.vectors, Vectors):
            arrays |= {f"view.{name}": view.numpy() for name, view in self.vectors.views.items()}
        for name, feature in self.features.items():
            arrays[f"present.{name}"] = feature.present
            # what lies on disk stays there
            arrays |= {f"{kind}.{name}": array for kind in LOGITS if isinstance(array := getattr(feature, kind), np.ndarray)}
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
        described: dict[str, Any] = {"classes": self.classes, "fitted_on": self.fitted_on, "arrays": list(arrays)}
        described["features"] = {name: feature.fitted_on for name, feature in self.features.items()}
        if isinstance(self.vectors, StreamedVectors):
            described["stream"] = {name: str(path.absolute()) for name, path in self.vectors.stream.paths.items()}
        (folder / "fit_data.json").write_text(json.dumps(described), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "FitData":
        """Map what `save` wrote; nothing is read before it is used."""
        described = json.loads((folder / "fit_data.json").read_text(encoding="utf-8"))
        # copy-on-write, because torch wants memory that it may write to; nobody does
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="c") for name in described["arrays"]}

        def kind(prefix: str) -> dict[str, NDArray[Any]]:
            return {name.removeprefix(f"{prefix}."): array for name, array in arrays.items() if name.startswith(f"{prefix}.")}

        views, present, logits, oof = kind("view"), kind("present"), kind("logits"), kind("logits_oof")
        features = {}
        for name, fitted in described["features"].items():
            # the vectors as they were extracted are not needed here, only their standardised form
            nothing = np.zeros((len(present[name]), 0), np.float32)
            seen = None if fitted is None else tuple(fitted)
            features[name] = Feature(name, nothing, present[name], logits.get(name), oof.get(name), seen)
        means, scales = kind("mean"), kind("scale")
        scaling = {name: (means[name], scales[name]) for name in means}
        vectors: Source
        if "stream" in described:
            stream = FeatureStream({name: Path(path) for name, path in described["stream"].items()})
            vectors, features = StreamedVectors(stream, scaling), dict(stream.table().features)
        else:
            masks = {name: torch.from_numpy(present[name]) for name in views}
            vectors = Vectors({name: torch.from_numpy(view) for name, view in views.items()}, masks)
        return cls(
            features=features,
            vectors=vectors,
            scaling=scaling,
            labels=arrays["labels"],
            rows=kind("rows"),
            prior=arrays["prior"],
            classes=tuple(described["classes"]),
            fitted_on=tuple(described["fitted_on"]),
            groups=arrays.get("groups"),
        )

    def fit(
        self, strategy: Strategy, settings: FitSettings, *, seed: int, metric: Metric = MACRO_F1, choose: bool = True
    ) -> Fitted:
        """Fit one head of a strategy on the fit rows; validation chooses the epoch, or, without `choose`, it is the last."""
        build, vectors = self.head_of(strategy, settings)
        chooses = self.rows[Part.VALIDATION] if choose else np.empty(0, np.intp)
        return fit(build, vectors, self.labels, self.rows["fit"], chooses, settings, metric=metric, seed=seed)

    def said(self, head: Head, rows: NDArray[np.intp]) -> Outcome:
        """What a fitted head says of these rows."""
        return outcome_of_blocks(predict_blocks(head, self.vectors.select(head.features), rows), self.labels[rows])

    def head_of(self, strategy: Strategy, settings: FitSettings) -> tuple[Callable[[], Head], Source]:
        """What builds an untrained head of a strategy, and the vectors that it takes."""
        widths = {name: len(mean) for name, (mean, _) in self.scaling.items()}
        build = partial(build_head, strategy, widths, len(self.classes), settings)
        return build, self.vectors.select(wiring_of(strategy, widths).features)

    @property
    def nbytes(self) -> int:
        """About how many bytes `save` writes."""
        views = self.vectors.views.values() if isinstance(self.vectors, Vectors) else ()
        logits = [getattr(feature, kind) for feature in self.features.values() for kind in LOGITS]
        return sum(array.nbytes for array in (*views, *logits) if isinstance(array, np.ndarray | torch.Tensor))

    @property
    def parts(self) -> dict[str, NDArray[np.intp]]:
        """The rows of validation and test, as far as they exist."""
        return {part: self.rows[part] for part in JUDGED if part in self.rows}


def gather(table: FeatureTable, features: Sequence[str], fit_on: Sequence[str], *, standardise: Scaling) -> FitData:
    """Choose the rows and standardise the vectors of these features: in memory, or batch by batch where the table is streamed.

    Raises: DataError where no labelled product is left to fit on, or none to choose on.
    """
    held = [part for part in fit_on if part in table.parts and len(table.rows(part))]
    if not held:
        raise DataError(f"no labelled product is in {' or '.join(fit_on)}; extract with a head share, or fit on train")
    rows = {"fit": table.rows(*held)}
    for part in Part:
        if part in table.parts and len(table.rows(part)):
            rows[part.value] = table.rows(part)
    if Part.VALIDATION not in rows:
        raise DataError("no labelled product is in validation, so nothing can choose an epoch or a strategy")
    vectors: Source
    if isinstance(table, StreamedTable):
        scaling = streamed_statistics(table.stream, features, rows["fit"], standardise)
        vectors = StreamedVectors(table.stream, scaling)
    else:
        scaling = statistics(table, features, rows["fit"], standardise)
        vectors = standardised(table, features, scaling)
    return FitData(
        features=table.features,
        vectors=vectors,
        scaling=scaling,
        labels=table.labels,
        rows=rows,
        prior=prior(table.labels[rows["fit"]], len(table.classes)),
        classes=table.classes,
        fitted_on=tuple(held),
        groups=table.groups,
    )
