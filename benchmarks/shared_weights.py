"""How well a linear head could do: the tuned logistic regression under the head's own constraint.

An average or a sum of texts that no layer projects gives all of them one set of weights; a regression on the summed vectors has
the same constraint and no optimiser of ours. Chosen on validation among strengths and kinds of class weights, as `logistic/*`.

    python -m benchmarks.shared_weights --products 0 --frozen FROZEN.npz --skewed     # sources as in stage_two_settings
"""

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.stage_two_settings import parser, sources
from fusecat.cache.table import FeatureTable
from fusecat.stages.fusion.feasible import PROJECTED
from fusecat.stages.fusion.fit_data import FitData, gather
from fusecat.stages.fusion.fit_settings import DEFAULT, ClassWeights, Scaling
from fusecat.stages.fusion.logistic import STRENGTHS, Choice, _Base
from fusecat.stages.fusion.strategy import Strategy
from fusecat.stages.fusion.wiring import field_of, wire
from fusecat.stages.scores import scores
from fusecat.stages.vocabulary import Merge

STRATEGIES = ("baseline/average", "flat/addition", "hierarchical/average/average")


def design(strategy: Strategy, data: FitData, rows: NDArray[np.intp]) -> list[NDArray[np.float64]]:
    """(n, W) per set of weights: all texts together, then each image, as large as the head takes them."""
    wiring = wire(strategy.architecture, data.scaling)
    views, present = data.vectors.select(wiring.features).batch(torch.from_numpy(rows))

    def factors(merge: str | None, masks: list[torch.Tensor]) -> torch.Tensor:
        mask = torch.stack(masks, dim=1).float()
        return mask / mask.sum(1, keepdim=True).clamp(min=1) if merge == Merge.AVERAGE else mask

    nodes = [*wiring.groups, *((name,) for name in wiring.singles)]
    outer = factors(strategy.final, [torch.stack([present[name] for name in node], dim=1).any(1) for node in nodes])
    found: dict[str, torch.Tensor] = {}
    for at, node in enumerate(nodes):
        inner = factors(strategy.first, [present[name] for name in node])
        for name, factor in zip(node, (inner * outer[:, [at]]).unbind(1), strict=True):
            key = name if field_of(name) in PROJECTED else ""
            found[key] = found.get(key, torch.zeros(())) + factor[:, None] * views[name]
    return [part.double().numpy() for part in found.values()]


def reached(table: FeatureTable, strategy: Strategy) -> tuple[float, float]:
    """Macro-F1 on validation and test of what validation chooses."""
    data = gather(table, sorted(table.features), ("train", "head"), standardise=DEFAULT.standardise)
    rows = [data.rows[part] for part in ("fit", "validation", "test")]
    fit, validation, test = (data.labels[each] for each in rows)
    parts = design(strategy, data, np.concatenate(rows))
    widths = {str(at): part.shape[1] for at, part in enumerate(parts)}
    base = _Base.of(np.hstack(parts), len(fit), widths, Scaling.FEATURE)
    found = []
    for choice in (Choice(strength, kind) for strength in STRENGTHS for kind in ClassWeights):
        weights, bias = base.solve(fit, choice, len(data.classes))
        chances = torch.from_numpy(base.rows[len(fit) :] @ weights.T + bias).softmax(1).float().numpy()
        judged = chances[: len(validation)], chances[len(validation) :]
        found.append(tuple(scores(*each)["macro_f1"] for each in zip((validation, test), judged, strict=True)))
    return max(found, key=lambda both: both[0])


def main() -> None:
    torch.set_num_threads(1)
    for source, tables in sources(parser(__doc__).parse_args()):
        for name in STRATEGIES:
            validation, test = 100 * np.mean([reached(table, Strategy.parse(name)) for table in tables], axis=0)
            print(f"{source:30s} {name:32s} validation {validation:6.2f}  test {test:6.2f}", flush=True)


if __name__ == "__main__":
    main()
