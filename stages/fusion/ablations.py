"""What a fitted head does when a field is taken from it, or given to it from another product."""

from collections.abc import Generator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from fusecat.stages.fusion.fit import EVALUATION_BATCH, Source, ahead
from fusecat.stages.fusion.head import Head, Masks, Views
from fusecat.stages.fusion.wiring import field_of
from fusecat.stages.scores import Outcome, scores_of


def ablations(
    head: Head, data: Source, labels: NDArray[np.integer], parts: Mapping[str, NDArray[np.intp]]
) -> dict[str, dict[str, dict[str, float]]]:
    """`without FIELD` (masked) and `shuffled FIELD` (vectors of another product of the part) -> part -> scores.

    Nothing is fitted again: this is what the head would lose if the field were missing, or nonsense, when it predicts. The
    permutation is the same for every seed, and for every head over the same features. Four numbers per product are held.
    """
    head.eval()
    found: dict[str, dict[str, dict[str, float]]] = {}
    for part, rows in parts.items():
        if not len(rows):
            continue
        said: dict[str, list[Outcome]] = {}
        with torch.inference_mode():
            for label, views, present in _changed(head, data, rows):
                blocks = said.setdefault(label, [])
                begin = EVALUATION_BATCH * len(blocks)
                true = labels[rows[begin : begin + EVALUATION_BATCH]]
                blocks.append(Outcome.of(head(views, present).softmax(1).numpy(), true))
        for label, blocks in said.items():
            found.setdefault(label, {})[part] = scores_of(Outcome.joined(blocks))
    return found


def _changed(head: Head, data: Source, rows: NDArray[np.intp]) -> Generator[tuple[str, Views, Masks]]:
    """What each control is called, and block after block what the head sees in it."""
    places = torch.from_numpy(rows.astype(np.int64))
    fields = {field: [name for name in head.features if field_of(name) == field] for field in map(field_of, head.features)}
    for (views, present), (others, held) in ahead(_beside(data, places)):
        for field, names in fields.items():
            absent = {name: torch.zeros_like(present[name]) for name in names}
            yield f"without {field}", views, {**present, **absent}
            strange = {name: others[name] for name in names}
            yield f"shuffled {field}", {**views, **strange}, {**present, **{name: held[name] for name in names}}


def _beside(data: Source, places: torch.Tensor) -> Generator[tuple[tuple[Views, Masks], tuple[Views, Masks]]]:
    """Each block of rows and the permuted rows in their place. One thread asks for both, or they could take one room."""
    yield from zip(data.blocks(places, EVALUATION_BATCH), data.permuted(places, EVALUATION_BATCH), strict=True)
