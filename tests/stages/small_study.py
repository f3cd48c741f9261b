"""A study that is extracted and fused in seconds, once for all tests of prediction."""

import dataclasses
import json
from functools import cache
from pathlib import Path

from cache.store import FeatureCache
from stages.extraction import encoders, extract
from stages.fusion import fuse
from stages.heads.settings import FitSettings
from stages.runs import Runs
from stages.strategy import Strategy
from stages.workspace import Workspace
from tests.stages.encoders.small import CAMEMBERT, EXTRACTION, SE_RESNEXT50, open_study

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
