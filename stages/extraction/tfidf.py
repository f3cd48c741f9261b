"""The classical network: TF-IDF of words and characters, a logistic regression, and truncated SVD for the vector.

It is fitted by scikit-learn in seconds, kept in safetensors like any other, and answers what dear networks are worth.
Shapes: n texts, V terms, D width of the vector, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional as F

from fusecat.stages.errors import UsageError
from fusecat.stages.extraction.inputs import Inputs
from fusecat.stages.extraction.settings import Network


@dataclass(frozen=True, kw_only=True)
class TfidfShape:
    """`shape` of a TF-IDF network: which terms there are, and how freely they are weighed."""

    words: int = 2
    """Longest run of words that is a term; 0 = no words."""
    characters: int = 5
    """Longest run of characters within a word that is a term, from three on; 0 = none."""
    inverse_penalty: float = 10.0
    """C of scikit-learn's LogisticRegression; 1 to 100 were tried on validation, see benchmarks/RESULTS.md."""

    @classmethod
    def of(cls, network: Network) -> Self:
        """From a preset. Raises UsageError that names the key."""
        place, known = f"networks.{network.name}: shape", {field.name for field in fields(cls)}
        for key, value in network.shape.items():
            if key not in known:
                raise UsageError(f"{place}.{key} is none of {', '.join(sorted(known))}")
            most = 10**6 if key == "inverse_penalty" else 10
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
                raise UsageError(f"{place}.{key} = {value!r:.40} is no number from 0 to {most}")
        shape = cls(**network.shape)
        if shape.inverse_penalty == 0 or not (shape.words or shape.characters >= 3):
            raise UsageError(f"{place}: it needs words, or characters from 3 on, and an inverse_penalty above 0")
        return shape


@dataclass(frozen=True)
class TextBytes(Inputs):
    """Texts as they are; an absent one is None."""

    texts: Sequence[str | None]

    def example(self, row: int, generator: np.random.Generator | None) -> bytes:  # noqa: ARG002
        """The text in UTF-8."""
        return (self.texts[row] or "").encode()

    def collate(self, items: Sequence[bytes]) -> dict[str, Tensor]:
        """`text` uint8, one after the other, and `lengths` (n,) int64 in bytes."""
        return {
            "text": torch.from_numpy(np.frombuffer(b"".join(items), np.uint8).copy()),
            "lengths": torch.tensor([len(item) for item in items]),
        }


class TfidfNetwork(nn.Module):
    """From texts to vector and logits.

    `ngrams` (4,): shortest and longest run of words, then of characters; `sizes` (2,): terms of either kind; `terms`: all V of
    them in UTF-8, a line each; `idf` (V,), `projection` (V, D), `intercept` (C,), and `coefficients` (V, C), or (D, C) where
    the classes are so many that they are told from the vector.
    """

    ngrams: Tensor
    sizes: Tensor
    terms: Tensor
    idf: Tensor
    projection: Tensor
    coefficients: Tensor
    intercept: Tensor

    def __init__(self, state: Mapping[str, Tensor], *, lowercase: bool) -> None:
        super().__init__()
        for name in ("ngrams", "sizes", "terms"):
            self.register_buffer(name, state[name])
        for name in ("idf", "projection", "coefficients", "intercept"):
            self.register_parameter(name, nn.Parameter(state[name].float(), requires_grad=False))
        self.lowercase, self.width = lowercase, int(self.projection.shape[1])
        terms, classes = int(self.sizes.sum()), len(self.intercept)
        shapes = [tuple(state[name].shape) for name in ("ngrams", "sizes", "idf", "projection", "coefficients")]
        expected = [(4,), (2,), (terms,), (terms, self.width)]
        weighed_by = ([*expected, (terms, classes)], [*expected, (self.width, classes)])
        first, last, shortest, longest = self.ngrams.tolist() if shapes in weighed_by else (0, -1, 0, -1)
        doubled = any(len(set(part)) < len(part) for part in self._parts)
        if not 0 <= first <= last <= 10 or not 0 <= shortest <= longest <= 10 or len(self._terms) != terms or doubled:
            raise ValueError(f"its {len(self._terms)} terms and their weights do not go together")

    @cached_property
    def _terms(self) -> list[str]:
        return bytes(self.terms.numpy(force=True)).decode().split("\n")

    @property
    def _parts(self) -> tuple[list[str], list[str]]:
        """Words, and runs of characters."""
        words = max(0, int(self.sizes[0]))
        return self._terms[:words], self._terms[words:]

    @cached_property
    def _counters(self) -> list[Any]:
        first, last, shortest, longest = self.ngrams.tolist()
        kinds = zip(("word", "char_wb"), ((first, last), (shortest, longest)), self._parts, strict=True)
        return [counter_of(kind, ngrams, self.lowercase, vocabulary=terms) for kind, ngrams, terms in kinds if terms]

    def encode(self, text: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """`text` and `lengths` (B,) as `TextBytes` has them -> vector (B, D), logits (B, C)."""
        whole, ends = bytes(text.numpy(force=True)), lengths.cumsum(0).tolist()
        texts = [whole[start:end].decode() for start, end in zip([0, *ends], ends, strict=False)]
        counts = [counter.transform(texts) for counter in self._counters]
        rows = weighed(counts, self.idf.numpy(force=True))
        where = [torch.from_numpy(array.astype(np.int64)).to(text.device) for array in (rows.indices, rows.indptr[:-1])]
        values = torch.from_numpy(rows.data).to(text.device)

        def summed(weight: Tensor) -> Tensor:
            return F.embedding_bag(where[0], weight, where[1], mode="sum", per_sample_weights=values)

        vector = summed(self.projection)
        by_term = len(self.coefficients) == len(self.idf)
        return vector, (summed(self.coefficients) if by_term else vector @ self.coefficients) + self.intercept


def weighed(counts: Sequence[sparse.csr_matrix], idf: NDArray[np.float32]) -> sparse.csr_matrix:
    """Counts (n, V) of each kind of term -> TF-IDF (n, V): (1 + log count) x idf, each kind's rows of length one."""
    from sklearn.preprocessing import normalize

    blocks, start = [], 0
    for block in counts:
        values = (1 + np.log(block.data)) * idf[start + block.indices]
        found = sparse.csr_matrix((values.astype(np.float32), block.indices, block.indptr), shape=block.shape)
        blocks.append(normalize(found, copy=False))
        start += block.shape[1]
    rows = sparse.hstack(blocks, format="csr", dtype=np.float32)
    rows.sort_indices()  # sums of many numbers differ in their last bits with the order
    return rows


def counter_of(kind: str, ngrams: tuple[int, int], lowercase: bool, vocabulary: Sequence[str] | None = None) -> Any:  # noqa: FBT001
    """What counts terms of one kind (`word`, `char_wb`) in texts: those of `vocabulary`, or, once fitted, those that it met."""
    from sklearn.feature_extraction.text import CountVectorizer

    # \w+ and not scikit-learn's \w\w+: a size or a volume of one digit is a word here
    words = {"token_pattern": r"(?u)\b\w+\b"} if kind == "word" else {}
    return CountVectorizer(analyzer=kind, ngram_range=ngrams, lowercase=lowercase, vocabulary=vocabulary, **words)
