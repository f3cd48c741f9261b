"""What the default settings of heads leave to be found: each strategy beside itself, tuned by `fusecat tune`'s own search.

    python -m benchmarks.tuned_heads FOLDER [--trials 20] [--strategy NAME ...] [--split N ...]
        --products 0 --workspace DIR --frozen FROZEN.npz [--skewed] [--splits 5]      # sources as in stage_two_settings

FOLDER keeps the trials, so that a search that was interrupted goes on. Printed per table and strategy: macro-F1 on validation
of the default and of the best trial, over the two seeds of the search; on test of the same heads; and what tuning chose. The
best of 20 trials, read on the rows that chose it, is flattered: with the spread of one trial's score as sd, by up to 1.9 sd
where all settings are equally good. Test has no such part.
"""

import dataclasses
from pathlib import Path

import numpy as np

from benchmarks.stage_two_settings import parser, sources
from fusecat.cache.table import FeatureTable
from fusecat.stages.fusion.fit_data import gather
from fusecat.stages.fusion.fit_settings import DEFAULT, TUNED, FitSettings
from fusecat.stages.fusion.run_strategy import run_strategy
from fusecat.stages.fusion.runs import Job
from fusecat.stages.fusion.strategy import Strategy
from fusecat.stages.fusion.strategy_plan import plan
from fusecat.stages.fusion.tune import SEEDS, tune
from fusecat.stages.metrics import MACRO_F1

SAME = "hierarchical/addition/addition"
"""One function with flat/addition."""


def thesis(table: FeatureTable) -> list[Strategy]:
    """The strategies of the study and their flat controls; not what leaves the image out, nor two names of one function."""
    found = plan("thesis", table.features).strategies
    return [each for each in found if each.name.split("/")[0] in ("baseline", "flat", "hierarchical") and each.name != SAME]


def judged(table: FeatureTable, strategy: Strategy, settings: FitSettings) -> tuple[float, float]:
    """Macro-F1 on validation and test, per cent, the mean over the seeds of the search."""
    data = gather(table, sorted(table.features), ("train", "head"), standardise=settings.standardise)
    runs = [run_strategy(Job(strategy, seed, settings, MACRO_F1), data)[0] for seed in SEEDS]
    validation, test = (float(np.mean([run.scores[part]["macro_f1"] for run in runs])) for part in ("validation", "test"))
    return 100 * validation, 100 * test


def main() -> None:
    words = parser(__doc__)
    words.add_argument("folder", type=Path)
    words.add_argument("--trials", type=int, default=20)
    words.add_argument("--strategy", action="append", metavar="NAME", help="instead of the study's")
    words.add_argument("--split", action="append", type=int, help="only these of the splits or draws, from 0; may be repeated")
    options = words.parse_args()
    for source, tables in sources(options):
        found: dict[str, list[tuple[float, ...]]] = {}
        for at, table in enumerate(tables):
            if options.split and len(tables) > 1 and at not in options.split:
                continue
            strategies = [Strategy.parse(name) for name in options.strategy or ()] or thesis(table)
            for strategy in strategies:
                folder = options.folder / source.replace(" ", "-") / str(at)
                tuned = tune(table, [strategy], folder, trials=options.trials)[strategy.name]
                both = *judged(table, strategy, DEFAULT), *judged(table, strategy, tuned)
                found.setdefault(strategy.name, []).append(both)
                print(f"{source}, {at}: {line(strategy.name, both)}  {changes(tuned)}", flush=True)
        for name, each in found.items():
            print(f"{source}, mean of {len(each)}: {line(name, tuple(np.mean(each, axis=0)))}", flush=True)


def line(name: str, both: tuple[float, ...]) -> str:
    """Validation and test of the default, and what tuning adds."""
    validation, test, best, best_test = both
    return f"{name:42s} validation {validation:5.1f} ({best - validation:+4.1f})  test {test:5.1f} ({best_test - test:+4.1f})"


def changes(tuned: FitSettings) -> str:
    """The settings that the search chose."""
    values = {name: dataclasses.asdict(tuned)[name] for name in TUNED}
    return ", ".join(f"{name} {value:.2g}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items())


if __name__ == "__main__":
    main()
