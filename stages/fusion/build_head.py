"""From a strategy to its head."""

import inspect
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import assert_never

from fusecat.cache.fingerprint import digest
from fusecat.stages.errors import UsageError
from fusecat.stages.fusion.feasible import wiring_of
from fusecat.stages.fusion.fit_settings import FitSettings
from fusecat.stages.fusion.head import Head
from fusecat.stages.fusion.merges import MergeModule, merge_class
from fusecat.stages.fusion.merges.plugin import load_merge
from fusecat.stages.fusion.strategy import Strategy
from fusecat.stages.vocabulary import Merge, Variant


def build_head(strategy: Strategy, widths: Mapping[str, int], classes: int, settings: FitSettings) -> Head:
    """An untrained head; its weights come from torch's random numbers as they stand.

    `widths`: feature name -> length of its vectors; may hold more features than the strategy takes.
    """
    wiring = wiring_of(strategy, widths)
    first, final = (find_merge(name) if name else None for name in (strategy.first, strategy.merge))
    match strategy.variant:
        case Variant.DROPOUT:
            settings = replace(settings, dropout=settings.dropout or 0.3)
        case Variant.LAYERS:
            settings = replace(settings, hidden_layer=True)
        case None:
            pass
        case _:
            assert_never(strategy.variant)
    return Head(wiring, widths, classes, first=first, final=final, settings=settings)


def find_merge(name: str) -> type[MergeModule]:
    """The module of that name, ours or a user's `package.module:Class`. Raises UsageError where there is none.

    The latter imports code: the name has to be the caller's, never one that was read (see `Strategy.parse`).
    """
    if ":" in name:
        return load_merge(name)
    if name not in list(Merge):
        raise UsageError(f"no merge is called '{name}'; choose from {', '.join(Merge)}, or package.module:Class of your own")
    return merge_class(Merge(name))


def code_of(strategy: Strategy) -> str:
    """A digest of the files in which the strategy's own merges are written; empty where all of its merges are ours."""
    return digest([digest(Path(inspect.getfile(find_merge(name)))) for name in strategy.own]) if strategy.own else ""
