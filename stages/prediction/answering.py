"""New products in, class probabilities out, chunk by chunk: the story of prediction.

Shapes: n products of a chunk, C classes.
"""

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.catalogue.images import MAX_PIXELS, ImageIndex
from stages.catalogue.product import Product
from stages.catalogue.reading import Catalogue, ImageUse, ReadingOptions
from stages.catalogue.split import GroupSummary, Split
from stages.encoders.devices import processes
from stages.encoders.progress import Progress, silent
from stages.encoders.study import Study
from stages.prediction.encoding import CHUNK, Encoding
from stages.prediction.model import Model
from stages.vocabulary import Field, Protocol


@dataclass(frozen=True)
class Answers:
    """What the model says of some products.

    `probabilities` (n, C). `absent`: per product the fields (title, description, image) that it lacks. `unseen` (n,): nothing
    that the strategy looks at is there. `empty` (n,): there is nothing at all, and the training prior answers.
    """

    products: Sequence[Product]
    probabilities: NDArray[np.float32]
    absent: Sequence[tuple[str, ...]]
    unseen: NDArray[np.bool_]
    empty: NDArray[np.bool_]


def predict(
    model: Model,
    catalogue: Catalogue,
    store: Path,
    *,
    max_pixels: int = MAX_PIXELS,
    workers: int = 0,
    chunk: int = CHUNK,
    progress: Progress = silent,
    encoded: Callable[[str, int], None] = lambda *_: None,
) -> Iterator[Answers]:
    """Encode what the strategy needs and is not in `store` yet, then answer in catalogue order.

    Can be interrupted anywhere and called again. `encoded` is told of each feature how many products were computed.
    """
    study = _study(catalogue, store, max_pixels, looks=any(each.field is Field.IMAGE for each in model.taught.values()))
    # whole blocks of every network, so that batches are those of stage one
    blocks = math.lcm(*(taught.encoder.extraction.block for taught in model.taught.values()))
    size = -(-chunk // blocks) * blocks
    encodings = [Encoding(taught, study, store / "features", chunk=size) for taught in model.taught.values()]
    device = processes().device
    for encoding in encodings:
        encoded(encoding.taught.feature, encoding.complete(device, progress, workers))
    for number, rows in enumerate(encodings[0].chunks):
        features = {encoding.taught.feature: encoding.chunk(number) for encoding in encodings}
        probabilities = model.probabilities(features)
        products = catalogue.products[rows.start : rows.stop]
        absent = [_absent(product, study) for product in products]
        empty = np.array([len(fields) == 3 for fields in absent], bool)
        probabilities[empty] = model.prior
        unseen = ~np.logical_or.reduce([feature.present for feature in features.values()])
        yield Answers(products, probabilities, absent, unseen, empty)


def classify(folder: Path, catalogue: Path) -> list[tuple[str, str, float]]:
    """Id, type code and probability of every product of a catalogue, by the model in `folder`; keeps nothing."""
    from stages.prediction.saved import load_model

    model = load_model(folder)
    read = Catalogue.read(Path(catalogue), ReadingOptions(labels=False))
    with tempfile.TemporaryDirectory() as store:
        return [
            (product.id, model.classes[row.argmax()], float(row.max()))
            for answers in predict(model, read, Path(store))
            for product, row in zip(answers.products, answers.probabilities, strict=True)
        ]


def _study(catalogue: Catalogue, store: Path, max_pixels: int, *, looks: bool) -> Study:
    """The products without a split; pictures are decoded only where a network looks at them."""
    images = ImageIndex({}, (), ImageUse.NONE)
    if looks:
        store.mkdir(parents=True, exist_ok=True)
        images = ImageIndex.scan(catalogue, store / "images.sqlite", max_pixels=max_pixels)
    nobody = (None,) * len(catalogue.products)
    return Study(catalogue, images, Split(Protocol.NO_TEST, 0.0, 0, nobody, GroupSummary(0, 0, ()), (), ""), max_pixels)


def _absent(product: Product, study: Study) -> tuple[str, ...]:
    """The fields that a product lacks; a picture that cannot be read is absent."""
    facts = study.images.facts
    image = any(path not in facts or study.images.readable(path) for path in product.images)
    given = {Field.TITLE: bool(product.title), Field.DESCRIPTION: bool(product.description), Field.IMAGE: image}
    return tuple(name.value for name, there in given.items() if not there)
