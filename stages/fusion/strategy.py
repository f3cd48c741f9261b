"""Which strategies there are, and how they are called. No torch.

A strategy is an architecture and its merges; its name is its folder in the workspace and its row in the report.
"""

from collections.abc import Collection
from dataclasses import dataclass

from fusecat.stages.errors import UsageError
from fusecat.stages.fusion.wiring import Unwirable, canonical, fusible, wire
from fusecat.stages.vocabulary import Architecture, Late, Merge, Variant

THESIS_MERGES = (Merge.CONCATENATION, Merge.ADDITION, Merge.AVERAGE)
"""The merges of the study that this project rebuilds; each is a first merge of every final merge."""

FUSED = (Architecture.BASELINE, Architecture.FLAT, Architecture.HIERARCHICAL, Architecture.TEXT)
SETS = (Architecture.BASELINE, Architecture.FLAT)
"""Late fusion takes all features, or, `late/mean@flat`, the very features of one of these: early or late, on equal terms."""


@dataclass(frozen=True)
class Strategy:
    """One way from features to a class; `first` is set for hierarchical only, `feature` for uni-modal rows and probes.

    `subset`: the only features that it may look at, joined by `+`, or, for late fusion, an architecture that takes them.
    """

    architecture: Architecture
    first: str | None = None
    final: str | None = None
    feature: str | None = None
    subset: str | None = None

    @property
    def name(self) -> str:
        """`hierarchical/concatenation/average`, `late/mean@flat`, `logistic/flat`, `flat/average@a.title+b.image`."""
        name = "/".join(part for part in (self.architecture.value, self.first, self.final, self.feature) if part)
        return f"{name}@{self.subset}" if self.subset else name

    @property
    def merge(self) -> str | None:
        """The final merge without its variant: `average` of `average+dropout`."""
        return self.final.partition("+")[0] if self.final and not self.logistic else None

    @property
    def variant(self) -> Variant | None:
        """What stands between the final merge and the last layer, if anything. Raises UsageError for one that is not known."""
        name = self.final.partition("+")[2] if self.final else ""
        if name and name not in list(Variant):
            raise UsageError(f"no variant is called '{name}'; choose from {', '.join(Variant)}")
        return Variant(name) if name else None

    @property
    def own(self) -> tuple[str, ...]:
        """Its merges that somebody else wrote, `package.module:Class`: names of code."""
        return tuple(name for name in (self.first, self.merge) if name and ":" in name) if self.architecture in FUSED else ()

    @property
    def learned(self) -> bool:
        """Whether a head is trained for it."""
        return self.architecture in (*FUSED, Architecture.PROBE)

    @property
    def logistic(self) -> bool:
        """Whether it is the tuned logistic regression, which reads vectors as heads do and draws nothing at random."""
        return self.architecture is Architecture.LOGISTIC

    @property
    def ensemble(self) -> bool:
        """Whether it combines the runs of other strategies, seed by seed."""
        return self.architecture is Architecture.LATE and self.final in (Late.SELECTION, Late.VOTE, Late.PROBES)

    def within(self, features: Collection[str]) -> tuple[str, ...]:
        """Those of these features that it may look at, in canonical order. Raises Unwirable where one is not there."""
        if self.feature:
            return (self.feature,)
        if self.subset is None:
            return fusible(features)
        if self.architecture is Architecture.LATE and self.subset in list(SETS):
            return wire(Architecture(self.subset), features).features
        return canonical(chosen(self.subset, features))

    @property
    def seeded(self) -> bool:
        """Whether seeds matter to it."""
        return self.learned or self.ensemble

    @classmethod
    def parse(cls, name: str, merges: Collection[str] | None = ()) -> "Strategy":
        """The strategy of that name. Raises UsageError that shows the forms a name may have.

        A name that was read from a file must not choose what code is run: a merge of one's own is accepted only where it is
        among `merges`, which the caller of this very call has named. None: the name itself is the caller's, not a file's.
        """
        strategy = cls._of(str(name))
        for merge in strategy.own:
            if merges is not None and merge not in ([merges] if isinstance(merges, str) else merges):
                raise UsageError(
                    f"{name} merges by the code '{merge}', which is only run where you name it: if you know it and trust it, "
                    f"pass --merge {merge} (in Python merges=['{merge}'])"
                )
        return strategy

    @classmethod
    def _of(cls, name: str) -> "Strategy":
        architecture, _, rest = name.partition("/")
        if architecture in (Architecture.UNIMODAL, Architecture.PROBE):
            subset = None  # a feature may be called anything
        else:
            rest, _, subset = rest.partition("@")
        pieces = rest.split("/")
        if architecture in list(Architecture) and all(piece.strip(".") for piece in pieces):
            match Architecture(architecture), pieces:
                case Architecture.HIERARCHICAL, [first, final]:
                    return cls(Architecture.HIERARCHICAL, first=first, final=final, subset=subset or None)
                case Architecture.LOGISTIC, [final] if final in list(SETS):
                    return cls(Architecture.LOGISTIC, final=final, subset=subset or None)
                case (Architecture.BASELINE | Architecture.FLAT | Architecture.TEXT | Architecture.LATE) as kind, [final]:
                    return cls(kind, final=final, subset=subset or None)
                case (Architecture.UNIMODAL | Architecture.PROBE) as kind, [feature]:
                    return cls(kind, feature=feature)
        raise UsageError(
            f"no strategy is called '{name}'; the forms are baseline/MERGE, flat/MERGE, hierarchical/FIRST/FINAL, text/MERGE, "
            "late/METHOD, logistic/baseline and logistic/flat, each with @FEATURE+FEATURE... or without, unimodal/FEATURE and "
            "probe/FEATURE"
        )


def chosen(subset: str, features: Collection[str]) -> list[str]:
    """The features whose names stand joined by `+`, of which each may have one itself: `a.title+brand+b.image` are two.

    Raises: Unwirable where one is not there.
    """
    pieces, names = subset.split("+"), list[str]()
    while pieces:
        ends = range(len(pieces), 0, -1)  # the longest name first
        end = next((end for end in ends if "+".join(pieces[:end]) in features), None)
        if end is None:
            raise Unwirable(f"there is no feature {pieces[0]}")
        names.append("+".join(pieces[:end]))
        del pieces[:end]
    return names
