"""What takes the steps of a fit: AdamW, by single weights or by layers."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from fusecat.stages.fusion.fit_settings import FitSettings

BETAS = (0.9, 0.999)


def optimiser_of(groups: Sequence[dict[str, Any]], settings: FitSettings, *, stacked: bool = False) -> torch.optim.Optimizer:
    """For parameters in groups with an `lr` each, and `by_layer`: whether their steps are measured by layers.

    `stacked`: the first dimension of every parameter counts independent heads.
    """
    if any(group["by_layer"] for group in groups):
        return LayerAdamW(groups, weight_decay=settings.weight_decay, eps=settings.epsilon, stacked=stacked)
    return torch.optim.AdamW(groups, weight_decay=settings.weight_decay, eps=settings.epsilon, fused=True)


class LayerAdamW(torch.optim.Optimizer):
    """AdamW whose second moment, in groups `by_layer`, is one number per layer, the mean square of its gradient.

    Ginsburg et al. 2019, "Training deep networks with stochastic normalized gradient methods"; Zhang et al. 2024, "Adam-mini".
    A step of Adam moves every weight alike, so columns of noise are learnt as fast as those that know the class, whatever
    their scale. Here a step goes along the gradient: small columns are learnt slowly, as under a penalty on lengths.
    """

    def __init__(self, params: Iterable[dict[str, Any]], *, weight_decay: float, eps: float, stacked: bool) -> None:
        super().__init__(params, {"weight_decay": weight_decay, "eps": eps})
        self.stacked = stacked
        self.steps = 0

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # nobody here has a closure
        """Take one step down."""
        self.steps += 1
        first, second = (1 - beta**self.steps for beta in BETAS)
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    mean, square = self._moments(weight, by_layer=group["by_layer"])
                    size = (square / second).sqrt_().add_(group["eps"])
                    weight.mul_(1 - group["lr"] * group["weight_decay"]).addcdiv_(mean, size, value=-group["lr"] / first)

    def _moments(self, weight: Tensor, *, by_layer: bool) -> tuple[Tensor, Tensor]:
        """Of this layer, with its gradient of now: the mean of each weight's, and the mean square of it or the layer's."""
        state, gradient = self.state[weight], weight.grad
        assert gradient is not None, "step() asks for nothing else"
        over = list(range(int(self.stacked), weight.dim())) if by_layer else []
        now = gradient.square().mean(dim=over, keepdim=True) if over else gradient.square()
        if not state:
            state["mean"], state["square"] = torch.zeros_like(weight), torch.zeros_like(now)
        mean, square = state["mean"], state["square"]
        mean.lerp_(gradient, 1 - BETAS[0])
        square.lerp_(now, 1 - BETAS[1])
        return mean, square
