"""The experiment behind the default `FitSettings`: variants of one setting at a time, judged on validation.

    python -m benchmarks.stage_two_settings [--products 8000] [--widths 768 2048] [--seeds 3] [--only NAME ...]
        [--strategy NAME ...] [--workspace DIR ...] [--frozen FILE.npz] [--skewed] [--splits 5] [--each]

Data: the three generators and two skewed ones (benchmarks/generators.py), the features of any workspace, and the sample's
frozen vectors (benchmarks/frozen_vectors.py). Beside them stands the tuned logistic regression on the same features.
Printed per variant and source: mean
validation score over strategies and seeds (its difference from the default), the test score beside it for information, the
epochs run and the seconds of CPU per fit. Macro-F1 chooses; test chooses nothing.
"""

import argparse
import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import frozen_vectors
from benchmarks.generators import GENERATORS, WIDTHS, skewed
from fusecat.cache.store import FeatureCache
from fusecat.cache.table import FeatureTable
from fusecat.stages.fusion.fit_data import gather
from fusecat.stages.fusion.fit_settings import DEFAULT, THESIS, ClassWeights, FitSettings, Loss, Moments, Scaling, Shortcut
from fusecat.stages.fusion.run_strategy import run_strategy
from fusecat.stages.fusion.runs import Job
from fusecat.stages.fusion.strategy import SETS, Strategy
from fusecat.stages.metrics import MACRO_F1

STRATEGIES = (
    "baseline/concatenation",
    "baseline/average",
    "flat/addition",
    "hierarchical/concatenation/average",
    "hierarchical/average/average",
    "baseline/gated",
    "baseline/mlp",
    "hierarchical/concatenation/low-rank",
)


def variants() -> Mapping[str, FitSettings]:
    """The default, then one change at a time; the thesis settings last."""
    changes: dict[str, dict[str, object]] = {
        "default": {},
        "moments of weights": {"moments": Moments.WEIGHT},
        "moments of layers": {"moments": Moments.LAYER},
        "no averaging": {"averaging": 0.0},
        "no averaging, full pace": {"averaging": 0.0, "projecting": 1.0},
        "projections at full pace": {"projecting": 1.0},
        "projections at half pace": {"projecting": 0.5},
        "projections at three tenths": {"projecting": 0.3},
        "multiplying projections at full pace": {"projecting_multiplying": 1.0},
        "no shortcut": {"shortcut": Shortcut.NONE},
        "shortcuts everywhere": {"shortcut": Shortcut.EVERY},
        "moments of weights, no averaging, full pace": {"moments": Moments.WEIGHT, "averaging": 0.0, "projecting": 1.0},
        "lr 1e-4": {"learning_rate": 1e-4},
        "lr 3e-4": {"learning_rate": 3e-4},
        "lr 1e-3": {"learning_rate": 1e-3},
        "lr 6e-3": {"learning_rate": 6e-3},
        "lr 1e-2": {"learning_rate": 1e-2},
        "initial 1": {"initial": 1.0},
        "no larger steps": {"narrow": 1.0},
        "4 times at most": {"narrow": 4.0},
        "decay 0": {"weight_decay": 0.0},
        "decay 0.1": {"weight_decay": 0.1},
        "decay 0.3": {"weight_decay": 0.3},
        "smoothing 0": {"label_smoothing": 0.0},
        "smoothing 0.2": {"label_smoothing": 0.2},
        "dropout 0.3": {"dropout": 0.3},
        "modality dropout 0.1": {"modality_dropout": 0.1},
        "modality dropout 0.3": {"modality_dropout": 0.3},
        "modality dropout 0.5": {"modality_dropout": 0.5},
        "missing vector": {"modality_dropout": 0.1, "missing_vector": True},
        "one feature alone, 0.5": {"auxiliary": 0.5, "readings": 0},
        "auxiliary 0.5": {"auxiliary": 0.5},
        "auxiliary 1": {"auxiliary": 1.0},
        "auxiliary 2": {"auxiliary": 2.0},
        "auxiliary 4": {"auxiliary": 4.0},
        "raw columns": {"standardise": Scaling.NONE},
        "by column": {"standardise": Scaling.COLUMN},
        "by column, no class weights": {"standardise": Scaling.COLUMN, "class_weights": ClassWeights.NONE},
        "by column, class weights root": {"standardise": Scaling.COLUMN, "class_weights": ClassWeights.ROOT},
        "by feature, no class weights": {"standardise": Scaling.FEATURE, "class_weights": ClassWeights.NONE},
        "by feature, class weights root": {"standardise": Scaling.FEATURE, "class_weights": ClassWeights.ROOT},
        "by feature, class weights inverse": {"standardise": Scaling.FEATURE, "class_weights": ClassWeights.INVERSE},
        "by feature, logit-adjusted": {"standardise": Scaling.FEATURE, "loss": Loss.LOGIT_ADJUSTED},
        "by feature, root, auxiliary 0.5": {
            "standardise": Scaling.FEATURE,
            "class_weights": ClassWeights.ROOT,
            "auxiliary": 0.5,
        },
        "by feature, root, auxiliary 1": {
            "standardise": Scaling.FEATURE,
            "class_weights": ClassWeights.ROOT,
            "auxiliary": 1.0,
        },
        "8 steps an epoch": {"least_steps": 8},
        "32 steps an epoch": {"least_steps": 32},
        "10 epochs": {"epochs": 10},
        "modality dropout 0.3, lr 6e-3": {"modality_dropout": 0.3, "learning_rate": 6e-3},
        "100 steps": {"steps": 100},
        "200 steps": {"steps": 200},
        "360 steps": {"steps": 360},
        "800 steps": {"steps": 800},
        "200 steps, lr 6e-3": {"steps": 200, "learning_rate": 6e-3},
        "20 epochs": {"epochs": 20},
        "40 epochs": {"epochs": 40},
        "patience 3": {"patience": 3},
        "patience 10": {"patience": 10},
        "averaging 0.95": {"averaging": 0.95},
        "focal": {"loss": Loss.FOCAL},
        "logit-adjusted": {"loss": Loss.LOGIT_ADJUSTED},
        "class weights inverse": {"class_weights": ClassWeights.INVERSE},
        "balanced batches": {"balanced_batches": True},
    }
    made = {name: dataclasses.replace(DEFAULT, **change) for name, change in changes.items()}  # type: ignore[arg-type]
    return made | {"thesis": THESIS}


def sources(given: argparse.Namespace) -> Iterator[tuple[str, list[FeatureTable]]]:
    """What is compared on: of what is small, as many splits, or draws of the generator, as asked for."""
    for name, make in GENERATORS.items():
        if given.products:
            yield f"{name} {given.products}", [make(given.products, widths=tuple(given.widths)).table]
    for workspace in given.workspace:
        yield workspace.name, [FeatureCache(workspace / "features").table()]
    if given.frozen:
        yield "frozen vectors", [frozen_vectors.table(given.frozen, 2020 + at) for at in range(given.splits)]
    if given.skewed:
        yield "skewed, 14 classes 30:1", [skewed(800, classes=14, ratio=30, seed=4 + at) for at in range(given.splits)]
        yield "skewed, 27 classes 13:1", [skewed(1000, classes=27, ratio=13, seed=5 + at) for at in range(given.splits)]


def measured(tables: list[FeatureTable], strategies: Sequence[str], settings: FitSettings, seeds: int) -> NDArray[np.float64]:
    """(strategies, 4): macro-F1 on validation and test, epochs, and seconds of CPU per fit, the mean over tables and seeds."""
    found = np.zeros((len(strategies), 4))
    for table in tables:
        fit_data = gather(table, sorted(table.features), ("train", "head"), standardise=settings.standardise)
        for at, name in enumerate(strategies):
            strategy = Strategy.parse(name)
            for seed in range(1, seeds + 1):
                start = time.process_time()
                run, _ = run_strategy(Job(strategy, seed, settings, MACRO_F1), fit_data)
                scores = [run.scores[part]["macro_f1"] for part in ("validation", "test")]
                found[at] += [*scores, len(run.curve), time.process_time() - start]
    return found / (len(tables) * seeds)


def parser(about: str | None) -> argparse.ArgumentParser:
    """Takes the words that say which sources are compared on."""
    found = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--products", type=int, default=8000, help="size of each synthetic table; 0: none")
    found.add_argument("--widths", type=int, nargs=2, default=WIDTHS, help="columns of a text and of the image")
    found.add_argument("--workspace", type=Path, action="append", default=[])
    found.add_argument("--frozen", type=Path, help="what benchmarks.frozen_vectors wrote")
    found.add_argument("--skewed", action="store_true", help="the two skewed generators as well")
    found.add_argument("--splits", type=int, default=2, help="splits of the frozen vectors, draws of the skewed generators")
    return found


def main() -> None:
    words = parser(__doc__)
    words.add_argument("--seeds", type=int, default=3)
    words.add_argument("--strategy", action="append", help="instead of the eight", metavar="NAME")
    words.add_argument("--only", action="append", help="names of variants")
    words.add_argument("--each", action="store_true", help="a line for each strategy as well")
    options = words.parse_args()
    strategies = options.strategy or STRATEGIES
    for source, tables in sources(options):
        first = tables[0]
        print(f"\n{source}: {len(first.rows('train', 'head'))} fit rows, {len(first.rows('validation'))} of validation")
        names = [f"logistic/{kind}" for kind in SETS]
        for name, line in zip(names, measured(tables, names, DEFAULT, 1), strict=True):
            print(f"{name:40s} validation {100 * line[0]:6.2f}           test {100 * line[1]:6.2f}", flush=True)
        reference = np.nan
        for name, settings in variants().items():
            if options.only and name not in options.only:
                continue
            found = measured(tables, strategies, settings, options.seeds)
            validation, test, epochs, seconds = found.mean(axis=0)
            reference = validation if np.isnan(reference) else reference
            marks = f"validation {100 * validation:6.2f} ({100 * (validation - reference):+5.2f})  test {100 * test:6.2f}"
            print(f"{name:40s} {marks}  {epochs:5.1f} epochs  {seconds:6.2f} s of CPU", flush=True)
            for strategy, line in zip(strategies, found, strict=True) if options.each else ():
                print(f"  {strategy:38s} validation {100 * line[0]:6.2f}           test {100 * line[1]:6.2f}", flush=True)


if __name__ == "__main__":
    main()
