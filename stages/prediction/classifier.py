"""Products in memory in, answers out: no catalogue and no file, and the very answers of `fusecat predict`.

Shapes: n products, C classes, D width of a vector.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fusecat.cache.table import Feature
from fusecat.cache.writing import LARGEST_HALF
from fusecat.stages.catalogue.data_model import Catalogue, ImageUse
from fusecat.stages.catalogue.decoding import MAX_PIXELS
from fusecat.stages.errors import refusing
from fusecat.stages.extraction.dataset import Dataset
from fusecat.stages.extraction.embed import Inference, encode
from fusecat.stages.extraction.progress import silent
from fusecat.stages.prediction.answer import answer, chunks_of, refuse_gaps
from fusecat.stages.prediction.answers import Answers, reasons_of, taken, takings
from fusecat.stages.prediction.fine_tuned_encoder import FineTunedEncoder
from fusecat.stages.prediction.model import Model
from fusecat.stages.prediction.products_in_memory import PicturesInMemory, catalogue_of


class _Networks:
    """Networks and tokenizers of a model, loaded when they are first needed and kept; threads share them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._held: dict[str, tuple[Any, Any]] = {}

    def __reduce__(self) -> tuple[type["_Networks"], tuple[()]]:
        """Another process, to which a model is sent, loads its own."""
        return _Networks, ()

    def of(self, fine_tuned: FineTunedEncoder) -> tuple[Any, Any]:
        """Network and tokenizer (None where it has none)."""
        with self.lock:
            if fine_tuned.feature not in self._held:
                network = fine_tuned.load()
                self._held[fine_tuned.feature] = network, fine_tuned.encoder.tokenizer(fine_tuned.folder)
            return self._held[fine_tuned.feature]


@dataclass(frozen=True, repr=False)
class Classifier(Model):
    """A model that is called with products in memory. Threads may call one together, and it can be sent to other processes."""

    _networks: _Networks = field(default_factory=_Networks, init=False, compare=False)

    def __repr__(self) -> str:
        """What it is: all classes and their shares would fill screens."""
        fields = ", ".join((*self.texts, "image"))
        return f"<Classifier {self.strategy}: {len(self.classes)} classes, {len(self.predictors)} seeds, of {fields}>"

    @refusing
    def __call__(self, products: Iterable[Any], *, reasons: bool = False) -> Answers:
        """Classify products: mappings or objects with `title`, `description`, `image` (or `images`, a list), `id`; or a table.

        A table of pandas, polars or Arrow is taken by its rows. `texts` names what else is read, where the study had further
        ones. Each may be missing. A picture is a path, a file's bytes, {bytes, path}, a PIL image or an (H, W, 3) uint8 RGB
        array. Texts are cleaned here. What is missing, or a picture that cannot be decoded, is told in `absent`; the other
        fields answer. `reasons`: say too what text and image say alone and what each
        field adds, which costs an answer more per field, and one for all texts.

        The networks are loaded with the first call. Beside the products and the (n, C) answers, memory holds one chunk of
        vectors and one batch of pixels at a time.

        Raises: DataError that names the position of what is no product; ModelError for a feature that no network here computes.
        """
        reading = self.reading
        use, pixels = ImageUse(reading.get("images", ImageUse.FIRST)), reading.get("max_image_pixels", MAX_PIXELS)
        most = reading.get("max_images", 8)
        catalogue = catalogue_of(products, texts=self.texts, use=use, max_images=most, max_pixels=pixels)
        refuse_gaps(self, {}, catalogue)
        answers = self._answers(catalogue, pixels)
        if not reasons:
            return answers
        again = {fields: self._answers(taken(catalogue, fields), pixels).probabilities for fields in takings(self.texts)}
        return replace(answers, reasons=reasons_of(answers.probabilities, answers.absent, again))

    def _answers(self, catalogue: Catalogue, max_pixels: int) -> Answers:
        parts = []
        for rows in chunks_of(self.fine_tuned, len(catalogue.products)):
            part = replace(catalogue, products=catalogue.products[rows.start : rows.stop])
            data = Dataset(part, PicturesInMemory(), max_pixels=max_pixels)
            features = {name: self._feature(fine_tuned, data) for name, fine_tuned in self.fine_tuned.items()}
            parts.append(answer(self, part.products, features, data, frozenset()))
        if not parts:
            nothing = np.empty(0, bool)
            empty = np.empty((0, len(self.classes)), np.float32)
            return Answers((), empty, (), nothing, nothing, self.classes, self.class_names)
        return Answers(
            catalogue.products,
            np.concatenate([part.probabilities for part in parts]),
            [fields for part in parts for fields in part.absent],
            np.concatenate([part.unseen for part in parts]),
            np.concatenate([part.empty for part in parts]),
            self.classes,
            self.class_names,
        )

    def _feature(self, fine_tuned: FineTunedEncoder, data: Dataset) -> Feature:
        """Vectors (n, D) and logits (n, C), in the blocks and batches of stage one: padding changes last bits."""
        network, tokenizer = self._networks.of(fine_tuned)
        encoder, precision = fine_tuned.encoder, str(fine_tuned.description["precision"])
        inference = replace(Inference.of(encoder, len(self.classes), precision, silent), workers=0)
        present = data.present(encoder.field)
        with self._networks.lock:  # a tokenizer in Rust may not be set up by two threads at once
            inputs = encoder.inputs(data, fine_tuned.folder, saved=True, tokenizer=tokenizer)
        vectors = np.zeros((len(present), fine_tuned.width), np.float32)
        logits = np.zeros((len(present), len(self.classes)), np.float32)
        for start in range(0, len(present), encoder.extraction.block):
            rows = (np.flatnonzero(present[start : start + encoder.extraction.block]) + start).tolist()
            if rows:
                vectors[rows], logits[rows] = encode(network, inputs, rows, inference)
        halves = encoder.extraction.storage == "float16" and np.abs(vectors).max(initial=0) <= LARGEST_HALF
        stored = vectors.astype(np.float16) if halves else vectors  # as the cache would give them back
        return Feature(fine_tuned.feature, stored, present, logits, fitted_on=None)
