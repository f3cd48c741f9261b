"""Product cards: what a repair, a remaining error and a suspected wrong label look like.

The catalogue is read again, and only here. Where it has gone, or cannot be read any more, the cards stay without texts and
pictures and the page says why: a report never fails for want of them.
"""

import base64
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.errors import FusecatError
from fusecat.pipeline.report.slices import FUSION, compared_rows, repairing
from fusecat.stages.catalogue.data_model import ReadingOptions
from fusecat.stages.progress import phase
from fusecat.stages.scores import Outcome
from fusecat.stages.study_record import StudyRecord

if TYPE_CHECKING:
    from fusecat.pipeline.report.comparison import Comparison

SHOWN = 6
"""Cards of each kind."""

THUMBNAIL = 192
"""Pixels of the longer side: sharp at twice the size at which a card shows it."""

LISTED = 8
"""Wrong products that are listed of each class."""

CLASSES = 120
"""Classes of which they are listed, those with most mistakes."""

TOP = 3
TEXT = 280

KINDS = ("repairs", "errors", "labels")


def titles(sides: Collection[str]) -> dict[str, str]:
    """What stands above each kind of cards, in the order of the page; `sides`: those that are compared."""
    fusion, alone = repairing(sides) or ("", "")
    repairs = f"Repaired by fusion: {alone} is wrong, the chosen strategy is right"
    if fusion == FUSION:
        repairs = "What fusion would repair: the chosen feature is wrong, the best fusion is right"
    still = "Wrong" if fusion == FUSION or not fusion else "Still wrong"
    labels = "Suspected wrong labels: all that is compared says another type code, the same"
    return {"repairs": repairs, "errors": f"{still}, and sure of it", "labels": labels}


@dataclass(frozen=True)
class Guess:
    """What one side says: its most probable type codes, `truth` the probability that it gives the label."""

    side: str
    top: tuple[tuple[str, float], ...]
    truth: float


@dataclass(frozen=True)
class Card:
    """One product of the report's part."""

    id: str
    label: str
    guesses: tuple[Guess, ...]
    title: str | None = None
    description: str | None = None
    thumbnail: str | None = None


@dataclass(frozen=True)
class WrongProduct:
    """What the chosen strategy says of a product that is not `said`, and how sure it is."""

    id: str
    said: str
    sure: float
    title: str | None


@dataclass(frozen=True)
class WrongClass:
    """A type code with the surest of its `wrong` products, `of` how many."""

    code: str
    wrong: int
    of: int
    products: tuple[WrongProduct, ...]


@dataclass(frozen=True)
class Cards:
    """Kind -> cards; per class what is `wrong`; why texts or pictures are missing ('' where they are not)."""

    kinds: Mapping[str, tuple[Card, ...]]
    missing: str = ""
    wrong: tuple[WrongClass, ...] = ()
    most: int = LISTED


@phase("fetching products for the page")
def cards(comparison: "Comparison", shown: int = SHOWN) -> Cards:
    """Choose the products that tell most, by probabilities averaged over seeds, and fetch what the catalogue says of them."""
    study, part = comparison.study, comparison.report_part
    compared = compared_rows(comparison)
    rows, labels, codes = study.products.rows(part), study.labels(part), study.products.classes
    outcomes = {side: row.candidate.average(part) for side, row in compared.items()}
    picked = choose(outcomes, labels, shown)
    mistaken = wrong_by_class(outcomes["chosen"], labels)
    wanted = sorted({int(at) for of in (*picked.values(), *mistaken.values()) for at in of})
    ids = [str(study.products.ids[rows[at]]) for at in wanted]
    known, missing = _catalogue(study.info, ids)
    averages = {side: study.probabilities(row.candidate, part) for side, row in compared.items()}
    made = {}
    shown_as_card = {int(at) for of in picked.values() for at in of}
    name = dict(zip(wanted, ids, strict=True))
    for at in sorted(shown_as_card):
        identity = name[at]
        guesses = []
        for side, of in averages.items():
            values = of[at : at + 1][0]
            top = [(codes[code], float(values[code])) for code in np.argsort(-values, kind="stable")[:TOP]]
            guesses.append(Guess(side, tuple(top), float(outcomes[side].truth[at])))
        made[at] = _card(identity, codes[labels[at]], tuple(guesses), known.get(identity))
    kinds = {kind: tuple(made[int(at)] for at in of) for kind, of in picked.items() if len(of)}
    chosen, sizes = outcomes["chosen"], np.bincount(labels, minlength=len(codes))
    counts = np.bincount(labels[~chosen.right], minlength=len(codes))

    def listed(at: int) -> WrongProduct:
        product = known.get(name[at])
        title = product and _short(product.title, 90)
        return WrongProduct(name[at], codes[chosen.predicted[at]], float(chosen.confidence[at]), title)

    wrong = [
        WrongClass(codes[label], int(counts[label]), int(sizes[label]), tuple(listed(int(at)) for at in of))
        for label, of in mistaken.items()
    ]
    return Cards(kinds, missing, tuple(wrong))


def wrong_by_class(said: Outcome, labels: NDArray[np.integer]) -> dict[int, NDArray[np.intp]]:
    """Class -> places of its wrong products, the surest first; the classes with most mistakes, in their own order."""
    counts = np.bincount(labels[~said.right])
    most = [int(label) for label in np.argsort(-counts, kind="stable")[:CLASSES] if counts[label]]
    return {label: _best((labels == label) & ~said.right, said.confidence, LISTED) for label in sorted(most)}


def choose(outcomes: Mapping[str, Outcome], labels: NDArray[np.integer], shown: int) -> dict[str, NDArray[np.intp]]:
    """Kind -> places of products, the most telling first; `outcomes`: side -> what it says, first the chosen strategy."""
    chosen, picked = outcomes["chosen"], {}
    right = chosen.predicted == labels
    if (pair := repairing(outcomes)) is not None:
        fusion, alone = (outcomes[side] for side in pair)
        picked["repairs"] = _best(fusion.right & ~alone.right, fusion.truth - alone.truth, shown)
    agreed = np.ones(len(labels), bool)
    for side in outcomes.values():
        agreed &= side.predicted == chosen.predicted
    suspect = ~right & agreed if len(outcomes) > 1 else np.zeros(len(labels), bool)
    least = np.minimum.reduce([side.confidence for side in outcomes.values()])
    picked["labels"] = _best(suspect, least, shown)
    others = ~right
    others[np.concatenate([picked["labels"], picked.get("repairs", picked["labels"])])] = False
    picked["errors"] = _best(others, chosen.confidence - chosen.truth, shown)
    return {kind: picked[kind] for kind in KINDS if kind in picked}


def _best(which: NDArray[np.bool_], value: NDArray[np.floating], shown: int) -> NDArray[np.intp]:
    places = np.flatnonzero(which)
    return places[np.argsort(-value[places], kind="stable")[:shown]]


def _card(identity: str, label: str, guesses: tuple[Guess, ...], product: Any | None) -> Card:
    if product is None:
        return Card(identity, label, guesses)
    picture = next((thumb for path in product.images[:1] if (thumb := thumbnail(path))), None)
    texts = [product.description, *(f"{name}: {text}" for name, text in product.further)]
    return Card(identity, label, guesses, _short(product.title), _short(" \N{MIDDLE DOT} ".join(filter(None, texts))), picture)


def _catalogue(info: StudyRecord, ids: Sequence[str]) -> tuple[dict[str, Any], str]:
    """Id -> product of the catalogue that the study was made of, and why it is empty."""
    source = info.catalogue
    if not source:
        return {}, "The study names no catalogue, so cards show ids only."
    from fusecat.stages.catalogue.read import read_catalogue

    try:
        options = replace(ReadingOptions.of(info.reading), labels=False)
        products = read_catalogue(Path(source), options).products
    except (FusecatError, OSError) as error:
        return {}, f"The catalogue cannot be read any more, so cards show ids only ({error})."
    wanted = set(ids)
    found = {product.id: product for product in products if product.id in wanted}
    lost = len(wanted) - len(found)
    return found, f"{lost} of these products are no longer in the catalogue." if lost else ""


def thumbnail(path: Path) -> str | None:
    """A data: URL of a small JPEG, or None where the picture cannot be read."""
    from PIL import Image

    from fusecat.stages.catalogue.decoding import UnreadableImage, decode

    try:
        picture = Image.fromarray(decode(path))
    except (UnreadableImage, OSError):
        return None
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=82, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"


def _short(text: str | None, most: int = TEXT) -> str | None:
    return text if text is None or len(text) <= most else text[: most - 1].rstrip() + "…"
