"""A study that is extracted and fused in seconds, once for all tests of prediction."""

import dataclasses
import json
from functools import cache
from pathlib import Path

from fusecat.cache.store import FeatureCache
from fusecat.stages.extraction.extract import encoders, extract
from fusecat.stages.fusion.fit_settings import FitSettings
from fusecat.stages.fusion.fuse import fuse
from fusecat.stages.fusion.runs import Runs
from fusecat.stages.fusion.strategy import Strategy
from fusecat.stages.workspace import Workspace
from tests.stages.extraction.small import CAMEMBERT, EXTRACTION, SE_RESNEXT50, open_study

STRATEGIES = ("hierarchical/concatenation/average", "baseline/average", "late/mean", "probe/camembert.title")
NETWORKS = tuple(
    dataclasses.replace(network, training=dataclasses.replace(network.training, epochs=1))
    for network in (CAMEMBERT, SE_RESNEXT50)
)


@cache
def small_study(catalogue: Path, root: Path) -> Workspace:
    """Extract four features and fuse a few strategies with two seeds."""
    place = Workspace(root)
    extract(open_study(catalogue), encoders(NETWORKS, EXTRACTION), place)
    table = FeatureCache(place.features).table()
    strategies = [Strategy.parse(name) for name in STRATEGIES]
    fuse(table, strategies, Runs(place.runs), FitSettings(epochs=6), seeds=2, processes=1)
    names = {"1010": "Mammifères"}
    place.study.write_text(json.dumps({"metric": "macro-f1", "class_names": names}), encoding="utf-8")
    return place
