"""Which differences are asked about, and which of them are real.

Primary contrasts are planned before a test figure is seen: which strategies meet is decided by names and by validation
alone. The headline - the chosen strategy (the best fusion, where the reference itself is chosen) against the reference -
has half of the 5 % error to itself, the others share the other half (Holm): together they err in at most 5 % of studies,
and the question that everybody asks keeps its power however many strategies are compared. All pairs are looked at as well,
as exploration, corrected on their own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import floor, log10

import numpy as np
from numpy.typing import NDArray

from fusecat.pipeline.report.results import Candidate
from fusecat.pipeline.report.statistics import Difference, Estimates, holm, holm_levels, letters, mcnemar
from fusecat.stages.fields import Field
from fusecat.stages.fusion.wiring import field_of
from fusecat.stages.vocabulary import Architecture

ALPHA = 0.05

FAMILIES = {
    "headline": "the headline: what validation prefers against the reference",
    "chosen": "the chosen strategy against every other",
    "reference": "each strategy against the reference",
    "hierarchy": "hierarchical against its flat control: the same features, the same merge",
    "terms": "early or late, on the same features: the best head on them against the best late fusion of them",
    "image": "what the image adds: the same text features and merge, with it and without",
}
"""The families of primary contrasts, each pair counted once, in the first family that asks for it."""


@dataclass(frozen=True)
class Contrast:
    """One planned difference.

    `p` is corrected over all primary contrasts, and 1 where a side has one of its seeds only: nobody knows their spread.
    `level`: the error at which this difference was tested, its share of the 5 %; `low` and `high` bound the interval at that
    level, which leaves out 0 exactly where the difference is real (or a side has one seed).
    `only_one` and `only_other` count the products that the seeds' vote of one side alone has right, `mcnemar` is the exact p of
    that (accuracy, uncorrected).
    """

    family: str
    one: str
    other: str
    difference: Difference
    p: float
    real: bool
    only_one: int
    only_other: int
    mcnemar: float
    level: float = ALPHA

    @property
    def low(self) -> float:
        """Lower bound at the level of the test."""
        return self.difference.interval(self.level)[0]

    @property
    def high(self) -> float:
        """Upper bound at the level of the test."""
        return self.difference.interval(self.level)[1]

    @property
    def sure(self) -> str:
        """The level of its interval as people read it: `97.5 %`."""
        return confidence(1 - self.level)

    @property
    def turned(self) -> "Contrast":
        """The same contrast seen from the other side."""
        difference = replace(
            self.difference, value=-self.difference.value, low=-self.difference.high, high=-self.difference.low
        )
        return replace(
            self, one=self.other, other=self.one, difference=difference, only_one=self.only_other, only_other=self.only_one
        )


@dataclass(frozen=True)
class Pairs:
    """All pairs, exploratory: `difference` (S, S) row less column, `p` (S, S) Holm's over all, `groups` (S,) letters."""

    strategies: tuple[str, ...]
    difference: NDArray[np.float64]
    p: NDArray[np.float64]
    groups: tuple[str, ...]


def planned(ranked: Sequence[Candidate], reference: str | None) -> Iterator[tuple[str, str, str]]:
    """(family, one, other) of every primary contrast; `ranked` has the best on validation first."""
    names = [candidate.strategy for candidate in ranked]
    asked: set[frozenset[str]] = set()

    def once(family: str, one: str, other: str) -> Iterator[tuple[str, str, str]]:
        if one != other and frozenset((one, other)) not in asked:
            asked.add(frozenset((one, other)))
            yield family, one, other

    best = names[0]
    if best == reference:  # one feature is best on validation: the question is then what the best fusion loses or wins
        fusions = (candidate.strategy for candidate in ranked if not candidate.single and candidate.strategy != reference)
        best = next(fusions, best)
    if reference is not None:
        yield from once("headline", best, reference)
    for name in names[1:]:
        yield from once("chosen", names[0], name)
    if reference is not None:
        for name in names:
            yield from once("reference", name, reference)
    for candidate in ranked:
        control = "@".join(
            filter(None, (f"{Architecture.FLAT}/{candidate.runs[0].final}", candidate.strategy.partition("@")[2]))
        )
        if candidate.architecture == Architecture.HIERARCHICAL and control in names:
            yield from once("hierarchy", candidate.strategy, control)
    late = [candidate for candidate in ranked if candidate.architecture == Architecture.LATE]
    for features in dict.fromkeys(frozenset(candidate.features) for candidate in ranked if candidate.fused):
        early = next(each for each in ranked if each.fused and frozenset(each.features) == features)
        same = next((each for each in late if frozenset(each.features) == features), None)
        if same is not None:
            yield from once("terms", early.strategy, same.strategy)
    for candidate in ranked:
        texts = frozenset(name for name in candidate.features if field_of(name) != Field.IMAGE)
        for other in ranked if candidate.fused and len(texts) < len(candidate.features) else ():
            merge = (other.runs[0].first, other.runs[0].final) == (candidate.runs[0].first, candidate.runs[0].final)
            if frozenset(other.features) == texts and (merge or other.architecture == Architecture.PROBE):
                yield from once("image", candidate.strategy, other.strategy)


def tested(
    ranked: Sequence[Candidate], estimates: Estimates, right: Mapping[str, NDArray[np.bool_]], reference: str | None
) -> tuple[Contrast, ...]:
    """Every primary contrast with its corrected p; `estimates` in the order of `ranked`, `right` (n,): the vote of seeds."""
    at = {candidate.strategy: number for number, candidate in enumerate(ranked)}
    plan = list(planned(ranked, reference))
    differences = [estimates.difference(at[one], at[other]) for _, one, other in plan]
    families, raw = [family for family, *_ in plan], [difference.p for difference in differences]
    adjusted, levels = corrected(families, raw), tested_at(families, raw)
    unknown = {candidate.strategy for candidate in ranked if candidate.one_seed}
    adjusted = [1.0 if unknown & {one, other} else p for (_, one, other), p in zip(plan, adjusted, strict=True)]
    return tuple(
        Contrast(family, one, other, difference, p, p < ALPHA, *mcnemar(right[one], right[other]), level)
        for (family, one, other), difference, p, level in zip(plan, differences, adjusted, levels, strict=True)
    )


def confidence(level: float) -> str:
    """`0.975` as `97.5 %`, with as many decimals as tell it from 100."""
    left = 100 * (1 - level)
    return f"{100 - left:.{max(1, -floor(log10(left)))}f}".rstrip("0").rstrip(".") + " %"


def corrected(families: Sequence[str], p_values: Sequence[float]) -> list[float]:
    """Half of the error for the headline, half for all others together (Holm); all of it where there is only one kind."""
    first = [family == "headline" for family in families]
    share = shares(families)
    others = iter(holm([p for p, headline in zip(p_values, first, strict=True) if not headline]))
    return [min(1.0, share * (p if headline else next(others))) for p, headline in zip(p_values, first, strict=True)]


def tested_at(families: Sequence[str], p_values: Sequence[float]) -> list[float]:
    """The level of each contrast, as `corrected` tests it."""
    level = ALPHA / shares(families)
    others = iter(holm_levels([p for family, p in zip(families, p_values, strict=True) if family != "headline"], level))
    return [level if family == "headline" else next(others) for family in families]


def shares(families: Sequence[str]) -> int:
    """Into how many shares the error is cut: 2 where a headline stands beside other contrasts, else 1."""
    return 2 if 0 < sum(family == "headline" for family in families) < len(families) else 1


def all_pairs(ranked: Sequence[Candidate], estimates: Estimates, primary: Sequence[Contrast]) -> Pairs:
    """Every pair, Holm-corrected over all of them.

    Two strategies share a letter unless their primary contrast, or the exploration where they have none, tells them apart: the
    letters never contradict the verdict.
    """
    names = [candidate.strategy for candidate in ranked]
    count = len(names)
    value, p = np.zeros((count, count)), np.ones((count, count))
    upper = [(one, other) for one in range(count) for other in range(one + 1, count)]
    differences = [estimates.difference(one, other) for one, other in upper]
    for (one, other), difference, adjusted in zip(upper, differences, holm([d.p for d in differences]), strict=True):
        value[one, other], value[other, one] = difference.value, -difference.value
        p[one, other] = p[other, one] = adjusted
    unknown = np.array([candidate.one_seed for candidate in ranked])
    p[unknown | unknown[:, None]] = 1
    apart = p < ALPHA
    at = {name: number for number, name in enumerate(names)}
    for contrast in primary:
        one, other = at[contrast.one], at[contrast.other]
        apart[one, other] = apart[other, one] = contrast.real
    return Pairs(tuple(names), value, p, tuple(letters(apart)))
