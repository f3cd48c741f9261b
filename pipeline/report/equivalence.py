"""Which strategies are one and the same function, written differently.

The thesis's heads are linear from end to end: whatever is multiplied out is one weight matrix per feature, perhaps shared.
Two strategies that can express the same matrices differ in optimisation and regularisation only, not in what they can say.
With C classes no more than the vectors' width, and every field present:

* flat/concatenation has a free matrix for each feature; hierarchical/concatenation/M reaches every one of them too, because
  the first merge has a free matrix per feature and the last layer, of rank C, can undo its own;
* addition and average differ by a factor that the next layer takes up: the features that are summed share one matrix;
* the image is projected by a matrix of its own, so it is never tied to the texts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fusecat.pipeline.report.doubts import listed
from fusecat.pipeline.report.results import Candidate
from fusecat.stages.fusion.strategy import FUSED
from fusecat.stages.fusion.wiring import field_of
from fusecat.stages.vocabulary import Merge

_SUMS = (Merge.ADDITION.value, Merge.AVERAGE.value)
_KNOWN = (Merge.CONCATENATION.value, *_SUMS)


@dataclass(frozen=True)
class Equivalent:
    """Strategies that are the same function class, and what that class is."""

    strategies: tuple[str, ...]
    form: str


def form(architecture: str, first: str | None, final: str | None) -> str | None:
    """The function class of a thesis strategy in words; None for merges that are not linear or not of the thesis."""
    if architecture not in FUSED or final not in _KNOWN or (first is not None and first not in _KNOWN):
        return None
    if first in _SUMS:
        return "all texts share one matrix" if final in _SUMS else "the texts of one network share a matrix"
    return "all texts share one matrix" if final in _SUMS and first is None else "a free matrix per feature"


def equivalent(candidates: Sequence[Candidate]) -> list[Equivalent]:
    """Groups of two or more strategies of one function class, in the order in which they first appear."""
    groups: dict[tuple[str, frozenset[str]], list[str]] = {}
    for candidate in candidates:
        run = candidate.runs[0]
        linear = not run.settings.get("hidden_layer", False)
        words = form(run.architecture, run.first, run.final) if linear else None
        if words is not None:
            words = f"{listed(list(dict.fromkeys(map(field_of, run.features))))}: {words}"
            groups.setdefault((words, frozenset(run.features)), []).append(run.strategy)
    return [Equivalent(tuple(names), words) for (words, _), names in groups.items() if len(names) > 1]
