"""A frozen network: its classification layer learns from vectors that are computed once, not once per epoch.

Shapes: n products, B of them in a batch, D width of the vector.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fusecat.stages.extraction.devices import processes
from fusecat.stages.extraction.embed import FloatArray, encode
from fusecat.stages.extraction.encoder import Encoder
from fusecat.stages.extraction.low_rank import add_adapters
from fusecat.stages.extraction.networks import ImageNetwork, TextNetwork
from fusecat.stages.extraction.progress import Progress
from fusecat.stages.extraction.trainer import TrainingData


class Classifier(nn.Module):
    """Dropout and classification layer of a network, the very same modules: what this learns, the network has learnt."""

    def __init__(self, network: TextNetwork | ImageNetwork) -> None:
        super().__init__()
        self.dropout = network.dropout
        self.classifier = network.classifier

    def forward(self, vectors: Tensor) -> dict[str, Tensor]:
        """What `Trainer` calls: `vectors` (B, D) -> logits (B, C)."""
        return {"logits": self.classifier(self.dropout(vectors))}

    def recompute(self) -> bool:
        """There are no activations to save."""
        return False


@dataclass(frozen=True)
class StoredVectors:
    """Inputs of a `Classifier`: `vectors` (n, D) of the products whose row numbers are `rows` (n,), ascending."""

    rows: NDArray[np.intp]
    vectors: FloatArray

    def example(self, row: int, generator: np.random.Generator | None) -> FloatArray:  # noqa: ARG002
        """The vector (D,); nothing is augmented, because the backbone does not look again."""
        found: FloatArray = self.vectors[np.searchsorted(self.rows, row)]
        return found

    def views(self, row: int) -> list[FloatArray]:
        """A product has one vector, the mean over its images."""
        return [self.example(row, None)]

    def cost(self, row: int) -> int:  # noqa: ARG002
        """Vectors."""
        return 1

    def collate(self, items: Sequence[FloatArray]) -> dict[str, Tensor]:
        """`vectors` (B, D) float32."""
        return {"vectors": torch.from_numpy(np.stack(items))}


def trainable_part(
    network: TextNetwork | ImageNetwork, encoder: Encoder, training_data: TrainingData, precision: str, progress: Progress
) -> tuple[TextNetwork | ImageNetwork | Classifier, TrainingData, int]:
    """What of the network is to learn, from which inputs, and how many worker processes prepare these.

    Where nothing before the vector learns, that is the classifier, with a vector in place of every text or image. Several
    processes share the products.
    """
    training = encoder.network.training
    if training.freeze:
        network.backbone.requires_grad_(requires_grad=False)
    if training.lora:
        add_adapters(network.backbone, training.lora, training.seed)
    if not encoder.network.learns_from_vectors:
        return network, training_data, encoder.reading_workers
    state, rows = processes(), np.union1d(training_data.train, training_data.validation)
    vectors, _ = encode(
        network,
        training_data.inputs,
        rows.tolist(),
        classes=training_data.classes,
        budget=encoder.budget(state.device),
        device=state.device,
        precision=precision,
        progress=progress,
        feature=training_data.feature,
        phase="encoding for the classifier",
        workers=encoder.extraction.workers,
        share=(state.process_index, state.num_processes),
    )
    return Classifier(network), replace(training_data, inputs=StoredVectors(rows, vectors)), 0
