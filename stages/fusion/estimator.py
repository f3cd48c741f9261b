"""The scikit-learn face of stage two: a fusion head as a classifier on one 2-D array.

Shapes: n rows, C classes.
"""

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit
from sklearn.utils import assert_all_finite, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from fusecat.cache.records import read_record, write_record
from fusecat.cache.table import Feature, FeatureTable
from fusecat.stages.errors import ModelError, refusing
from fusecat.stages.fusion.build_head import build_head
from fusecat.stages.fusion.fit import fit
from fusecat.stages.fusion.fit_settings import NAMED, FitSettings
from fusecat.stages.fusion.in_memory import standardised, statistics
from fusecat.stages.fusion.predictor import TrainedHead
from fusecat.stages.fusion.restore import load
from fusecat.stages.fusion.strategy import Strategy
from fusecat.stages.vocabulary import Architecture

DESCRIPTION = "estimator.json"


class FusionClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A fusion head as a scikit-learn classifier on one 2-D array.

    `strategy`: `baseline/average`, `hierarchical/average/gated`, ... (any with a trainable head). `features`: name ->
    slice or list of columns (numbers, or names of a frame's); the names are wired as those of stage one (`camembert.title`,
    `resnet.image`; see `strategy.wire`). By default the columns are parted evenly, in two (hierarchical: three).
    `settings`: `default`, `thesis` or a `FitSettings`; the other hyperparameters replace single ones of it where they are not
    None. `validation_fraction` of the rows chooses the epoch; 0 fits on all rows and keeps the last epoch.

    Where rows belong together (copies and variants of a product), `fit(X, y, groups=...)` keeps each group on one side of that
    draw; what scores the classifier has to do the same, as `sklearn.model_selection.StratifiedGroupKFold` does. A score on rows
    whose copies were fitted on says what is remembered, not what is known.
    """

    def __init__(
        self,
        strategy: str = "baseline/average",
        *,
        features: Mapping[str, slice | Sequence[int]] | None = None,
        settings: str | FitSettings = "default",
        learning_rate: float | None = None,
        weight_decay: float | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        dropout: float | None = None,
        validation_fraction: float = 0.0,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.strategy = strategy
        self.features = features
        self.settings = settings
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.epochs = epochs
        self.batch_size = batch_size
        self.dropout = dropout
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    @refusing
    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:  # noqa: N803 - scikit-learn's name
        """Fit a head on X (n, columns) and y (n,); `groups` (n,): rows of one group stay together where rows are drawn.

        Raises: ValueError where they, the strategy or the features do not fit.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)  # noqa: N806
        assert_all_finite(X.astype(np.float32), input_name="X, in float32,")
        check_classification_targets(y)
        check_consistent_length(X, groups)
        strategy = Strategy.parse(self.strategy, None)  # the caller's own words
        if not strategy.learned:
            raise ValueError(
                f"'{self.strategy}' has no head to train; late fusion and uni-modal rows need logits: use fusecat.compare"
            )
        settings = self._settings()
        self.classes_, codes = np.unique(y, return_inverse=True)
        self.columns_ = self._columns(strategy)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        rows, validation_rows = np.arange(len(codes)), np.zeros(0, np.intp)
        if self.validation_fraction:
            drawing = ShuffleSplit if groups is None else GroupShuffleSplit
            draw = drawing(1, test_size=self.validation_fraction, random_state=seed)
            rows, validation_rows = next(draw.split(X, y, groups))
        features = self._features(X)
        widths = {name: feature.width for name, feature in features.items()}
        split = np.zeros(len(codes), np.uint8)
        table = FeatureTable(np.arange(len(codes)).astype(str), codes.astype(np.int32), split, (), ("train",), features)
        scaling = statistics(table, list(features), rows, settings.standardise)
        fitted = fit(
            lambda: build_head(strategy, widths, len(self.classes_), settings),
            standardised(table, list(features), scaling),
            codes,
            rows,
            validation_rows,
            settings,
            seed=seed,
        )
        if not all(torch.isfinite(weight).all() for weight in fitted.head.parameters()):
            raise ValueError(f"the fit left all numbers behind; learning_rate={settings.learning_rate} is too large")
        names = tuple(str(name) for name in self.classes_)
        scaling = {name: scaling[name] for name in fitted.head.features}
        self.head_ = TrainedHead(strategy, names, fitted.head, scaling, settings)
        self.n_iter_ = len(fitted.curve)
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """Class probabilities (n, C), columns as `classes_`; in float64, so that rows do not depend on their neighbours."""
        check_is_fitted(self, "head_")
        X = validate_data(self, X, dtype=np.float64, reset=False)  # noqa: N806
        head = copy.deepcopy(self.head_.head).double().eval()
        views, present = {}, {}
        for name, feature in self._features(X).items():
            if name in self.head_.scaling:
                mean, scale = self.head_.scaling[name]
                views[name] = torch.from_numpy((feature.embedding.astype(np.float64) - mean) / scale)
                present[name] = torch.ones(len(X), dtype=torch.bool)
        with torch.inference_mode():
            found: NDArray[np.float64] = head.literal(views, present).softmax(1).numpy()
        return found

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803
        """The likeliest class (n,) of each row."""
        chosen: NDArray[Any] = self.predict_proba(X).argmax(1)
        return np.asarray(self.classes_[chosen])

    def save(self, folder: Path | str) -> Path:
        """Write the fitted classifier as safetensors and JSON, no pickle. Returns the folder."""
        check_is_fitted(self, "head_")
        folder = Path(folder)
        if self.classes_.dtype.kind not in "biufUO":
            raise ValueError(f"labels of type {self.classes_.dtype} cannot be saved; fit on texts or numbers")
        self.head_.save(folder)
        described = {
            "classes": self.classes_.tolist(),
            "columns": {name: [int(column) for column in columns] for name, columns in self.columns_.items()},
            "n_features_in": self.n_features_in_,
            "names": [str(name) for name in getattr(self, "feature_names_in_", ())],
        }
        write_record(folder / DESCRIPTION, described)
        return folder

    @classmethod
    def load(cls, folder: Path | str, *, merges: Collection[str] = ()) -> "FusionClassifier":
        """The classifier that was saved there; whoever saved it, no code is run that the caller has not named.

        `merges`: the merges of one's own, `package.module:Class`, that it may use.

        Raises: ModelError where nothing usable is there, UsageError for a merge that is not named.
        """
        folder = Path(folder)
        head = load(folder, merges=merges)
        if not isinstance(head, TrainedHead) or not (folder / DESCRIPTION).is_file():
            raise ModelError(f"{folder} holds no saved FusionClassifier ({DESCRIPTION})")
        described = read_record(folder / DESCRIPTION, "fit and save it again")
        found = cls(head.strategy.name, features=described["columns"], settings=head.settings)
        found.head_ = head
        found.classes_ = np.array(described["classes"])
        found.columns_ = {name: np.array(columns) for name, columns in described["columns"].items()}
        found.n_features_in_ = described["n_features_in"]
        if described["names"]:
            found.feature_names_in_ = np.array(described["names"], dtype=object)
        return found

    def _settings(self) -> FitSettings:
        if not isinstance(self.settings, FitSettings) and self.settings not in tuple(NAMED):
            raise ValueError(f"settings='{self.settings}' is not known; choose from {', '.join(NAMED)}, or pass a FitSettings")
        base = self.settings if isinstance(self.settings, FitSettings) else NAMED[self.settings]
        single = ("learning_rate", "weight_decay", "epochs", "batch_size", "dropout")
        return replace(base, **{name: getattr(self, name) for name in single if getattr(self, name) is not None})

    def _columns(self, strategy: Strategy) -> dict[str, NDArray[np.intp]]:
        """Feature -> its columns."""
        every = np.arange(self.n_features_in_)
        if self.features is not None:
            if not isinstance(self.features, Mapping) or not all(isinstance(name, str) for name in self.features):
                raise ValueError("features must be a dict, name -> slice or list of columns of X")
            places = {name: place for place, name in enumerate(getattr(self, "feature_names_in_", ()))}
            try:
                found = {
                    name: every[columns if isinstance(columns, slice) else [places.get(each, each) for each in columns]]
                    for name, columns in self.features.items()
                }
            except (IndexError, TypeError) as error:
                columns = f"the {len(every)} columns of X"
                raise ValueError(f"features must be slices, names or numbers of {columns} ({error})") from error
            if strategy.feature is not None and strategy.feature not in found:
                known = ", ".join(found)
                raise ValueError(f"'{self.strategy}' looks at '{strategy.feature}', which is none of features: {known}")
            if empty := [name for name, columns in found.items() if not len(columns)]:
                raise ValueError(f"feature '{empty[0]}' has no column")
            return found
        names = ["first", "second"]
        if strategy.architecture is Architecture.HIERARCHICAL:
            names = ["group.first", "group.second", "other"]
        if strategy.architecture is Architecture.PROBE:
            names = [str(strategy.feature)]
        # with fewer columns than features some columns serve twice
        parts = (
            np.array_split(every, len(names))
            if len(every) >= len(names)
            else [every[[i % len(every)]] for i in range(len(names))]
        )
        return dict(zip(names, parts, strict=True))

    def _features(self, X: NDArray[np.float64]) -> dict[str, Feature]:  # noqa: N803
        present = np.ones(len(X), bool)
        return {name: Feature(name, X[:, columns], present.copy()) for name, columns in self.columns_.items()}
