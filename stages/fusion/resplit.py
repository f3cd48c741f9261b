"""The products of a workspace on other splits, each with vectors that may stand on it.

What `fusecat extract --splits` made of a split is used as it is. What a network says of a product does not depend on labels or
parts where nothing in it was fitted here: vectors that somebody else's network made (imported, its training rows not among
these products), those of a frozen pretrained network, whose classification layer alone learnt from train (its logits are left
out), and zero-shot. These serve on every split. A fine-tuned network has seen its train, TF-IDF counts the words of train, and
the columns of attributes are measured on train: these would know rows that another split tests on.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.fingerprint import changes, digest
from fusecat.cache.layout import Header, digest_dataset
from fusecat.cache.records import read_record
from fusecat.cache.store import FeatureCache, Rows
from fusecat.cache.stream import StreamedTable
from fusecat.cache.table import NO_PART, Feature, FeatureTable, Samples
from fusecat.stages.catalogue.data_model import Catalogue, Product
from fusecat.stages.catalogue.split import WAY_OUT, groups_in, split
from fusecat.stages.errors import UsageError
from fusecat.stages.study_record import StudyRecord, read_study
from fusecat.stages.vocabulary import PARTS, SplitProtocol
from fusecat.stages.workspace import Workspace

OF_A_SPLIT = ("products.split", "folds.products", "vectors")
"""What of a recipe differs between two splits of one study."""


def knows_the_split(recipe: Mapping[str, Any], feature: Feature) -> str | None:
    """Why a feature's vectors depend on the split, None where they do not."""
    training, network = recipe.get("training"), recipe.get("network")
    if not isinstance(training, Mapping) or not isinstance(network, Mapping):  # imported
        if "attributes" in recipe.get("imported", {}):
            return "its columns were measured on train"
        if feature.fitted_on is None:
            return "nobody said what its network was fitted on: import it with --fitted-on none if it is none of these products"
        return f"its network was fitted on {'+'.join(feature.fitted_on)}" if feature.fitted_on else None
    if network.get("library") == "scikit-learn":
        return "its words were counted on train"
    if "prompts" in training:  # zero-shot: it learns nothing
        return None
    if not training.get("freeze") or network.get("weights") == "new" or network.get("pooling") == "flatten":
        return "its network was fine-tuned on train"
    return None


def resplit(place: Workspace, table: FeatureTable, names: tuple[str, ...], count: int) -> Iterator[tuple[int, FeatureTable]]:
    """Seed and table of the labelled products of a workspace on `count` splits, the first its own, one after the other.

    Each is drawn as `stages.catalogue.split` draws, with the next seed: stratified, with the shares, the subset and the groups
    of the workspace's split. `names`: the features that the tables hold.

    Raises: UsageError that names the feature, or the way in which the workspace was split, where that would be unsound.
    """
    if isinstance(table, StreamedTable):
        raise UsageError("--splits needs the vectors in memory: pass --no-stream")
    drawn, cache, shared = parts_on(place, table, count), FeatureCache(place.features), {}
    caches = [FeatureCache(place.on_split(number).features) for number in range(2, count + 1)]
    extracted = any(name in each.names() for each in caches for name in names)
    for name in names:
        header, feature = cache.header(name), table.features[name]
        lacking = [number for number, each in enumerate(caches, 2) if name not in each.names()]
        if not lacking:
            for number, (each, parts) in enumerate(zip(caches, drawn[1:], strict=True), 2):
                _refuse_another(place, number, count, header, each.header(name), parts)
        elif reason := knows_the_split(header.recipe, feature):
            _refuse_what_knows(place, count, name, reason, header, lacking if extracted else [])
        else:
            strange = feature.fitted_on == ()
            shared[name] = feature if strange else replace(feature, logits=None, logits_oof=None, fitted_on=None)
    seeds, own = range(seed_of(place), seed_of(place) + count), [name for name in names if name not in shared]
    return zip(seeds, _tables(table, drawn, shared, own, caches), strict=True)


def seed_of(place: Workspace) -> int:
    """The seed of a workspace's split; each further split has the next one."""
    return int(read_record(place.split, WAY_OUT)["seed"])


def _tables(
    table: FeatureTable,
    drawn: list[NDArray[np.uint8]],
    shared: Mapping[str, Feature],
    own: list[str],
    caches: list[FeatureCache],
) -> Iterator[FeatureTable]:
    """A table per split, read when its turn comes: `shared` features are those of all splits, `own` are read from each."""
    for number, numbers in enumerate(drawn):
        features, mark = dict(shared), ""
        if own:
            each = caches[number - 1].table(own) if number else table
            features |= {name: each.features[name] for name in own}
            mark = each.fingerprint
        mark = mark or digest({"table": table.fingerprint, "split": digest(numbers.tobytes())})
        yield FeatureTable(table.ids, table.labels, numbers, table.classes, PARTS, features, mark, groups=table.groups)


def parts_on(place: Workspace, table: Samples | Rows, count: int) -> list[NDArray[np.uint8]]:
    """The part (N,) of every product of a workspace on each of `count` splits, the first of which is its own.

    Products in no part of the first one are in none. Raises: as `resplit`.
    """
    known = read_record(place.split, WAY_OUT)
    if known.get("own"):
        raise UsageError(f"--splits: {place.root} has a split of its own, given with the products, and no other is drawn")
    groups = groups_in(place.split, [str(name) for name in table.ids])
    if groups is None and (tied := known.get("groups", {}).get("count")):
        raise UsageError(
            f"--splits: {place.root} was split by an earlier version with {tied} groups of duplicates, which it does not name: "
            "run the 'fusecat extract' or 'fusecat import --labels' that made it in another --workspace"
        )
    parted = zip(table.ids, table.labels, table.split, strict=True)
    products = tuple(
        Product(str(name), None, None, (), table.classes[label] if label >= 0 and part != NO_PART else None)
        for name, label, part in parted
    )
    catalogue, found = Catalogue(Path(place.root), "workspace", products), []
    for seed in range(seed_of(place), seed_of(place) + count):
        drawn = split(
            catalogue,
            np.arange(len(products)) if groups is None else groups,
            protocol=SplitProtocol(known["protocol"]),
            head_share=float(known["head_share"]),
            seed=seed,
        )
        found.append(drawn.codes)
    return found


def _refuse_another(place: Workspace, number: int, count: int, first: Header, found: Header, parts: NDArray[np.uint8]) -> None:
    """Raise UsageError where a feature of a split is not of the same products, not on its split, or made by other settings."""
    where, again = place.on_split(number).root, _extract_again(place, count)
    alike = all(first.digests[name]["sha256"] == found.digests[name]["sha256"] for name in ("product_id", "label"))
    if not alike or first.classes != found.classes or found.digests["split"]["sha256"] != digest_dataset("split", parts):
        what = f"{where} is of other products, labels or parts than split {number} of {place.root} now is"
        raise UsageError(f"--splits: {what}; run again: {again}")
    if first.weights:  # vectors that were imported come from as many files as there are splits
        other = [part for part in changes(first.recipe, found.recipe) if not part.startswith(OF_A_SPLIT)]
        if other:
            what = f"{first.feature} was made otherwise in {where} than in {place.root} ({', '.join(other)})"
            raise UsageError(f"--splits: {what}; run again: {again}")


def _refuse_what_knows(place: Workspace, count: int, name: str, reason: str, header: Header, lacking: list[int]) -> NoReturn:
    """Raise UsageError with the way to have such a feature on every split. `lacking`: where others are, and it is not."""
    where = f", and {place.on_split(lacking[0]).root} does not have it" if lacking else ""
    if header.weights:
        way = f"run first: {_extract_again(place, count)}"
    elif "attributes" in (imported if isinstance(imported := header.recipe.get("imported"), Mapping) else {}):
        way = f"import it again with --splits {count}, which measures it on each"
    else:
        way = f"import it into {place.on_split(2).root} and so on too, one per split ('fusecat import --workspace ...')"
    raise UsageError(
        f"--splits: {name} depends on the split ({reason}){where}; {way}; or name features that do not with --features"
    )


def _extract_again(place: Workspace, count: int) -> str:
    """The command that makes the features of so many splits, as the workspace remembers it."""
    commands = [each for each in (read_study(place) or StudyRecord()).commands if each.startswith("fusecat extract")]
    known = re.sub(r" --splits[ =]\d+", "", commands[-1]) if commands else "fusecat extract CATALOG"
    return f"{known} --splits {count}"
