"""Stage two beside what everybody would write, beside its peers, and beside the best that is possible.

    python -m benchmarks.stage_two speed      # seconds per epoch, thesis settings: per-sample h5py, RAM + DataLoader, ours
    python -m benchmarks.stage_two peers      # baseline/concatenation to its final score: ours, lbfgs, MLPClassifier, skorch
    python -m benchmarks.stage_two all60      # 12 thesis heads x 5 seeds, load included
    python -m benchmarks.stage_two posterior  # every strategy against the true posterior on the three generators
    python -m benchmarks.stage_two noise      # features of pure noise: nothing may beat the majority class

`--products N` shrinks the table (55,025 by default), `--seeds N` the repetitions. All compared ways run side by side, one after
the other in turns, and medians are printed; ratios are what counts. Set OMP_NUM_THREADS to choose the threads of the peers; our
fits use one thread each.
"""

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import nn

from benchmarks.generators import GENERATORS, additive
from fusecat.cache.table import Feature, FeatureTable
from fusecat.stages.fusion.build_head import build_head
from fusecat.stages.fusion.feasible import feasible
from fusecat.stages.fusion.fit import fit, predict
from fusecat.stages.fusion.fit_data import FitData, gather
from fusecat.stages.fusion.fit_settings import DEFAULT, THESIS, FitSettings, Scaling
from fusecat.stages.fusion.fuse import fuse
from fusecat.stages.fusion.runs import Run, Runs
from fusecat.stages.fusion.strategy import THESIS_MERGES, Strategy
from fusecat.stages.fusion.strategy_plan import plan
from fusecat.stages.scores import scores
from fusecat.stages.vocabulary import Architecture

THREE = ("camembert.title_description", "flaubert.title_description", "se_resnext50.image")
CONCATENATION = Strategy.parse("baseline/concatenation")


class Plain(nn.Module):
    """The head as it is usually written: a 1x1 convolution for the image, layer after layer."""

    def __init__(self, text: int, image: int, classes: int) -> None:
        super().__init__()
        self.project = nn.Conv1d(image, text, 1)
        self.classify = nn.Linear(3 * text, classes)

    def forward(self, first: torch.Tensor, second: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        return self.classify(torch.cat([first, second, self.project(image[:, :, None]).squeeze(2)], dim=1))


class FromFile(torch.utils.data.Dataset):
    """One product at a time from a group of an HDF5 file."""

    def __init__(self, group: h5py.Group, rows: np.ndarray, labels: np.ndarray) -> None:
        self.group, self.rows, self.labels = group, rows, labels

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> tuple[object, ...]:
        row = self.rows[place]
        vectors = [torch.from_numpy(self.group[name][row]).float() for name in THREE]
        return (*vectors, int(self.labels[row]))


def plain_epoch(loader: torch.utils.data.DataLoader, model: nn.Module, most: int) -> float:
    """Seconds for one epoch of what everybody writes, from its first `most` steps."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-4, weight_decay=1e-3)
    start, steps = time.perf_counter(), 0
    for *vectors, labels in loader:
        loss = nn.functional.cross_entropy(model(*vectors), labels)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        steps += 1
        if steps == most:
            break
    return (time.perf_counter() - start) / steps * len(loader)


def our_epoch(fit_data: FitData, settings: FitSettings, *, collapsed: bool) -> float:
    """Seconds for one epoch of ours, without evaluation."""

    def build() -> nn.Module:
        head = build_head(CONCATENATION, widths(fit_data), len(fit_data.classes), settings)
        head.linear = collapsed
        return head

    nothing = np.zeros(0, np.intp)
    start = time.perf_counter()
    fit(build, fit_data.vectors, fit_data.labels, fit_data.rows["fit"], nothing, one_epoch(settings))  # type: ignore[arg-type]
    return time.perf_counter() - start


def one_epoch(settings: FitSettings) -> FitSettings:
    return replace(settings, epochs=1, patience=0)


def widths(fit_data: FitData) -> dict[str, int]:
    return {name: len(mean) for name, (mean, _) in fit_data.scaling.items()}


def in_turns(ways: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Median seconds of each way; the ways take turns, so that a busy minute hits all of them."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(way())
    return {name: statistics.median(values) for name, values in found.items()}


def speed(options: argparse.Namespace) -> None:
    table = additive(options.products).table
    rows, labels = table.rows("train"), table.labels
    fit_data = gather(table, THREE, ("train",), standardise=Scaling.NONE)
    with tempfile.TemporaryDirectory() as folder, h5py.File(Path(folder) / "features.h5", "w") as file:
        for name in THREE:
            vectors = table.features[name].embedding
            file.create_dataset(f"whole/{name}", data=vectors)
            file.create_dataset(f"chunks/{name}", data=vectors, chunks=(1024, vectors.shape[1]))
        held = [torch.from_numpy(table.features[name].embedding[rows]).float() for name in THREE]
        in_memory = torch.utils.data.TensorDataset(*held, torch.from_numpy(labels[rows]).long())

        def loader(data: torch.utils.data.Dataset) -> torch.utils.data.DataLoader:
            return torch.utils.data.DataLoader(data, batch_size=128, shuffle=True)

        def from_file(group: str) -> torch.utils.data.DataLoader:
            return loader(FromFile(file[group], rows, labels))

        def model() -> Plain:
            return Plain(held[0].shape[1], held[2].shape[1], len(table.classes))

        found = in_turns(
            {
                "DataLoader, h5py per sample, Conv1d": lambda: plain_epoch(from_file("whole"), model(), 20),
                "the same, chunks of 1,024 rows": lambda: plain_epoch(from_file("chunks"), model(), 20),
                "RAM, DataLoader, Conv1d, AdamW": lambda: plain_epoch(loader(in_memory), model(), 60),
                "ours, literal": lambda: our_epoch(fit_data, THESIS, collapsed=False),
                "ours, collapsed": lambda: our_epoch(fit_data, THESIS, collapsed=True),
            },
            options.rounds,
        )
    ours = found["ours, collapsed"]
    for name, seconds in found.items():
        print(f"{name:40s} {seconds:8.2f} s per epoch of {len(rows)} products, {seconds / ours:6.2f} x ours")


def peers(options: argparse.Namespace) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore")
    table = additive(options.products).table
    train, test = table.rows("train"), table.rows("test")
    everything = np.hstack([table.features[name].embedding for name in THREE]).astype(np.float32)
    mean, scale = everything[train].mean(0), everything[train].std(0)
    everything = (everything - mean) / scale

    def ours() -> tuple[float, float]:
        begin = time.perf_counter()
        fit_data = gather(table, THREE, ("train",), standardise=Scaling.COLUMN)
        standardising.append(time.perf_counter() - begin)
        start = time.perf_counter()
        fitted = fit(
            lambda: build_head(CONCATENATION, widths(fit_data), len(fit_data.classes), DEFAULT),
            fit_data.vectors,
            table.labels,
            train,
            table.rows("validation"),
            DEFAULT,
        )
        seconds = time.perf_counter() - start
        return seconds, scores(table.labels[test], predict(fitted.head, fit_data.vectors, test))["macro_f1"]

    def theirs(make: Callable[[], object]) -> Callable[[], tuple[float, float]]:
        def run() -> tuple[float, float]:
            start = time.perf_counter()
            model = make().fit(everything[train], table.labels[train].astype(np.int64))  # type: ignore[attr-defined]
            seconds = time.perf_counter() - start
            return seconds, scores(table.labels[test], model.predict_proba(everything[test]))["macro_f1"]

        return run

    standardising: list[float] = []
    used = [table.features[name] for name in THREE]
    repeated = ("ours, default settings", "LogisticRegression lbfgs, 30 steps")
    ways = {
        "ours, default settings": ours,
        "LogisticRegression lbfgs, 30 steps": theirs(lambda: LogisticRegression(max_iter=30)),
        "LogisticRegression lbfgs, converged": theirs(lambda: LogisticRegression(max_iter=1000)),
        "MLPClassifier (768)": theirs(lambda: MLPClassifier((768,), early_stopping=True, max_iter=20, random_state=1)),
        "skorch, the same head": theirs(lambda: skorch_head([each.width for each in used], len(table.classes))),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for number in range(options.rounds):
        for name, way in ways.items():
            if number == 0 or name in repeated:
                found[name].append(way())
    print(f"standardising, once for all runs and apart for everybody: {statistics.median(standardising):.2f} s")
    base = statistics.median(seconds for seconds, _ in found["LogisticRegression lbfgs, 30 steps"])
    for name, values in found.items():
        seconds = statistics.median(second for second, _ in values)
        print(f"{name:38s} {seconds:8.2f} s, {seconds / base:6.2f} x lbfgs-30, test macro-F1 {100 * values[0][1]:.2f}")


class Whole(Plain):
    """The same on one array of all columns."""

    def __init__(self, widths: list[int], classes: int) -> None:
        super().__init__(widths[0], widths[2], classes)
        self.parts = widths

    def forward(self, columns: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return super().forward(*columns.split(self.parts, dim=1))


def skorch_head(widths: list[int], classes: int) -> object:
    from skorch import NeuralNetClassifier

    return NeuralNetClassifier(
        Whole(widths, classes),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        lr=2e-4,
        batch_size=128,
        max_epochs=7,
        verbose=0,
    )


def thesis_runs(products: int, seeds: int) -> tuple[list[Run], float]:
    """Runs of the twelve heads of the thesis, and seconds on the clock."""
    table = additive(products).table
    thesis = [strategy for merge in THESIS_MERGES for strategy in plan(merge, table.features).strategies]
    kinds = (Architecture.BASELINE, Architecture.HIERARCHICAL)
    twelve = [strategy for strategy in dict.fromkeys(thesis) if strategy.architecture in kinds]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        found = fuse(table, twelve, Runs(Path(folder) / "runs"), seeds=seeds)
        return found, time.perf_counter() - start


def all60(options: argparse.Namespace) -> None:
    found, seconds = thesis_runs(options.products, options.seeds)
    fits = sum(run.fit_seconds for run in found)
    print(f"{len(found)} runs of the thesis heads: {seconds:.1f} s on the clock, fits {fits:.1f} s")


def posterior(options: argparse.Namespace) -> None:
    for name, make in GENERATORS.items():
        if options.generator not in (None, name):
            continue
        made = make(options.products)
        rows = made.table.rows("test")
        best = scores(made.table.labels[rows], made.posterior[rows])["macro_f1"]
        print(f"\n{name}: macro-F1 of the true posterior on {len(rows)} test products: {100 * best:.2f}")
        only = Architecture(options.architecture) if options.architecture else None
        chosen = feasible(made.table, plan(options.fusion, made.table.features, architecture=only)).strategies
        if options.strategy:
            chosen = tuple(Strategy.parse(strategy) for strategy in options.strategy)
        with tempfile.TemporaryDirectory() as folder:
            found = fuse(made.table, chosen, Runs(Path(folder) / "runs"), seeds=options.seeds)
        grouped: dict[str, list[float]] = {}
        for run in found:
            grouped.setdefault(run.strategy, []).append(run.scores["test"]["macro_f1"])
        for strategy, values in sorted(grouped.items(), key=lambda item: -statistics.fmean(item[1])):
            mean = statistics.fmean(values)
            print(f"{strategy:48s} {100 * mean:6.2f}  {mean / best:6.1%} of the posterior", flush=True)


def noise(options: argparse.Namespace) -> None:
    """Holm-adjusted one-sided exact binomial tests of each strategy's accuracy against the majority class's share."""
    from scipy.stats import binomtest

    table = additive(options.products).table
    random = np.random.default_rng(9)
    features = {
        name: Feature(
            name,
            (random.standard_normal(feature.embedding.shape, dtype=np.float32) * feature.present[:, None]).astype(np.float16),
            feature.present.copy(),
            logits=(3 * random.standard_normal((len(table.labels), len(table.classes)))).astype(np.float32),
            fitted_on=("train",),
        )
        for name, feature in table.features.items()
    }
    made = FeatureTable(table.ids, table.labels, table.split, table.classes, table.parts, features, "noise")
    labels = made.labels[made.rows("test")]
    share = np.bincount(labels).max() / len(labels)
    chosen = feasible(made, plan(options.fusion, made.features))
    with tempfile.TemporaryDirectory() as folder:
        found = fuse(made, chosen.strategies, Runs(Path(folder) / "runs"), seeds=1)
    tests = []
    for run in found:
        right = round(run.scores["test"]["accuracy"] * len(labels))
        tests.append((binomtest(right, len(labels), share, alternative="greater").pvalue, run.strategy))
    adjusted = [(min(1.0, p * (len(tests) - rank)), strategy) for rank, (p, strategy) in enumerate(sorted(tests))]
    print(f"majority class {share:.4f}; {len(tests)} strategies; smallest adjusted p: {adjusted[0][0]:.3f} ({adjusted[0][1]})")


def main() -> None:
    parts = {"speed": speed, "peers": peers, "all60": all60, "posterior": posterior, "noise": noise}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=list(parts))
    parser.add_argument("--products", type=int, default=55_025)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fusion", default="all")
    parser.add_argument("--architecture", help="posterior: only this one of baseline, flat and hierarchical")
    parser.add_argument("--strategy", action="append", metavar="NAME", help="posterior: only this one; may be repeated")
    parser.add_argument("--generator", choices=list(GENERATORS), help="posterior: only this one")
    options = parser.parse_args()
    parts[options.part](options)


if __name__ == "__main__":
    main()
