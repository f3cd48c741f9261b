"""New products in, class probabilities out, chunk by chunk: the story of prediction.

Shapes: n products of a chunk, C classes.
"""

import math
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.table import Feature
from fusecat.stages.catalogue import challenge, custom
from fusecat.stages.catalogue.data_model import Catalogue, ImageUse, Product, ReadingOptions
from fusecat.stages.catalogue.image_index import MAX_PIXELS, ImageIndex
from fusecat.stages.catalogue.read import read_catalogue
from fusecat.stages.catalogue.split import GroupSummary, Split
from fusecat.stages.errors import ModelError, UsageError
from fusecat.stages.external.vectors import ExternalVectors, Files
from fusecat.stages.extraction.dataset import Study
from fusecat.stages.extraction.progress import Progress, silent
from fusecat.stages.prediction.encode import CHUNK, Encoding
from fusecat.stages.prediction.external_chunks import IDS, ExternalChunks
from fusecat.stages.prediction.model import Model
from fusecat.stages.vocabulary import Field, SplitProtocol


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
    external: Mapping[str, Files] = MappingProxyType({}),
    max_pixels: int | None = None,
    workers: int = 0,
    chunk: int = CHUNK,
    progress: Progress = silent,
    encoded: Callable[[str, int], None] = lambda *_: None,
    joined: Callable[[str, ExternalVectors], None] = lambda *_: None,
    damaged: Callable[[str], None] = lambda _: None,
) -> Iterator[Answers]:
    """Encode what the strategy needs and is not in `store` yet, then answer in catalogue order.

    Can be interrupted anywhere and called again. `external`: feature -> vectors that serve in place of a network's.
    `max_pixels`: of a picture that is still decoded; as in the study, where it is not given. `encoded` is
    told of each other feature how many products were computed, `joined` of each brought one what was found in the files,
    `damaged` of stored files that are not as they were written, in a line each.

    Raises: ModelError for a feature that neither a network nor `external` provides.
    """
    _refuse_gaps(model, external, catalogue)
    max_pixels = max_pixels or model.reading.get("max_image_pixels", MAX_PIXELS)
    networks = {name: fine_tuned for name, fine_tuned in model.fine_tuned.items() if name not in external}
    # whole blocks of every network, so that batches are those of stage one
    blocks = math.lcm(*(fine_tuned.encoder.extraction.block for fine_tuned in networks.values()))
    size = -(-chunk // blocks) * blocks
    count = len(catalogue.products)
    chunks = [range(start, min(start + size, count)) for start in range(0, count, size)]
    given = {
        name: ExternalChunks(files, model.shapes[name], catalogue, model.classes, chunks) for name, files in external.items()
    }
    for name, vectors in given.items():
        joined(name, vectors.external)
    study = _study(catalogue, store, max_pixels, looks=any(each.field is Field.IMAGE for each in networks.values()))
    encodings = {
        name: Encoding(fine_tuned, study, store / "features", chunk=size, damaged=damaged)
        for name, fine_tuned in networks.items()
    }
    with ExitStack() as stack:
        for name, encoding in encodings.items():
            stack.callback(encoding.close)
            encoded(name, encoding.complete(progress, workers))
        for vectors in given.values():
            vectors.stage(store, stack)
        for number, rows in enumerate(chunks):
            features = {name: encoding.chunk(number) for name, encoding in encodings.items()}
            features |= {name: vectors.chunk(number) for name, vectors in given.items()}
            yield _answer(model, catalogue.products[rows.start : rows.stop], features, study, frozenset(given))


def _answer(
    model: Model, products: Sequence[Product], features: Mapping[str, Feature], study: Study, given: frozenset[str]
) -> Answers:
    """What the heads say of some products."""
    probabilities = model.probabilities(features)
    present = {Field(name.rpartition(".")[2]): features[name].present for name in given}
    absent = [
        _absent(product, study, {field for field, there in present.items() if there[number]})
        for number, product in enumerate(products)
    ]
    empty = np.array([len(fields) == 3 for fields in absent], bool)
    probabilities[empty] = model.prior
    unseen = ~np.logical_or.reduce([feature.present for feature in features.values()])
    return Answers(products, probabilities, absent, unseen, empty)


def _refuse_gaps(model: Model, external: Mapping[str, Files], catalogue: Catalogue) -> None:
    """Raise before anything is computed where a feature is missing, or was brought in vain."""
    for name in external:
        if name not in model.shapes:
            message = f"--vectors {name}: {model.strategy} does not look at it, but at {', '.join(sorted(model.shapes))}"
            raise UsageError(message)
    for name, shape in model.shapes.items():
        if name in external:
            if shape.logits and external[name].logits is None:
                message = f"--logits: {model.strategy} needs the class logits of {name}; pass --logits {name}=FILE"
                raise UsageError(message)
        elif catalogue.layout == IDS:
            message = f"{model.strategy} needs {name} too: pass its vectors (--vectors {name}=FILE), or name the CATALOG"
            raise ModelError(message)
        elif name not in model.fine_tuned:
            message = (
                f"{model.strategy} needs {name}, which no network here computes: pass the vectors of these products "
                f"(--vectors {name}=FILE), or use another strategy"
            )
            raise ModelError(message)


def classify(folder: Path, catalogue: Path, *, merges: Collection[str] = ()) -> list[tuple[str, str, float]]:
    """Id, type code and probability of every product of a catalogue, by the model in `folder`; keeps nothing.

    `merges`: the merges of one's own, `package.module:Class`, that the model may use: no code is run that is not named here.
    """
    from fusecat.stages.prediction.model_folder import load_model

    model = load_model(folder, merges=merges)
    read = read_catalogue(Path(catalogue), as_in_study(Path(catalogue), model.reading, ReadingOptions(labels=False)))
    with tempfile.TemporaryDirectory() as store:
        return [
            (product.id, model.classes[row.argmax()], float(row.max()))
            for answers in predict(model, read, Path(store))
            for product, row in zip(answers.products, answers.probabilities, strict=True)
        ]


def as_in_study(path: Path, reading: Mapping[str, Any], options: ReadingOptions, told: Collection[str] = ()) -> ReadingOptions:
    """These options, with what the study's `reading` says of pictures in place of what was not `told`.

    Columns and encoding too, where the catalogue at `path` neither has a challenge's layout nor a catalogue.toml of its own.
    Not whether links are followed: that was allowed for one catalogue.
    """
    names = {"images", "max_images"}
    folder = path if path.is_dir() else path.parent
    if path.exists() and challenge.choose(path) is None and not (folder / custom.SETTINGS).exists():
        names |= {"columns", "encoding"}
    known = ReadingOptions.of(reading)
    return replace(options, **{name: getattr(known, name) for name in names - set(told) if name in reading})


def _study(catalogue: Catalogue, store: Path, max_pixels: int, *, looks: bool) -> Study:
    """The products without a split; pictures are decoded only where a network looks at them."""
    images = ImageIndex({}, (), ImageUse.NONE)
    if looks:
        store.mkdir(parents=True, exist_ok=True)
        images = ImageIndex.scan(catalogue, store / "images.sqlite", max_pixels=max_pixels)
    nobody = (None,) * len(catalogue.products)
    return Study(catalogue, images, Split(SplitProtocol.NO_TEST, 0.0, 0, nobody, GroupSummary(0, 0, ()), (), ""), max_pixels)


def _absent(product: Product, study: Study, given: Collection[Field]) -> tuple[str, ...]:
    """The fields that a product lacks; a picture that cannot be read is absent, a field whose vector was `given` is there."""
    facts = study.images.facts
    title, description = (bool(text) or field in given for field, text in _texts(product))
    if Field.TITLE_DESCRIPTION in given and not (title or description):
        title = description = True  # one of them is there, and only who made the vector knows which
    image = Field.IMAGE in given or any(path not in facts or study.images.readable(path) for path in product.images)
    there = {Field.TITLE: title, Field.DESCRIPTION: description, Field.IMAGE: image}
    return tuple(name.value for name, known in there.items() if not known)


def _texts(product: Product) -> tuple[tuple[Field, str | None], ...]:
    return (Field.TITLE, product.title), (Field.DESCRIPTION, product.description)
