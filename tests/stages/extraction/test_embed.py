"""Extraction: what lands in the cache is what the network says of each product alone."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fusecat.cache.store import FeatureCache
from fusecat.stages.extraction import embed as embedding
from fusecat.stages.extraction.dataset import Study
from fusecat.stages.extraction.embed import AHEAD, Inference, batches, embed, encode, prepared
from fusecat.stages.extraction.encoder import Encoder
from fusecat.stages.extraction.inputs import Inputs
from fusecat.stages.extraction.progress import silent
from fusecat.stages.fields import Field
from tests.stages.extraction.small import CAMEMBERT, EXTRACTION, FLAUBERT, SE_RESNEXT50, open_study

ENCODERS = [
    Encoder(CAMEMBERT, Field.TITLE_DESCRIPTION, EXTRACTION),
    Encoder(CAMEMBERT, Field.DESCRIPTION, EXTRACTION),
    Encoder(FLAUBERT, Field.TITLE_DESCRIPTION, EXTRACTION),
    Encoder(SE_RESNEXT50, Field.IMAGE, EXTRACTION),
]


@pytest.fixture(scope="module")
def study(sample_cut: Path) -> Study:
    return open_study(sample_cut)


class Counting(torch.nn.Module):
    """A network that counts the products it is shown."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network, self.width, self.seen = network, network.width, 0

    def encode(self, **inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.seen += len(next(iter(inputs.values())))
        return self.network.encode(**inputs)


def run(encoder: Encoder, study: Study, folder: Path, cache: FeatureCache, stop_after: int | None = None) -> Counting:
    inputs = encoder.inputs(study, folder, saved=(folder / "tokenizer_config.json").exists())
    network = Counting(encoder.build(len(study.catalogue.classes), folder).eval())
    writer = cache.writer(encoder.feature, {"r": 1}, study.rows, block=EXTRACTION.block, weights="w")
    if stop_after is not None:
        kept = writer.missing
        writer.missing = lambda: iter(list(kept())[:stop_after])
    inference = Inference.of(encoder, len(study.catalogue.classes), "fp32", silent)
    embed(network, inputs, study.present(encoder.field), writer, inference)
    if stop_after is None:
        writer.seal(weights="w", fitted_on=["train"], versions={}, dtype="float32")
    return network


def one_at_a_time(network: torch.nn.Module, inputs: Inputs, rows: Iterator[int]) -> tuple[np.ndarray, np.ndarray]:
    with torch.no_grad():
        pairs = [network.encode(**inputs.collate([inputs.example(row, None)])) for row in rows]
    return tuple(torch.cat(values).numpy() for values in zip(*pairs, strict=True))


@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda encoder: encoder.feature)
def test_stored_vectors_equal_a_forward_pass_of_one_product_at_a_time(encoder: Encoder, study: Study, tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "features")
    network = run(encoder, study, tmp_path, cache)
    feature = cache.table().features[encoder.feature]
    present = np.flatnonzero(feature.present)
    inputs = encoder.inputs(study, tmp_path, saved=True)
    vectors, logits = one_at_a_time(network.network, inputs, present)
    assert np.abs(feature.embedding[present] - vectors).max() < 1e-5
    assert np.abs(feature.logits[present] - logits).max() < 1e-5


@pytest.mark.parametrize("encoder", ENCODERS[1:2], ids=lambda encoder: encoder.feature)
def test_absent_products_are_zero_and_never_computed(encoder: Encoder, study: Study, tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "features")
    network = run(encoder, study, tmp_path, cache)
    feature = cache.table().features[encoder.feature]
    absent = np.array([product.description is None for product in study.catalogue.products])
    assert absent.any()
    assert np.array_equal(feature.present, ~absent)
    assert not feature.embedding[absent].any()
    assert not feature.logits[absent].any()
    assert network.seen == (~absent).sum()


def test_a_resumed_extraction_computes_only_what_is_missing_and_gives_the_same_bytes(study: Study, tmp_path: Path) -> None:
    encoder = ENCODERS[0]
    whole, resumed = FeatureCache(tmp_path / "whole"), FeatureCache(tmp_path / "resumed")
    everything = run(encoder, study, tmp_path, whole)
    first = run(encoder, study, tmp_path, resumed, stop_after=1)
    second = run(encoder, study, tmp_path, resumed)
    assert first.seen == EXTRACTION.block
    assert first.seen + second.seen == everything.seen
    assert whole.path(encoder.feature).read_bytes() == resumed.path(encoder.feature).read_bytes()


class Noting:
    """Inputs of `row % 3 + 1` views each, that note which rows were asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def views(self, row: int) -> list[np.ndarray]:
        self.asked.append(row)
        return [np.full(2, row)] * (row % 3 + 1)

    def collate(self, items: list[np.ndarray]) -> dict[str, torch.Tensor]:
        return {"views": torch.from_numpy(np.stack(items))}


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_order_with_their_own_views_and_few_are_decoded_ahead(workers: int) -> None:
    cut = [[5, 3], [4], [0, 1, 2], [7], [6], [9, 8], [10]]
    inputs = Noting()
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        ready = prepared(inputs, cut, pool if workers else None)
        for number, (batch, (tensors, owners)) in enumerate(zip(cut, ready, strict=True)):
            assert tensors["views"][:, 0].tolist() == [row for row in batch for _ in range(row % 3 + 1)]
            assert [batch[place] for place in owners] == tensors["views"][:, 0].tolist()
            ahead = cut[: number + 1 + (AHEAD if workers else 0)]
            assert set(inputs.asked) <= {row for block in ahead for row in block}
    assert sorted(inputs.asked) == list(range(11))


@given(st.lists(st.integers(1, 60), min_size=1, max_size=80), st.integers(1, 200))
def test_batches_hold_every_row_once_within_the_budget(costs: list[int], budget: int) -> None:
    cut = list(batches(range(len(costs)), costs, budget))
    assert sorted(row for batch in cut for row in batch) == list(range(len(costs)))
    assert all(len(batch) == 1 or len(batch) * max(costs[row] for row in batch) <= budget for batch in cut)


@pytest.mark.parametrize("encoder", [ENCODERS[2], ENCODERS[3]], ids=lambda encoder: encoder.feature)
def test_what_ranks_compute_apart_is_together_what_one_computes(
    encoder: Encoder, study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "_of_all", lambda own, device: own)
    inputs, rows = encoder.inputs(study, tmp_path, saved=False), np.flatnonzero(study.present(encoder.field)).tolist()
    network = encoder.build(len(study.catalogue.classes), tmp_path)
    cpu = torch.device("cpu")
    whole, *shares = (
        encode(network, inputs, rows, Inference("", 6, 40, cpu, "fp32", share=share))
        for share in ((0, 1), (0, 3), (1, 3), (2, 3))
    )
    for name, of_all, *parts in zip(("vectors", "logits"), whole, *shares, strict=True):
        assert np.array_equal(of_all, sum(parts)), name
        assert of_all.any(axis=1).all()
        assert all(part.any() and not part.all() for part in parts), "nobody does all of it"
