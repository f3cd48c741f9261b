"""The two kinds of network, each a backbone from somebody's library under one contract: inputs -> vector and logits.

Shapes: B products, T tokens, L longest length, H hidden width, D width of the vector, C classes, S side in pixels.
"""

from typing import Any, Self, assert_never

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusecat.stages.extraction.settings import Pooling
from fusecat.stages.extraction.tfidf import TfidfNetwork


class _Network(nn.Module):
    """What both kinds share: a frozen backbone stays in evaluation mode, or batch norm would go on learning from the images."""

    backbone: nn.Module

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002
        """Training or evaluation mode, of everything that learns."""
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.backbone.parameters()):
            self.backbone.eval()
        return self

    def recompute(self) -> bool:
        """Compute activations again in the backward pass instead of keeping them; False where the backbone cannot."""
        backbone: Any = self.backbone
        # transformers' name for it, its older one, and timm's
        for name in ("activation_checkpointing_enable", "gradient_checkpointing_enable", "set_grad_checkpointing"):
            enable = getattr(backbone, name, None)
            if enable is None:
                continue
            try:
                enable()
            except (ValueError, AssertionError):  # so both libraries say that this family cannot
                return False
            return True
        return False


class TextNetwork(_Network):
    """A transformers encoder with a classification layer.

    `pooling` makes the vector of the last hidden states; None: the encoder itself does. `config`: what it is built from.
    """

    def __init__(self, backbone: nn.Module, pooling: nn.Module | None, width: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.backbone = backbone
        self.pooling = pooling
        self.width = width
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, classes)
        self.config: Any = getattr(backbone, "config", None)

    def encode(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """`input_ids` and `attention_mask` (B, T) int64 -> vector (B, D), logits (B, C)."""
        output = self.backbone(input_ids=input_ids, attention_mask=attention_mask)
        vector = output.pooler_output if self.pooling is None else self.pooling(output.last_hidden_state, attention_mask)
        return vector, self.classifier(self.dropout(vector))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        """What `Trainer` calls."""
        return {"logits": self.encode(input_ids, attention_mask)[1]}


class ImageNetwork(_Network):
    """An image network with a classification layer. `config`: what a backbone of transformers is built from, else None.

    Pixels travel as uint8 and are normalised here, on the device. A backbone gives its library's own pooled vector, or the last
    maps, which are averaged: pretrainedmodels' own 7x7 pooling fails below 224 pixels.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        width: int,
        classes: int,
        dropout: float,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        *,
        flipped: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.width = width
        self.flipped = flipped
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, classes)
        self.config: Any = None
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1) * 255, persistent=False)

    def normalise(self, pixels: Tensor) -> Tensor:
        """`pixels` (B, S, S, 3) uint8 -> (B, 3, S, S) float, each channel by its mean and deviation; flipped: blue first."""
        pixels = pixels.flip(-1) if self.flipped else pixels
        # NHWC, the layout in which pixels come, is kept: the faster one on CPUs and tensor cores alike.
        return pixels.permute(0, 3, 1, 2).float().sub_(self.mean).div_(self.std)

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """`pixels` (B, S, S, 3) uint8 RGB -> vector (B, D), logits (B, C)."""
        vector = pooled(self.backbone(self.normalise(pixels)))
        return vector, self.classifier(self.dropout(vector))

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """What `Trainer` calls."""
        return {"logits": self.encode(pixels)[1]}


class Classifier(nn.Module):
    """Dropout and classification layer of a network, the very same modules: what this learns, the network has learnt."""

    def __init__(self, network: TextNetwork | ImageNetwork) -> None:
        super().__init__()
        self.dropout = network.dropout
        self.classifier = network.classifier
        self.width = network.width

    def encode(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """`vectors` (B, D) -> the same, logits (B, C)."""
        return vectors, self.classifier(self.dropout(vectors))

    def forward(self, vectors: Tensor) -> dict[str, Tensor]:
        """What `Trainer` calls: `vectors` (B, D) -> logits (B, C)."""
        return {"logits": self.encode(vectors)[1]}

    def recompute(self) -> bool:
        """There are no activations to save."""
        return False


AnyNetwork = TextNetwork | ImageNetwork | TfidfNetwork | Classifier
"""What gives a vector and logits of a field, by `encode`."""


def pooled(output: Tensor) -> Tensor:
    """Maps (B, D, h, w) averaged, a vector (B, D) as it is."""
    return F.adaptive_avg_pool2d(output, 1).flatten(1) if output.ndim == 4 else output


class UnitLength(nn.Module):
    """A backbone whose vector is given the length one: a layer over it is a cosine."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, pixels: Tensor) -> Tensor:
        """`pixels` (B, 3, S, S) -> (B, D)."""
        return F.normalize(pooled(self.backbone(pixels)))


class FirstToken(nn.Module):
    """The first token's last hidden state (BERT's and FlauBERT's way)."""

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:  # noqa: ARG002
        """`hidden` (B, T, H), `mask` (B, T) -> (B, H)."""
        return hidden[:, 0]


class MaskedMean(nn.Module):
    """The mean of the real tokens' last hidden states (Reimers and Gurevych 2019, Sentence-BERT)."""

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """`hidden` (B, T, H), `mask` (B, T) -> (B, H)."""
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)


class LastToken(nn.Module):
    """The last real token's hidden state: the only one that has seen all of the text where a network reads left to right."""

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """`hidden` (B, T, H), `mask` (B, T) -> (B, H)."""
        return hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(1) - 1]


class Flatten(nn.Module):
    """All L positions flattened -> Linear(L*H, D) -> tanh: the thesis's CamemBERT head, without padding every text to L.

    CamemBERT's output is the same vector p at every pad position of a text (each pad has the pad's position embedding and
    attends to the real tokens alone). So the linear layer over n real and L - n pad positions is
    `sum_{i<n} W_i h_i + (sum_{i>=n} W_i) p`, and one pad per text is enough to know p.
    """

    def __init__(self, length: int, hidden: int, width: int) -> None:
        super().__init__()
        self.length = length
        self.linear = nn.Linear(length * hidden, width)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """`hidden` (B, T, H) with at least one pad per text shorter than L, `mask` (B, T) -> (B, D)."""
        batch, tokens, states = hidden.shape
        weight = self.linear.weight.view(-1, self.length, states)
        real = (hidden * mask.unsqueeze(-1).to(hidden.dtype)).flatten(1)
        summed = F.linear(real, weight[:, :tokens].reshape(-1, tokens * states), self.linear.bias)
        # suffix[n] = sum of W_i for i >= n; suffix[L] = 0
        suffix = F.pad(weight.flip(1).cumsum(1).flip(1), (0, 0, 0, 1)).permute(1, 0, 2)
        count = mask.sum(1)
        pad = hidden[torch.arange(batch, device=hidden.device), count.clamp(max=tokens - 1)]
        return torch.tanh(summed + torch.einsum("bdh,bh->bd", suffix[count].to(hidden.dtype), pad))


def pooling_module(pooling: Pooling, length: int, hidden: int, width: int) -> tuple[nn.Module, int]:
    """The module of a pooling over H = `hidden` states and the width of its vector; a model's own comes with its folder."""
    match pooling:
        case Pooling.FIRST:
            return FirstToken(), hidden
        case Pooling.MEAN:
            return MaskedMean(), hidden
        case Pooling.LAST:
            return LastToken(), hidden
        case Pooling.FLATTEN:
            return Flatten(length, hidden, width), width
        case Pooling.MODEL:
            raise ValueError("a model's own pooling is read from its folder")
        case _:
            assert_never(pooling)
