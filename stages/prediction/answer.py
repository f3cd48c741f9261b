"""New products in, class probabilities out, chunk by chunk: the story of prediction.

Shapes: n products of a chunk, C classes.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from fusecat.cache.space import forecast
from fusecat.cache.table import Feature
from fusecat.stages.catalogue import challenge, plan
from fusecat.stages.catalogue.data_model import READING, Catalogue, ImageUse, Product, ReadingOptions
from fusecat.stages.catalogue.image_index import MAX_PIXELS, ImageIndex
from fusecat.stages.errors import ModelError, UsageError
from fusecat.stages.external.vectors import ExternalVectors, Files
from fusecat.stages.extraction.dataset import Dataset
from fusecat.stages.extraction.progress import Progress, silent
from fusecat.stages.fields import TEXTS, Field, parts_of
from fusecat.stages.fusion.wiring import field_of
from fusecat.stages.prediction.answers import Answers, reasons_of, taken, takings
from fusecat.stages.prediction.encode import CHUNK, Encoding
from fusecat.stages.prediction.external_chunks import IDS, ExternalChunks
from fusecat.stages.prediction.fine_tuned_encoder import FineTunedEncoder
from fusecat.stages.prediction.model import Model
from fusecat.stages.progress import remark


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
    told of each other feature how many products were computed, `joined` of each external one what was found in the files,
    `damaged` of stored files that are not as they were written, in a line each.

    Raises: ModelError for a feature that neither a network nor `external` provides.
    """
    refuse_gaps(model, external, catalogue)
    max_pixels = max_pixels or model.reading.get("max_image_pixels", MAX_PIXELS)
    networks = {name: fine_tuned for name, fine_tuned in model.fine_tuned.items() if name not in external}
    chunks = chunks_of(networks, len(catalogue.products), chunk)
    given = {
        name: ExternalChunks(files, model.shapes[name], catalogue, model.classes, chunks) for name, files in external.items()
    }
    for name, vectors in given.items():
        joined(name, vectors.external)
    images = _images(catalogue, store, max_pixels, looks=any(each.field.is_image for each in networks.values()))
    data = Dataset(catalogue, images, max_pixels=max_pixels)
    encodings = {
        name: Encoding(fine_tuned, data, store / "features", chunk=len(chunks[0]) if chunks else chunk, damaged=damaged)
        for name, fine_tuned in networks.items()
    }
    missing = [encoding for encoding in encodings.values() if not encoding.cache.folder.exists()]
    row = sum(2 * model.shapes[encoding.fine_tuned.feature].width + 4 * len(model.classes) for encoding in missing)
    remark(forecast(store, row * len(catalogue.products)))
    with ExitStack() as stack:
        for name, encoding in encodings.items():
            stack.callback(encoding.close)
            encoded(name, encoding.complete(progress, workers))
        for vectors in given.values():
            vectors.stage(store, stack)
        for number, rows in enumerate(chunks):
            features = {name: encoding.chunk(number) for name, encoding in encodings.items()}
            features |= {name: vectors.chunk(number) for name, vectors in given.items()}
            yield answer(model, catalogue.products[rows.start : rows.stop], features, data, frozenset(given))


def predict_with_reasons(model: Model, catalogue: Catalogue, store: Path, **options: Any) -> Iterator[Answers]:
    """`predict`, and of each product what text and image say alone and what each field adds; four more answers each.

    Raises: UsageError where vectors are external: a field cannot be taken out of them.
    """
    if options.get("external"):
        raise UsageError("--reasons: fields cannot be taken out of external vectors; leave out --vectors")
    again = dict(options) | {"encoded": lambda *_: None}
    streams = {fields: predict(model, taken(catalogue, fields), store, **again) for fields in takings(model.texts)}
    for answers in predict(model, catalogue, store, **options):
        said = {fields: next(stream).probabilities for fields, stream in streams.items()}
        yield replace(answers, reasons=reasons_of(answers.probabilities, answers.absent, said))


def answer(
    model: Model, products: Sequence[Product], features: Mapping[str, Feature], data: Dataset, given: frozenset[str]
) -> Answers:
    """What the heads say of some products."""
    probabilities = model.probabilities(features)
    brought = [[field_of(name) for name in given if features[name].present[row]] for row in range(len(products))]
    told = (*model.texts, Field.IMAGE)
    others = sorted({field_of(name) for name in given if len(parts_of(field_of(name))) == 1} - set(told))
    absent, empty = [], np.zeros(len(products), bool)
    for row, (product, fields) in enumerate(zip(products, brought, strict=True)):
        there = _there(product, data, fields)
        absent.append(tuple(str(name) for name in (*told, *others) if name not in there))
        empty[row] = not there
    probabilities[empty] = model.prior
    unseen = ~np.logical_or.reduce([feature.present for feature in features.values()])
    return Answers(products, probabilities, absent, unseen, empty, model.classes, model.class_names)


def refuse_gaps(model: Model, external: Mapping[str, Files], catalogue: Catalogue) -> None:
    """Raise before anything is computed where a feature is missing, or was passed in vain."""
    for name in external:
        if name not in model.shapes:
            raise UsageError(
                f"--vectors {name}: {model.strategy} does not look at it, but at {', '.join(sorted(model.shapes))}"
            )
    for name, shape in model.shapes.items():
        if name in external:
            if shape.logits and external[name].logits is None:
                raise UsageError(f"--logits: {model.strategy} needs the class logits of {name}; pass --logits {name}=FILE")
        elif catalogue.layout == IDS:
            raise ModelError(
                f"{model.strategy} needs {name} too: pass its vectors (--vectors {name}=FILE), or name the CATALOG"
            )
        elif name not in model.fine_tuned:
            raise ModelError(
                f"{model.strategy} needs {name}, which no network here computes: pass the vectors of these products "
                f"(--vectors {name}=FILE), or use another strategy"
            )


def as_in_study(path: Path, reading: Mapping[str, Any], options: ReadingOptions, told: Collection[str] = ()) -> ReadingOptions:
    """These options, with what the study's `reading` says of pictures in place of what was not `told`.

    Columns and how they are read too, where the catalogue at `path` neither has a challenge's layout nor a catalogue.toml of
    its own. Not where its pictures lie, nor whether links are followed: that was said of one catalogue.
    """
    names = {"texts", "images", "max_images"}
    folder = path if path.is_dir() else path.parent
    if path.exists() and challenge.choose(path) is None and not (folder / plan.SETTINGS).exists():
        names = set(READING) - {"follow_symlinks"}
    known = ReadingOptions.of(reading)
    return replace(options, **{name: getattr(known, name) for name in names - set(told) if name in reading})


def chunks_of(networks: Mapping[str, FineTunedEncoder], count: int, chunk: int = CHUNK) -> list[range]:
    """Rows of each chunk: whole blocks of every network, so that batches are those of stage one."""
    blocks = math.lcm(*(fine_tuned.encoder.extraction.block for fine_tuned in networks.values()))
    size = -(-chunk // blocks) * blocks
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def _images(catalogue: Catalogue, store: Path, max_pixels: int, *, looks: bool) -> ImageIndex:
    """Pictures are decoded only where a network looks at them."""
    if not looks:
        return ImageIndex({}, (), ImageUse.NONE)
    store.mkdir(parents=True, exist_ok=True)
    return ImageIndex.scan(catalogue, store / "images.sqlite", max_pixels=max_pixels)


def _there(product: Product, data: Dataset, given: Collection[str]) -> set[str]:
    """The fields that a product has; a picture that cannot be read is absent, a field whose vector was `given` is there."""
    there = {name for name in (*TEXTS, *dict(product.further)) if product.text_of(name)} | set(given)
    if data.images.has_picture(product):
        there.add(Field.IMAGE)
    for field in given:
        if not there.intersection(parts := parts_of(field)):
            there.update(parts)  # one of them is there, and only who made the vector knows which
    return there
