"""A batch of one product, where an epoch leaves one over: batch norm cannot learn from a single number per channel."""

import dataclasses

import numpy as np
import pytest
import torch

from fusecat.stages.errors import UsageError
from fusecat.stages.extraction.build_network import build_image_network, settled
from fusecat.stages.extraction.inputs import Examples
from fusecat.stages.extraction.settings import Library, Network, Training
from fusecat.stages.extraction.train_network import Teaching, normalises_single_numbers, train_network
from fusecat.stages.extraction.trainer import TrainingData
from fusecat.stages.fields import Field
from fusecat.stages.metrics import MACRO_F1

# of whose layers one is a batch norm behind the pooling
NETWORK = Network(
    name="mine",
    library=Library.TIMM,
    model="mobilenetv4_conv_small_035",
    fields=(Field.IMAGE,),
    size=64,
    resize=64,
    training=Training(epochs=1, batch=4, warmup=0.1),
)


class Noise:
    """Images of random pixels."""

    def example(self, row, generator):
        return np.random.default_rng(row).integers(0, 256, (64, 64, 3), dtype=np.uint8)

    def views(self, row):
        return [self.example(row, None)]

    def cost(self, row):
        return 1

    def collate(self, items):
        return {"pixels": torch.from_numpy(np.stack(items))}


def data(products):
    rows = np.arange(products)
    return TrainingData("mine.image", Noise(), (rows % 2).astype(np.int32), 2, rows, rows[:4])


def teach(products, tmp_path, **training):
    network = build_image_network(settled(NETWORK), classes=2)
    settings = dataclasses.replace(NETWORK.training, **training)
    return train_network(network, data(products), settings, tmp_path, Teaching(MACRO_F1), precision="fp32")


def test_one_product_left_over_is_left_out_of_that_epoch(tmp_path):
    network = build_image_network(settled(NETWORK), classes=2)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert normalises_single_numbers(network, Examples(Noise(), [0, 1], [0, 1], 3))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items()), "it only looks"
    assert network.training
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        network(torch.zeros(1, 64, 64, 3, dtype=torch.uint8))
    assert teach(9, tmp_path).epochs == 1


@pytest.mark.parametrize(("products", "batch"), [(1, 4), (6, 1)])
def test_single_products_alone_are_refused_before_the_first_step(products, batch, tmp_path):
    with pytest.raises(UsageError, match=r"mine.image: .* set training.batch = 2 or more"):
        teach(products, tmp_path, batch=batch)
