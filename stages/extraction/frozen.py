"""A frozen network: its classification layer learns from vectors that are computed once, not once per epoch.

Shapes: n products, B of them in a batch, D width of the vector.
"""

from dataclasses import replace

import numpy as np

from fusecat.stages.extraction.embed import Inference, encode
from fusecat.stages.extraction.encoder import Encoder
from fusecat.stages.extraction.inputs import StoredVectors
from fusecat.stages.extraction.low_rank import add_adapters
from fusecat.stages.extraction.networks import Classifier, ImageNetwork, TextNetwork
from fusecat.stages.extraction.progress import Progress
from fusecat.stages.extraction.trainer import TrainingData


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
    if isinstance(training_data.inputs, StoredVectors):
        return Classifier(network), training_data, 0
    if not encoder.network.learns_from_vectors:
        return network, training_data, encoder.reading_workers
    rows = np.union1d(training_data.train, training_data.validation)
    inference = Inference.of(encoder, training_data.classes, precision, progress, shared=True)
    named = replace(inference, feature=training_data.feature)
    vectors, _ = encode(network, training_data.inputs, rows.tolist(), named, "encoding for the classifier")
    return Classifier(network), replace(training_data, inputs=StoredVectors(rows, vectors)), 0
