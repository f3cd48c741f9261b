"""Tokens are the same whoever makes them, and the processes that make them start light."""

import dataclasses
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from fusecat.pipeline.console import default_catalogue
from fusecat.stages.extraction import tokenising
from fusecat.stages.extraction.build_network import build_tokenizer
from fusecat.stages.extraction.settings import Network
from fusecat.stages.extraction.tokenising import tokenise
from tests.conftest import read_table
from tests.stages.extraction.families import write_tokenizer
from tests.stages.extraction.small import CAMEMBERT, FLAUBERT

TEXTS = [row["Title"] for row in read_table(default_catalogue() / "X_train.tsv")][:90]


@pytest.mark.parametrize("network", [CAMEMBERT, FLAUBERT], ids=lambda network: network.name)
def test_two_processes_give_the_tokens_of_one_row_for_row(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenising, "CHUNK", 20)
    monkeypatch.setattr(tokenising, "FAST_CHUNKS", 1)
    pools = []
    monkeypatch.setattr(tokenising, "ProcessPoolExecutor", lambda *given: pools.append(given) or ProcessPoolExecutor(*given))
    texts = [" ".join(TEXTS[:9]), *TEXTS[1:30], None, *TEXTS[30:], None]
    tokenizer = build_tokenizer(network, TEXTS, tmp_path)
    one, two = (tokenise(tokenizer, network, texts, workers) for workers in (0, 2))
    assert len(pools) == 1
    assert len(one) == len(two) == 92
    assert all(np.array_equal(mine, theirs) for mine, theirs in zip(one, two, strict=True))
    assert one[30].size == one[91].size == 0
    assert max(len(row) for row in one) == network.length
    assert tokenizer.decode(one[0]) == tokenizer.decode(tokenizer(texts[0], truncation=True, max_length=24)["input_ids"])


@pytest.mark.parametrize("side", ["right", "left"])
def test_long_texts_of_few_tokens_are_read_as_far_as_the_network_reads(side: str, tmp_path: Path) -> None:
    """A link of hundreds of letters is one unknown word, blanks are none; a tokenizer that cuts at the left reads the end."""
    write_tokenizer(tmp_path)
    tokenizer = build_tokenizer(dataclasses.replace(CAMEMBERT, weights=str(tmp_path)), [], tmp_path / "kept")
    tokenizer.truncation_side = side
    texts = ["x" * 3000 + " lampe rouge", "lampe" + " " * 3000 + "rouge", "lampe rouge " * 500 + "chat bleu", "chat"]
    found = tokenise(tokenizer, CAMEMBERT, texts, 0)
    for text, row in zip(texts, found, strict=True):
        assert row.tolist() == tokenizer(text, truncation=True, max_length=CAMEMBERT.length)["input_ids"]


def test_a_fast_tokenizer_is_not_made_to_wait_for_processes_that_start_slower_than_it_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenising, "CHUNK", 10)
    monkeypatch.delattr(tokenising, "ProcessPoolExecutor")
    tokenizer = build_tokenizer(CAMEMBERT, TEXTS, tmp_path)
    assert len(tokenise(tokenizer, CAMEMBERT, TEXTS, 2)) == 90


def test_a_tokenising_process_never_loads_torch() -> None:
    code = "import sys, fusecat.stages.extraction.tokenising, fusecat.__main__; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "fusecat.stages.extraction.tokenising" in loaded
    assert not {"torch", "transformers", "cv2"} & set(loaded)
