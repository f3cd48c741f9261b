"""Are the report's statistics honest, and is it quick? Simulated studies whose truth is known.

    python -m benchmarks.report --coverage 500 --null 200 --power 100 --size
    python -m benchmarks.report --coverage 40 --null 5 --power 5          (small: does it run?)

coverage  95 % intervals of macro-F1 must hold the truth - the expectation over seeds and products - in 92 to 98 % of
          simulations, at seed spreads of 0.5, 1, 2 and 4 times the error from products.
null      studies in which all strategies are one and the same (40 strategies, 5 seeds): a "real difference" anywhere among
          the primary contrasts in at most 7 % of them.
power     the chosen strategy is truly 2 points better than the reference on 10,000 products: found in at least 95 %.
size      27 classes x 40 strategies x 5 seeds on 13,000 products: the whole report in under 60 s and 5 MB; then 3,000 classes.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fusecat.pipeline.report.comparison import compare, compare_study
from fusecat.pipeline.report.output import write_report
from fusecat.pipeline.report.results import Candidate, Study
from fusecat.pipeline.report.statistics import Estimates, bootstrap, score
from fusecat.stages.fusion.runs import Products, Run
from fusecat.stages.metrics import MACRO_F1
from fusecat.stages.scores import Outcome, scores_of
from fusecat.stages.study_record import StudyRecord
from fusecat.stages.workspace import Workspace

CLASSES = 27
SEEDS = 5
SPREADS = (0.5, 1.0, 2.0, 4.0)
BASE = 1.35
"""Ability of a strategy with nine products in ten right: its product error on 10,000 is that of the published test sets."""
SEED_SPREAD = 0.003
"""Standard deviation of macro-F1 between seeds of one head: linear heads on cached vectors move by 0.1 to 0.3 points."""


def predictions(
    labels: NDArray[np.intp], level: NDArray[np.float64], own: float, hard: NDArray[np.float64], random: np.random.Generator
) -> NDArray[np.int32]:
    """(K, n) predictions of K seeds of abilities `level` (K,): right where ability beats hardness (n,) and a seed's own noise.

    A wrong answer is a neighbouring class, so that classes differ in how many false claims they draw.
    """
    noise = own * random.normal(size=(len(level), len(labels)))
    right = level[:, None] > hard + noise
    wrong = (labels + 1 + random.geometric(0.4, right.shape)) % CLASSES
    return np.where(right, labels, wrong).astype(np.int32)


def uneven(n: int) -> NDArray[np.intp]:
    """n labels of classes whose sizes differ thirteenfold, as in Rakuten's catalogue."""
    share = np.geomspace(13, 1, CLASSES)
    return np.repeat(np.arange(CLASSES), np.maximum(2, np.round(n * share / share.sum())).astype(int))


def coverage(simulations: int, n: int = 3000, resamples: int = 500) -> None:
    """How often the interval holds the expectation over seeds and products."""
    labels = uneven(n)
    product_error = np.std([_one(labels, np.array([BASE]), np.random.default_rng(at))[0] for at in range(300)])
    for spread in SPREADS:
        random = np.random.default_rng(int(10 * spread))
        scale = spread * product_error / slope()  # ability that moves the score by that many product errors
        levels = BASE + scale * random.normal(size=(max(4000, simulations), SEEDS))
        figures = [_one(labels, level, random) for level in levels]
        truth = np.mean([values.mean() for values, _ in figures])
        covered = 0
        for values, predicted in figures[:simulations]:
            draws = bootstrap(_outcomes(labels, predicted), resamples, int(random.integers(1 << 30)))["macro_f1"]
            low, high = Estimates.of([values], [draws]).interval(0)
            covered += low <= truth <= high
        print(
            f"coverage, seed spread {spread:g} x product error: {100 * covered / simulations:.1f} % of {simulations}",
            flush=True,
        )


def null(studies: int, strategies: int = 40, n: int = 2000, own_share: float = 0.0) -> None:
    """How often identical strategies are said to differ."""
    false = 0
    for number in range(studies):
        study = simulated(number, strategies, n, gain=0.0, own_share=own_share)
        false += any(contrast.real for contrast in compare_study(study, resamples=500).contrasts)
    contrasts = len(compare_study(study, resamples=20).contrasts)
    print(f"null, {contrasts} contrasts: a false difference in {100 * false / studies:.1f} % of {studies} studies", flush=True)


def power(studies: int, strategies: int = 40, n: int = 10_000) -> None:
    """How often a true gain of two points of the chosen strategy over the reference is found."""
    found = 0
    gains = []
    for number in range(studies):
        comparison = compare_study(simulated(number, strategies, n, gain=0.02), resamples=500)
        assert comparison.headline is not None
        gains.append(comparison.headline.difference.value)
        found += comparison.headline.real
    print(
        f"power: {100 * found / studies:.1f} % of {studies} studies (mean difference {100 * np.mean(gains):.2f} points)",
        flush=True,
    )


def simulated(number: int, strategies: int, n: int, *, gain: float, own_share: float = 0.5) -> Study:
    """A study in memory: one probe, the reference; the others fused, truly `gain` better in macro-F1."""
    random = np.random.default_rng(number)
    labels = {"validation": uneven(n // 2), "test": uneven(n)}
    hard = {part: random.normal(size=len(of)) for part, of in labels.items()}
    names = ["probe/camembert.title", "late/mean", *(f"flat/m{at}" for at in range(12))]
    names += [f"hierarchical/m{at % 2}/m{at % 12}" + (f"-{at}" if at > 11 else "") for at in range(strategies - len(names))]
    candidates = []
    for name in names[:strategies]:
        better = 0 if name.startswith("probe") else gain
        level = BASE + (better + SEED_SPREAD * random.normal(size=SEEDS)) / slope()
        outcomes = {}
        for part, truth in labels.items():
            own = own_share * random.normal(size=len(truth)) if own_share else 0.0
            mixed = (hard[part] + own) / np.sqrt(1 + own_share**2)
            outcomes[part] = tuple(
                Outcome(truth, each, np.zeros(len(truth), np.int32), *(np.full((2, len(truth)), 0.5, np.float32)))
                for each in predictions(truth, level, 0.3, mixed, random)
            )
        architecture, _, rest = name.partition("/")
        runs = tuple(
            Run(
                *(name, architecture, None, rest.rpartition("/")[2], ("camembert.title",), seed, ("train",), 1, 1.0, 0.1, {}),
                scores={part: scores_of(of[seed - 1]) for part, of in outcomes.items()},
            )
            for seed in range(1, SEEDS + 1)
        )
        candidates.append(Candidate(runs, outcomes, {part: of[0] for part, of in outcomes.items()}))
    everything = np.concatenate(list(labels.values())).astype(np.int32)
    split = np.repeat([0, 1], [len(of) for of in labels.values()]).astype(np.uint8)
    ids = np.arange(len(everything)).astype(str)
    codes = tuple(str(at) for at in range(CLASSES))
    products = Products(ids, everything, split, codes, tuple(labels), "simulated")
    return Study(Workspace(Path()), StudyRecord(), products, tuple(candidates), MACRO_F1)


@cache
def slope() -> float:
    """Macro-F1 gained per ability around BASE, on many products."""
    random = np.random.default_rng(0)
    labels = uneven(50_000)
    low, high = (np.mean([_one(labels, np.array([level]), random)[0] for _ in range(20)]) for level in (BASE, BASE + 0.1))
    return float(high - low) / 0.1


def size(classes: int, names: Sequence[str], n: int, seeds: int) -> None:
    """Seconds and bytes of a whole report read from disk."""
    from tests.pipeline.report.studies import make_study

    top_level = {"top_level": {str(10 * (at + 1)): f"category {at % 40}" for at in range(classes)}}
    with tempfile.TemporaryDirectory() as folder:
        products = {"validation": n // 2, "test": n}
        root = make_study(Path(folder), strategies=names, classes=classes, seeds=seeds, products=products, info=top_level)
        start = time.perf_counter()
        page, _ = write_report(compare(root))
        seconds = time.perf_counter() - start
        megabytes = page.stat().st_size / 1e6
        what = f"{classes} classes x {len(names)} strategies x {seeds} seeds, {n} products"
        print(f"size, {what}: {seconds:.1f} s, {megabytes:.2f} MB", flush=True)


def _outcomes(labels: NDArray[np.intp], predicted: NDArray) -> list[Outcome]:
    sure, first = np.ones(len(labels), np.float32), np.zeros(len(labels), np.int32)
    return [Outcome(labels, each, first, sure, sure) for each in predicted]


def _one(labels: NDArray[np.intp], level: NDArray[np.float64], random: np.random.Generator) -> tuple[NDArray, NDArray]:
    predicted = predictions(labels, level, 0.3, random.normal(size=len(labels)), random)
    return score(_outcomes(labels, predicted))["macro_f1"], predicted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coverage", type=int, default=0, metavar="SIMULATIONS")
    parser.add_argument("--null", type=int, default=0, metavar="STUDIES")
    parser.add_argument("--power", type=int, default=0, metavar="STUDIES")
    parser.add_argument("--size", action="store_true")
    given = parser.parse_args()
    if given.coverage:
        coverage(given.coverage)
    if given.null:
        null(given.null)
        null(given.null, own_share=0.5)
    if given.power:
        power(given.power)
    if given.size:
        from tests.pipeline.report.studies import THESIS

        size(27, [*THESIS, *(f"flat/extra{at}" for at in range(40 - len(THESIS)))], 13_000, SEEDS)
        size(3000, THESIS[::4], 6000, 2)  # 1.2 GB of probabilities


if __name__ == "__main__":
    main()
