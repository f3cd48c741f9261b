"""External vectors of new products, in place of a network's, chunk by chunk.

Shapes: N products, n of them in a chunk, D width, C classes.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.layout import check_values
from fusecat.cache.table import Feature
from fusecat.stages.catalogue.data_model import Catalogue, ImageUse, Product
from fusecat.stages.errors import ModelError
from fusecat.stages.external.vectors import ExternalVectors, Files, Staging, vector_ids
from fusecat.stages.prediction.model import Shape

IDS = "ids"
"""The layout of a catalogue of nothing but ids."""
STEP = 4096
"""Rows that are turned from float32 into what the heads take at a time."""


class ExternalChunks:
    """The vectors of one feature, in the order of the catalogue; a product without one counts as lacking the field.

    They are stored as the study's own vectors are, so that the same vectors give the same probabilities, bit for bit.
    """

    def __init__(
        self, files: Files, shape: Shape, catalogue: Catalogue, classes: Sequence[str], chunks: Sequence[range]
    ) -> None:
        self.feature, self.shape, self.chunks = files.feature, shape, chunks
        self.ids = [product.id for product in catalogue.products]
        self.external = ExternalVectors.join(files, self.ids, classes)
        if self.external.vectors.width != shape.width:
            raise ModelError(
                f"{files.vectors} holds vectors of {self.external.vectors.width} numbers; the heads were fitted on "
                f"{files.feature} with {shape.width}"
            )
        self._staged: tuple[Staging, Staging | None] | None = None

    def stage(self, folder: Path, stack: ExitStack) -> None:
        """Put everything into the order of the catalogue, in files without a name that end with `stack`."""
        folder.mkdir(parents=True, exist_ok=True)
        self._staged = stack.enter_context(self.external.staged(folder))

    def chunk(self, number: int) -> Feature:
        """The vectors of one chunk, and their logits where there are some. `stage` has to come first.

        Raises: UnusableVectors that names the product whose vector holds NaN or infinity.
        """
        assert self._staged is not None, "stage comes first"
        rows, (vectors, logits) = self.chunks[number], self._staged
        present = self.external.present[rows.start : rows.stop]
        embedding = np.empty((len(rows), self.shape.width), self.shape.storage)
        for start in range(rows.start, rows.stop, STEP):
            part = range(start, min(start + STEP, rows.stop))
            place = slice(part.start - rows.start, part.stop - rows.start)
            values = vectors.read(part)
            self._check("vector", values, part, present[place])
            with np.errstate(over="ignore"):
                embedding[place] = values
            if not np.isfinite(embedding[place]).all():  # too large for half precision: the cache keeps such vectors in float32
                embedding = embedding.astype(np.float32)
                embedding[place] = values
        own_logits = None
        if logits is not None:
            own_logits = logits.read(rows)
            self._check("logits", own_logits, rows, present)
        return Feature(self.feature, embedding, present, own_logits, fitted_on=None)

    def _check(self, what: str, values: NDArray[np.float32], rows: range, present: NDArray[np.bool_]) -> None:
        ids = np.array([self.ids[row].encode() for row in rows])
        check_values(self.feature, what, values, present, ids)


def products_of(external: Mapping[str, Files]) -> Catalogue:
    """A catalogue of nothing but the ids of the vectors, in the order in which they first come."""
    ids = dict.fromkeys(identity for files in external.values() for identity in vector_ids(files))
    first = next(iter(external.values()))
    products = tuple(Product(identity, None, None, (), None) for identity in ids)
    return Catalogue(first.vectors, IDS, products, image_use=ImageUse.NONE)
