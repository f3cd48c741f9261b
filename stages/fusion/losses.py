"""What a fit minimises, and which rows it draws.

Shapes: B products of a batch, n fit rows, C classes.
"""

from collections.abc import Callable
from typing import assert_never

import torch
from torch import Tensor
from torch.nn import functional as F

from fusecat.stages.fusion.fit_settings import ClassWeights, FitSettings, Loss

FOCUS = 2.0
"""gamma of the focal loss, the paper's choice."""


def loss_function(settings: FitSettings, labels: Tensor, classes: int) -> Callable[[Tensor, Tensor], Tensor]:
    """(logits (B, C), labels (B,)) -> the mean loss; `labels` (n,) of the fit rows say how frequent each class is."""
    counts = torch.bincount(labels, minlength=classes).float()
    weights = weights_of(settings.class_weights, counts)
    smoothing = settings.label_smoothing

    def rows(logits: Tensor, truth: Tensor) -> Tensor:
        """(B,), as `F.cross_entropy` without reduction; with weights and smoothing that cannot be batched by `vmap`."""
        if weights is None:
            return F.cross_entropy(logits, truth, label_smoothing=smoothing, reduction="none")
        likely = logits.log_softmax(1)
        hard = likely.gather(1, truth[:, None]).squeeze(1) * weights[truth]
        return -(1 - smoothing) * hard - smoothing / classes * (likely @ weights)

    def mean(logits: Tensor, truth: Tensor) -> Tensor:
        if weights is None:
            return F.cross_entropy(logits, truth, label_smoothing=smoothing)
        return rows(logits, truth).sum() / weights[truth].sum()

    match settings.loss:
        case Loss.CROSS_ENTROPY:
            return mean
        case Loss.FOCAL:

            def focal(logits: Tensor, truth: Tensor) -> Tensor:
                """Lin et al. 2017, "Focal loss for dense object detection": (1 - p)^gamma takes weight from what is easy."""
                chance = logits.log_softmax(1).gather(1, truth[:, None]).squeeze(1).exp()
                return ((1 - chance) ** FOCUS * rows(logits, truth)).mean()

            return focal
        case Loss.LOGIT_ADJUSTED:
            prior = (counts.clamp(min=1) / counts.clamp(min=1).sum()).log()

            def adjusted(logits: Tensor, truth: Tensor) -> Tensor:
                """Menon et al. 2021, "Long-tail learning via logit adjustment": the head learns scores without the prior."""
                return mean(logits + prior, truth)

            return adjusted
        case _:
            assert_never(settings.loss)


def weights_of(kind: ClassWeights, counts: Tensor) -> Tensor | None:
    """(C,) weights whose mean over the fit rows is 1."""
    if kind is ClassWeights.NONE:
        return None
    # a class without fit rows gets the weight of one with a single row; it never occurs in the loss
    weights = counts.clamp(min=1) ** (-1.0 if kind is ClassWeights.INVERSE else -0.5)
    return weights * (counts.sum() / (weights * counts).sum())


def order(settings: FitSettings, labels: Tensor) -> Tensor:
    """(n,) places among the fit rows for one epoch: each once, or drawn so that every class is equally likely."""
    if not settings.balanced_batches:
        return torch.randperm(len(labels))
    chances = 1 / torch.bincount(labels)[labels].float()
    return torch.multinomial(chances, len(labels), replacement=True)
