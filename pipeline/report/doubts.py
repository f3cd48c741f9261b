"""What a verdict does not cover: strategies that cannot run here, and reasons to trust its figures less."""

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from fusecat.pipeline.report.memorisation import caveats
from fusecat.stages.fields import KNOWN
from fusecat.stages.fusion.fit_settings import FitSettings
from fusecat.stages.fusion.strategy import FUSED
from fusecat.stages.fusion.wiring import Unwirable, field_of, network_of, stands_alone, wire
from fusecat.stages.metrics import ACCURACY
from fusecat.stages.vocabulary import Architecture, Part

if TYPE_CHECKING:
    from fusecat.pipeline.report.comparison import Comparison

LEAST_PATH = 0.1
"""Steps times step size, about how far Adam moves a weight: 500 steps of the thesis's 2e-4. With its epochs on a small
catalogue, 49 steps, average had 16 points and concatenation 34; trained to the end they are level."""


def doubts(comparison: "Comparison") -> list[str]:
    """Reasons to trust the figures less, a sentence each."""
    said = []
    if comparison.report_part == Part.VALIDATION:
        said.append("There is no test part: these are selection scores, better than what new products will show.")
    said += _untold(comparison)
    said += _earlier(comparison)
    if any(row.candidate.one_seed for row in comparison.rows):
        said.append(
            "Heads with one seed only: their spread over seeds is not known, so no difference from them is called real."
        )
    said += _few_steps(comparison)
    said += caveats(comparison.study, comparison.report_part)
    return said


def left_out(comparison: "Comparison") -> list[str]:
    """Architectures that these features do not allow, and features that no fused strategy takes."""
    features = list(dict.fromkeys(name for row in comparison.rows for name in row.candidate.features))
    reasons: dict[str, list[str]] = {}
    kinds = [kind for kind in FUSED if kind is not Architecture.TEXT]  # a control that nobody misses
    for kind in kinds:
        try:
            wire(kind, features)
        except Unwirable as error:
            reasons.setdefault(str(error), []).append(kind.value)
    if sum(map(len, reasons.values())) == len(kinds):
        return [f"Nothing is fused: {next(iter(reasons))}."]
    said = [f"Left out: {listed(kinds)} ({reason})." for reason, kinds in reasons.items()]
    fused = {name for row in comparison.rows if row.candidate.fused for name in row.candidate.features}
    if not fused:
        return [*said, "No fusion was run: 'fusecat fuse' compares one with the single features."]
    if any(network_of(name) and field_of(name) not in KNOWN for name in fused):
        said += _takings(kinds, features)
    if alone := [name for name in features if name not in fused and not stands_alone(name)]:
        said.append(f"No fused strategy takes {listed(alone)}.")
    return said


def _takings(kinds: Sequence[Architecture], features: Sequence[str]) -> list[str]:
    """What each architecture that can be wired takes: told where features have other fields than title, description, image."""
    taken: dict[tuple[str, ...], list[str]] = {}
    for kind in kinds:
        with suppress(Unwirable):
            taken.setdefault(wire(kind, features).features, []).append(kind.value)
    return [
        f"{listed(kinds).capitalize()} take{'' if len(kinds) > 1 else 's'} {listed(list(names))}."
        for names, kinds in taken.items()
    ]


def _untold(comparison: "Comparison") -> list[str]:
    """What no interval can hold: classes of one product, and a chosen strategy that is never wrong, or always."""
    report_part, sizes = comparison.report_part, np.bincount(comparison.study.labels(comparison.report_part))
    single = int((sizes == 1).sum())
    said = []
    if single:
        said.append(
            f"{single:,} of {(sizes > 0).sum():,} type codes have one {report_part} product: no interval counts its luck."
        )
    values = comparison.chosen.parts[report_part][ACCURACY.key].values
    if set(values) <= {0.0} or set(values) <= {1.0}:
        extreme = "right" if values[0] else "wrong"
        said.append(
            f"It has every {report_part} product {extreme}, so its interval says nothing: a larger {report_part} set would."
        )
    return said


def _earlier(comparison: "Comparison") -> list[str]:
    """Strategies of one architecture that look at other features: what another 'fusecat fuse' has left beside newer ones."""
    said = []
    seen: dict[tuple[str, str], dict[frozenset[str], list[str]]] = {}
    for row in comparison.rows:
        if row.candidate.fused:
            kind = (row.candidate.architecture, row.strategy.partition("@")[2])
            seen.setdefault(kind, {}).setdefault(frozenset(row.candidate.features), []).append(row.strategy)
    for of in seen.values():
        if len(of) > 1:
            told = [f"{listed(names)} {'looks' if len(names) == 1 else 'look'} at {len(taken)}" for taken, names in of.items()]
            said.append(f"Of other features, as another call of fuse left them: {'; '.join(told)}; fit them again to compare.")
    return said


def _few_steps(comparison: "Comparison") -> list[str]:
    """Settings that count epochs alone, as the thesis's do, make few steps on a small catalogue."""
    products, told = comparison.study.products, {}
    for row in comparison.rows:
        run = row.candidate.runs[0]
        if not row.candidate.fused or "epochs" not in run.settings:
            continue
        settings = FitSettings.of(run.settings)
        rows = sum(len(products.rows(part)) for part in run.fitted_on)
        taken = settings.passes(rows) * -(-rows // settings.batch(rows))
        if settings.steps == 0 and taken * settings.learning_rate < LEAST_PATH:
            told[row.strategy] = taken
    if not told:
        return []
    steps = " to ".join(f"{each:,}" for each in sorted({min(told.values()), max(told.values())}))
    return [f"Heads took {steps} steps only, too few to compare merges by: more epochs or the default settings take more."]


def listed(names: list[str]) -> str:
    """Names in a sentence, at most six of them."""
    if len(names) > 6:
        return f"{', '.join(names[:5])} and {len(names) - 5} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
