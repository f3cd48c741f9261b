"""A head for a catalogue whose vectors do not fit in memory: `with cache.stream() as stream: learn(stream, strategy, ...)`.

Shapes: n products of a part, C classes.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cache.stream import FeatureStream
from stages.errors import UsageError
from stages.heads.build import build_head, wiring_of
from stages.heads.data import identity
from stages.heads.fit import fit, predict
from stages.heads.saved import TrainedHead
from stages.heads.settings import DEFAULT, FitSettings
from stages.heads.streaming import StreamedVectors, streamed_statistics
from stages.strategy import Strategy
from stages.vocabulary import Metric, Part


def learn(
    stream: FeatureStream,
    strategy: Strategy,
    settings: FitSettings = DEFAULT,
    *,
    metric: Metric = Metric.MACRO_F1,
    fit_on: Sequence[str] = (Part.TRAIN.value, Part.HEAD.value),
    seed: int = 1,
) -> tuple[TrainedHead, dict[str, NDArray[np.float32]]]:
    """Fit one head on streamed vectors; memory is one window of the stream. Its files must be named as the strategy wants.

    Returns the head and the class probabilities (n, C) of validation and test. Raises UsageError for settings that need all
    rows at once.
    """
    if settings.balanced_batches:
        message = "balanced batches draw single rows at random, which a stream cannot do; use class weights instead"
        raise UsageError(message)
    features = wiring_of(strategy, stream.widths).features
    rows = stream.rows(*(part for part in fit_on if part in stream.parts))
    scaling = streamed_statistics(stream, features, rows) if settings.standardise else identity(stream.widths)
    data = StreamedVectors(stream, {name: scaling[name] for name in features})
    fitted = fit(
        lambda: build_head(strategy, stream.widths, len(stream.classes), settings),
        data,
        stream.labels,
        rows,
        stream.rows(Part.VALIDATION),
        settings,
        metric=metric,
        seed=seed,
    )
    parts = [part.value for part in (Part.VALIDATION, Part.TEST) if part in stream.parts]
    found = {part: predict(fitted.head, data, stream.rows(part)) for part in parts}
    return TrainedHead(strategy, stream.classes, fitted.head, data.scaling, settings), found
