"""The same vectors on other splits, where they know nothing of the split that they were computed on.

What a network says of a product does not depend on labels or parts where nothing in it was fitted here: vectors that somebody
else's network made (imported, its training rows not among these products), and those of a frozen pretrained network, whose
classification layer alone learnt from train; its logits are left out. A fine-tuned network has seen its train, TF-IDF counts
the words of train, and the columns of attributes are measured on train: these would know rows that another split tests on.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fusecat.cache.fingerprint import digest
from fusecat.cache.records import read_record
from fusecat.cache.store import FeatureCache
from fusecat.cache.stream import StreamedTable
from fusecat.cache.table import NO_PART, Feature, FeatureTable
from fusecat.stages.catalogue.data_model import Catalogue, Product
from fusecat.stages.catalogue.split import WAY_OUT, split
from fusecat.stages.errors import UsageError
from fusecat.stages.vocabulary import Part, SplitProtocol
from fusecat.stages.workspace import Workspace


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
    if not training.get("freeze") or network.get("weights") == "new" or network.get("pooling") == "flatten":
        return "its network was fine-tuned on train"
    return None


def resplit(place: Workspace, table: FeatureTable, names: tuple[str, ...], count: int) -> list[FeatureTable]:
    """The labelled products of a workspace on `count` splits, the first of which is its own.

    Each is drawn as `stages.catalogue.split` draws, with the next seed, stratified, with the shares of the workspace's split.
    `names`: the features that the tables hold.

    Raises: UsageError that names the feature, or the way in which the workspace was split, where that would be unsound.
    """
    if isinstance(table, StreamedTable):
        raise UsageError("--splits needs the vectors in memory: pass --no-stream")
    cache, kept = FeatureCache(place.features), {}
    for name in names:
        feature = table.features[name]
        if reason := knows_the_split(cache.recipe(name), feature):
            raise UsageError(
                f"--splits: {name} depends on the split ({reason}), so other splits need it computed again; name features "
                "that do not with --features, or extract into one workspace per --split-seed and use 'fusecat report --pool'"
            )
        kept[name] = replace(feature, logits=None, logits_oof=None, fitted_on=None)
    known = read_record(place.split, WAY_OUT)
    if known.get("own"):
        raise UsageError(f"--splits: {place.root} has a split of its own, given with the products, and no other is drawn")
    if known.get("subset") or known.get("groups", {}).get("count"):
        what = "a subset of its products" if known.get("subset") else f"{known['groups']['count']} groups of duplicates"
        raise UsageError(
            f"--splits: {place.root} was split with {what}, which it does not name product by product; extract or import into "
            "one workspace per --split-seed and use 'fusecat report --pool', or fusecat.compare(..., groups=) in Python"
        )
    codes = [table.classes[label] if label >= 0 else None for label in table.labels]
    products = tuple(Product(str(name), None, None, (), code) for name, code in zip(table.ids, codes, strict=True))
    catalogue, parts = Catalogue(Path(place.root), "workspace", products), tuple(part.value for part in Part)
    found = []
    for seed in range(int(known["seed"]), int(known["seed"]) + count):
        drawn = split(
            catalogue,
            np.arange(len(products)),
            protocol=SplitProtocol(known["protocol"]),
            head_share=float(known["head_share"]),
            seed=seed,
        )
        numbers = np.array([NO_PART if part is None else parts.index(part.value) for part in drawn.parts], np.uint8)
        marks = {"table": table.fingerprint, "split": digest(numbers.tobytes())}
        found.append(FeatureTable(table.ids, table.labels, numbers, table.classes, parts, kept, digest(marks)))
    return found
