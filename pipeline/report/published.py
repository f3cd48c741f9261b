"""What others reported on Rakuten's catalogue, shown beside our rows when the catalogue is that one - and on no other.

Sources: S. Fattouh, "Multimodal Classification Using Deep Neural Networks", MSc thesis, ELTE 2021, chapter 6 (also
arXiv:2207.03305); the SIGIR eCom 2020 data challenge and its papers (Verma et al., paper 8).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from fusecat.pipeline.report.results import Study
from fusecat.stages.vocabulary import Part, SplitProtocol

CODES = frozenset(
    str(code)
    for code in (10, 40, 50, 60, 1140, 1160, 1180, 1280, 1281, 1300, 1301, 1302, 1320, 1560, 1920, 1940, 2060, 2220, 2280,
                 2403, 2462, 2522, 2582, 2583, 2585, 2705, 2905)
)  # fmt: skip
SIZES = (54_000, 86_000)
"""Labelled products: 84,916 in all, 55,025 with a description; a cut of the catalogue is not comparable."""


@dataclass(frozen=True)
class Figure:
    """Accuracy and F1 in per cent on validation and test, None where nothing was published."""

    validation: tuple[float, float]
    test: tuple[float, float] | None = None


THESIS_80_20: Mapping[str, Figure] = {
    "unimodal/camembert.description": Figure((86.40, 83.13), (86.03, 84.31)),
    "unimodal/camembert.title": Figure((89.64, 84.01), (90.03, 86.06)),
    "unimodal/flaubert.description": Figure((85.81, 81.08), (85.29, 83.27)),
    "unimodal/flaubert.title": Figure((88.98, 83.10), (88.81, 84.24)),
    "unimodal/camembert.title_description": Figure((92.28, 88.54), (92.07, 90.73)),
    "unimodal/flaubert.title_description": Figure((92.10, 90.18), (92.21, 87.77)),
    "unimodal/se_resnext50.image": Figure((57.20, 52.32), (51.00, 41.50)),
    "baseline/addition": Figure((92.16, 88.01), (92.22, 90.38)),
    "baseline/concatenation": Figure((92.17, 88.36), (92.08, 90.79)),
    "baseline/average": Figure((92.09, 88.46), (92.28, 90.31)),
    "hierarchical/concatenation/addition": Figure((91.97, 89.39), (91.94, 87.29)),
    "hierarchical/concatenation/concatenation": Figure((92.36, 90.03), (91.64, 90.39)),
    "hierarchical/concatenation/average": Figure((92.86, 92.46), (92.23, 90.45)),
    "hierarchical/average/average": Figure((92.25, 89.94), (92.03, 87.70)),
}
THESIS_90_10: Mapping[str, Figure] = {
    "unimodal/camembert.description": Figure((86.98, 84.83)),
    "unimodal/camembert.title": Figure((90.19, 87.38)),
    "unimodal/camembert.title_description": Figure((92.09, 91.91)),
    "unimodal/flaubert.description": Figure((84.43, 84.43)),
    "unimodal/flaubert.title": Figure((92.31, 90.32)),
    "unimodal/flaubert.title_description": Figure((92.38, 90.10)),
    "unimodal/se_resnext50.image": Figure((59.25, 54.30)),
    "baseline/addition": Figure((92.15, 88.00)),
    "baseline/concatenation": Figure((93.16, 91.36)),
    "baseline/average": Figure((93.46, 91.83)),
    "hierarchical/concatenation/addition": Figure((92.75, 92.45)),
    "hierarchical/concatenation/concatenation": Figure((92.80, 92.47)),
    "hierarchical/concatenation/average": Figure((92.86, 92.47)),
    "hierarchical/average/average": Figure((93.20, 92.67)),
    "flat/average+dropout": Figure((92.49, 90.00)),
    "hierarchical/average/average+layers": Figure((92.42, 91.11)),
}
CHALLENGE = (
    ("Transformers (Verma et al.), boosted late fusion", 91.94, 90.53),
    ("Alto, stack of six co-attention models", 91.63, 90.87),
    ("Beantown, highway on concatenation", 90.89, 90.22),
    ("pa_curis, vote of twelve late-fused models", 89.65, 91.44),
    ("organisers' baseline", 87.05, 85.36),
)
"""SIGIR eCom 2020, macro-F1 on phase 1 (937 products) and phase 2 (8,435 products)."""

ELSEWHERE = (
    "pa_curis: one late-fused model 90.94 (phase 1), 90.17 (phase 2); feature-level fusion 89.87, their text model 89.93.",
    "Transformers (Verma et al.), on validation products of their own: addition 90.26, concatenation 90.93, LightGBM 91.96.",
    "Beantown: highway on concatenation 90.51, low-rank fusion 89.5.",
    "ENS challengedata #35, weighted F1: 92.73 (self-reported, 2026).",
)
"""Single figures beside the teams' best; macro-F1 in per cent unless it says otherwise."""

REMARKS = (
    "The thesis deletes the products without a description: a third of them, unevenly by class, which is an easier task.",
    "Its images were split apart from its texts, so that most evaluation images were training images.",
    "Its title and description networks were both fed title and description.",
    "Its first merge joined tuples, so that most of its hierarchical rows never saw the description network.",
    "Each of its figures is one run; on its 6,603 validation products the standard deviation of macro-F1 is about 1.1 points.",
    "Its tables contradict each other in places: baseline/concatenation on test is 92.08 / 90.79 here, 92.22 / 90.34 there.",
    "The challenge's figures are on other products than any split here.",
)


def is_rakuten(study: Study) -> bool:
    """Whether the catalogue is Rakuten France's, by its class list and its size together."""
    labelled = int((study.products.labels >= 0).sum())
    return frozenset(study.products.classes) == CODES and SIZES[0] <= labelled <= SIZES[1]


def published(study: Study) -> Mapping[str, Figure]:
    """Strategy -> the thesis's figures for this protocol; {} on any other catalogue."""
    if not is_rakuten(study):
        return {}
    protocol = study.info.split.get("protocol")
    without_test = protocol == SplitProtocol.NO_TEST if protocol else Part.TEST not in study.parts
    return THESIS_90_10 if without_test else THESIS_80_20
