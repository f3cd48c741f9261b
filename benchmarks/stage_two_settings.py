"""The experiment behind the default `FitSettings`: variants of one setting at a time, judged on validation.

    python -m benchmarks.stage_two_settings [--products 8000] [--widths 768 2048] [--seeds 3] [--only NAME ...]
        [--strategy NAME ...] [--workspace DIR ...] [--frozen FILE.npz] [--skewed]

Data: the three generators and two skewed ones (benchmarks/generators.py), the features of any workspace, and the sample's
frozen vectors (benchmarks/frozen_vectors.py). Beside them stands a balanced logistic regression on blocks of equal length.
Printed per variant and source: mean
validation score over strategies and seeds (its difference from the default), the test score beside it for information, the
epochs run and the seconds of CPU per fit. Macro-F1 chooses; test chooses nothing.
"""

import argparse
import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np

from benchmarks import frozen_vectors
from benchmarks.generators import GENERATORS, WIDTHS, skewed
from fusecat.cache.store import FeatureCache
from fusecat.cache.table import FeatureTable
from fusecat.stages.fusion.fit_data import gather
from fusecat.stages.fusion.fit_settings import DEFAULT, THESIS, ClassWeights, FitSettings, Loss, Scaling
from fusecat.stages.fusion.run_strategy import run_strategy
from fusecat.stages.fusion.strategy import Strategy
from fusecat.stages.fusion.wiring import wire
from fusecat.stages.metrics import MACRO_F1
from fusecat.stages.scores import scores
from fusecat.stages.vocabulary import Architecture

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
        "auxiliary 0.5": {"auxiliary": 0.5},
        "auxiliary 1": {"auxiliary": 1.0},
        "auxiliary 2": {"auxiliary": 2.0},
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


def logistic_regression(table: FeatureTable, features: Sequence[str]) -> tuple[float, float]:
    """Macro-F1 on validation and test of scikit-learn's, classes balanced, each feature of length 1; C chosen on validation."""
    from sklearn.linear_model import LogisticRegression

    rows, blocks = table.rows("train", "head"), []
    for name in features:
        feature = table.features[name]
        held = rows[feature.present[rows]]
        block = feature.embedding.astype(np.float64) - feature.embedding[held].astype(np.float64).mean(axis=0)
        blocks.append(block / np.sqrt((block[held] ** 2).sum(axis=1).mean()) * feature.present[:, None])
    everything, found = np.hstack(blocks), []
    for strength in (0.1, 1.0, 10.0, 100.0):
        model = LogisticRegression(C=strength, class_weight="balanced", max_iter=300).fit(everything[rows], table.labels[rows])
        marks = []
        for part in ("validation", "test"):
            chances = np.zeros((len(table.rows(part)), len(table.classes)))
            chances[:, model.classes_] = model.predict_proba(everything[table.rows(part)])
            marks.append(scores(table.labels[table.rows(part)], chances)["macro_f1"])
        found.append((marks[0], marks[1]))
    return max(found)


def sources(
    products: int, widths: tuple[int, int], workspaces: list[Path], frozen: Path | None, *, small: bool
) -> Iterator[tuple[str, FeatureTable]]:
    for name, make in GENERATORS.items():
        if products:
            yield f"{name} {products}", make(products, widths=widths).table
    for workspace in workspaces:
        yield workspace.name, FeatureCache(workspace / "features").table()
    for seed in (2020, 2021) if frozen else ():
        yield f"frozen vectors, split {seed}", frozen_vectors.table(cast("Path", frozen), seed)
    if small:
        yield "skewed, 14 classes 30:1", skewed(800, classes=14, ratio=30)
        yield "skewed, 27 classes 13:1", skewed(1000, classes=27, ratio=13, seed=5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--products", type=int, default=8000, help="size of each synthetic table; 0: none")
    parser.add_argument("--widths", type=int, nargs=2, default=WIDTHS, help="columns of a text and of the image")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workspace", type=Path, action="append", default=[])
    parser.add_argument("--strategy", action="append", help="instead of the eight", metavar="NAME")
    parser.add_argument("--only", action="append", help="names of variants")
    parser.add_argument("--frozen", type=Path, help="what benchmarks.frozen_vectors wrote")
    parser.add_argument("--skewed", action="store_true", help="the two skewed generators as well")
    options = parser.parse_args()
    given = sources(options.products, tuple(options.widths), options.workspace, options.frozen, small=options.skewed)
    for source, table in given:
        print(f"\n{source}: {len(table.rows('train', 'head'))} fit rows, {len(table.rows('validation'))} of validation")
        for architecture in (Architecture.BASELINE, Architecture.FLAT):
            features = wire(architecture, table.features).features
            said = " ".join(f"{100 * value:6.2f}" for value in logistic_regression(table, features))
            print(f"  logistic regression, features of {architecture}: {said}", flush=True)
        reference = np.nan
        for name, settings in variants().items():
            if options.only and name not in options.only:
                continue
            fit_data = gather(table, sorted(table.features), ("train", "head"), standardise=settings.standardise)
            found = []
            start = time.process_time()
            for strategy in options.strategy or STRATEGIES:
                for seed in range(1, options.seeds + 1):
                    run, _ = run_strategy(Strategy.parse(strategy), seed, fit_data, settings, MACRO_F1)
                    found.append([run.scores["validation"]["macro_f1"], run.scores["test"]["macro_f1"], len(run.curve)])
            seconds = (time.process_time() - start) / len(found)
            validation, test, epochs = np.mean(found, axis=0)
            reference = validation if np.isnan(reference) else reference
            marks = f"validation {100 * validation:6.2f} ({100 * (validation - reference):+5.2f})  test {100 * test:6.2f}"
            print(f"{name:24s} {marks}  {epochs:5.1f} epochs  {seconds:6.2f} s of CPU", flush=True)


if __name__ == "__main__":
    main()
