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
    weights = _weights(settings.class_weights, counts)
    smoothing = settings.label_smoothing

    match settings.loss:
        case Loss.CROSS_ENTROPY:

            def cross_entropy(logits: Tensor, truth: Tensor) -> Tensor:
                return F.cross_entropy(logits, truth, weight=weights, label_smoothing=smoothing)

            return cross_entropy
        case Loss.FOCAL:

            def focal(logits: Tensor, truth: Tensor) -> Tensor:
                """Lin et al. 2017, "Focal loss for dense object detection": (1 - p)^gamma takes weight from what is easy."""
                each = F.cross_entropy(logits, truth, weight=weights, label_smoothing=smoothing, reduction="none")
                chance = logits.log_softmax(1).gather(1, truth[:, None]).squeeze(1).exp()
                return ((1 - chance) ** FOCUS * each).mean()

            return focal
        case Loss.LOGIT_ADJUSTED:
            prior = (counts.clamp(min=1) / counts.clamp(min=1).sum()).log()

            def adjusted(logits: Tensor, truth: Tensor) -> Tensor:
                """Menon et al. 2021, "Long-tail learning via logit adjustment": the head learns scores without the prior."""
                return F.cross_entropy(logits + prior, truth, weight=weights, label_smoothing=smoothing)

            return adjusted
        case _:
            assert_never(settings.loss)


def _weights(kind: ClassWeights, counts: Tensor) -> Tensor | None:
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
