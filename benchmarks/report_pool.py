"""Is `fusecat report --pool` honest? Simulated catalogues whose truth is known, learnt from again on each split.

    python -m benchmarks.report_pool [--catalogues 400] [--products 1000] [--gain 0.0]

Each catalogue has two networks of equal worth (`--gain`: one sees that much clearer); a network is the nearest mean of ten
classes in 20 columns, learnt from a random 90 % of the fit rows: what its seed decides. Printed per kind of pool: how often
the two are called different (null: 5 % is the aim, 7 % the bar), by the pool and, beside it, by Student's t over the
workspaces, which it replaced.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ttest_rel

from fusecat.pipeline.report.comparison import Comparison, Row, Score
from fusecat.pipeline.report.contrasts import Pairs
from fusecat.pipeline.report.repeated import Repeated
from fusecat.pipeline.report.results import Candidate, Outcome, Study
from fusecat.stages.fusion.runs import DETERMINISTIC, Products, Run
from fusecat.stages.scores import scores
from fusecat.stages.study_record import StudyRecord
from fusecat.stages.workspace import Workspace

CLASSES, COLUMNS = 10, 20
PARTS = ("train", "validation", "test")
POOLS = {"3 splits": (3, 1), "5 splits": (5, 1), "10 splits": (10, 1), "3 networks, one split": (1, 3)}
"""Splits, and networks on each."""
NAMES = ("unimodal/a.title", "unimodal/b.image")


def catalogue(products: int, gain: float, random: np.random.Generator) -> tuple[NDArray[np.int32], list[NDArray[np.float64]]]:
    """Labels (n,) and two views (n, COLUMNS), the first `1 + gain` times as far apart between classes."""
    labels = (np.arange(products) % CLASSES).astype(np.int32)
    means = 0.55 * random.normal(size=(CLASSES, COLUMNS))
    return labels, [(1 + each) * means[labels] + random.normal(size=(products, COLUMNS)) for each in (gain, 0.0)]


def study(
    labels: NDArray[np.int32], views: list[NDArray[np.float64]], split: NDArray[np.uint8], random: np.random.Generator
) -> Comparison:
    """Both networks learnt on this split."""
    known = Products(np.arange(len(labels)).astype(str), labels, split, tuple(map(str, range(CLASSES))), PARTS, "simulated")
    rows = {part: known.rows(part) for part in PARTS}
    compared = []
    for name, view in zip(NAMES, views, strict=True):
        fit = random.permutation(rows["train"])[: round(0.9 * len(rows["train"]))]
        means = np.stack([view[fit][labels[fit] == each].mean(axis=0) for each in range(CLASSES)])
        logits = view @ means.T - (means**2).sum(axis=1) / 2
        chances = np.exp(logits - logits.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        outcomes = {part: (Outcome.of(chances[rows[part]], labels[rows[part]]),) for part in PARTS[1:]}
        marks = {part: scores(labels[rows[part]], chances[rows[part]]) for part in PARTS[1:]}
        architecture, _, feature = name.partition("/")
        run = Run(name, architecture, None, None, (feature,), DETERMINISTIC, (), 0, 0.0, 0.0, {}, marks)
        told = {part: {metric: Score(value, None, (value,)) for metric, value in of.items()} for part, of in marks.items()}
        compared.append(Row(Candidate((run,), outcomes), told, None, ""))
    made = Study(Workspace(Path()), StudyRecord(), known, tuple(row.candidate for row in compared))
    return Comparison(made, tuple(compared), None, (), Pairs((), *[np.zeros((0, 0))] * 2, ()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalogues", type=int, default=400)
    parser.add_argument("--products", type=int, default=1000)
    parser.add_argument("--gain", type=float, default=0.0)
    options = parser.parse_args()
    shares = np.repeat(
        [0, 1, 2], [round(0.68 * options.products), round(0.12 * options.products), round(0.2 * options.products)]
    )
    for name, (splits, networks) in POOLS.items():
        said, before, gaps = 0, 0, []
        for number in range(options.catalogues):
            random = np.random.default_rng([number, splits, networks])
            labels, views = catalogue(len(shares), options.gain, random)
            drawn = [random.permutation(shares).astype(np.uint8) for _ in range(splits)]
            known = Repeated.of([study(labels, views, split, random) for split in drawn for _ in range(networks)], NAMES)
            gaps.append(known.difference(0, 1).value)
            said += known.difference(0, 1).p < 0.05
            before += ttest_rel(*known.values).pvalue < 0.05
        print(
            f"{name}: called different in {100 * said / options.catalogues:.1f} % of {options.catalogues} catalogues "
            f"(Student's t over workspaces: {100 * before / options.catalogues:.1f} %); "
            f"difference {100 * np.mean(gaps):+.2f} points, {100 * np.std(gaps):.2f} from catalogue to catalogue",
            flush=True,
        )


if __name__ == "__main__":
    main()
