"""Which labels the report believes a network to have seen."""

import dataclasses
import json

import pytest

from pipeline.report.memory import fitted_on
from stages.encoders.settings import Network, Pooling
from tests.stages.encoders.small import CAMEMBERT


@pytest.mark.parametrize(
    ("freeze", "pooling", "parts"), [(False, "mean", ("train",)), (True, "mean", ()), (True, "flatten", ("train",))]
)
def test_a_frozen_network_saw_no_labels_unless_its_pooling_learnt(freeze: bool, pooling: str, parts: tuple[str, ...]) -> None:
    training = dataclasses.replace(CAMEMBERT.training, freeze=freeze)
    network: Network = dataclasses.replace(CAMEMBERT, training=training, pooling=Pooling(pooling))
    kept = json.loads(json.dumps(dataclasses.asdict(network)))
    assert fitted_on({"features": {"camembert.title": {"settings": kept}}}, "camembert.title") == parts
