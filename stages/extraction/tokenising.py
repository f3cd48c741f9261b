"""Token numbers of many texts, by processes that never import torch: that alone would be most of their start.

The import of this module, and of all that it imports, has to stay that light.
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fusecat.stages.extraction.settings import Network

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CHUNK = 2048
"""Texts that one process tokenises at a time."""
FAST_CHUNKS = 20
"""So many chunks (40,000 texts, eight seconds) a tokenizer in Rust does alone: below, the start of processes outweighs them."""
CHARACTERS_PER_TOKEN = 16
"""Longer texts are cut before tokenising, as a tokenizer seldom makes fewer than one token of so many characters."""


def tokenise(
    tokenizer: "PreTrainedTokenizerBase", network: Network, texts: Sequence[str | None], workers: int
) -> list[NDArray[np.int32]]:
    """Token numbers of every text, special tokens included, cut to the network's length; empty where the text is None.

    Processes share the work where there are several and enough texts; FlauBERT's tokenizer is pure Python and would else be the
    limit of a GPU.
    """
    wanted = [text for text in texts if text is not None]
    chunks = [wanted[start : start + CHUNK] for start in range(0, len(wanted), CHUNK)]
    if workers > 1 and len(chunks) > (FAST_CHUNKS if tokenizer.is_fast else 1):
        # spawn: a forked child of a process that runs torch threads may hang
        with ProcessPoolExecutor(workers, get_context("spawn"), _remember, (tokenizer, network)) as pool:
            rows = list(chain.from_iterable(pool.map(_tokenise_remembered, chunks)))
    else:
        rows = list(chain.from_iterable(_tokenise(tokenizer, network, chunk) for chunk in chunks))
    found = iter(rows)
    return [np.empty(0, np.int32) if text is None else next(found) for text in texts]


def seen_by(network: Network, text: str, *, whole: bool = False) -> str:
    """The text as the network's tokenizer gets it: cut, prefixed, in small letters where the network asks for it."""
    text = (network.prefix or "") + text[: None if whole else network.length * CHARACTERS_PER_TOKEN]
    return text.lower() if network.lowercase else text


_remembered: list[Any] = []


def _remember(tokenizer: Any, network: Network) -> None:
    _remembered[:] = [tokenizer, network]


def _tokenise_remembered(texts: Sequence[str]) -> list[NDArray[np.int32]]:
    tokenizer, network = _remembered
    return _tokenise(tokenizer, network, texts)


def _tokenise(tokenizer: Any, network: Network, texts: Sequence[str]) -> list[NDArray[np.int32]]:
    whole = tokenizer.truncation_side == "left"  # then their ends are read

    def rows_of(seen: list[str]) -> list[list[int]]:
        found: list[list[int]] = tokenizer(seen, truncation=True, max_length=network.length)["input_ids"] if seen else []
        return found

    rows = rows_of([seen_by(network, text, whole=whole) for text in texts])
    most = network.length * CHARACTERS_PER_TOKEN  # a link, blanks: long runs that are one token, or none
    short = [place for place, text in enumerate(texts) if len(rows[place]) < network.length and len(text) > most]
    for place, row in zip(short, rows_of([seen_by(network, texts[place], whole=True) for place in short]), strict=True):
        rows[place] = row
    end = tokenizer.pad_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id
    return [np.asarray(row or [end], np.int32) for row in rows]  # a tokenizer without special tokens may find none
