"""Groups of products that are too alike to lie on both sides of a split.

Two products belong together when they have the same cleaned text, the same picture bytes, or pictures whose perceptual hashes
differ in at most 4 of 64 bits; whatever is linked through a third product belongs together too. Measured on the sample, within
4 bits every group is of one class, within 8 bits chains run through several classes.
"""

from collections.abc import Hashable, Iterable, Sequence
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from fusecat.stages.catalogue.collector import resting_collector
from fusecat.stages.catalogue.data_model import Catalogue, Product
from fusecat.stages.catalogue.image_index import ImageIndex

NEAR = 4
"""Bits of 64 that the hashes of one picture in two sizes or qualities may differ in."""

COMMON = 0.1
"""A text or picture that more than this share of the products has (and more than `FEW`) is a placeholder: it links nobody."""
FEW = 20

_BLOCKS = 7
"""64 bits in 7 blocks: of two hashes that differ in 4 bits, 3 whole blocks are equal. Sorting by each choice of 3 blocks (35
sorts, keys of 27 or 28 bits) brings all near pairs together and hardly any others."""


@resting_collector()
def duplicate_groups(catalogue: Catalogue, images: ImageIndex) -> NDArray[np.intp]:
    """(N,) group number per product, numbered by first product; a product like no other is a group of one."""
    products = catalogue.products
    limit = max(FEW, COMMON * len(products))
    texts = enumerate(product.told_apart for product in products)
    pairs = [_equal(texts, limit), *_picture_pairs(products, images, limit)]
    if catalogue.group_keys is not None:
        pairs.append(_equal(enumerate(catalogue.group_keys)))
    return _components(len(products), np.concatenate(pairs))


def groups_of(keys: Sequence[Hashable]) -> NDArray[np.intp]:
    """(N,) group number per product, by a key that each has or, None, has not."""
    return _components(len(keys), _equal(enumerate(keys)))


def _picture_pairs(products: Sequence[Product], images: ImageIndex, limit: float) -> list[NDArray[np.intp]]:
    """Pairs of products that share a picture, byte for byte or nearly. Flat pictures look like nothing, so like no other."""
    same, looks = [], []
    for number, product in enumerate(products):
        for path in product.images:
            facts = images.facts[path]
            if facts.cause is None:
                same.append((number, facts.sha256))
            if facts.phash is not None:
                looks.append((number, facts.phash))
    hashes, holders = np.unique(np.array([phash for _, phash in looks], dtype=np.uint64), return_inverse=True)
    likeness = _components(len(hashes), near_pairs(hashes))[holders]
    owners = np.array([number for number, _ in looks], dtype=np.intp)
    return [_equal(same, limit), _equal(zip(owners.tolist(), likeness.tolist(), strict=True), limit)]


def near_pairs(hashes: NDArray[np.uint64], near: int = NEAR) -> NDArray[np.intp]:
    """(P, 2) pairs of positions of distinct `hashes` that differ in at most `near` bits, each pair at least once.

    By the pigeonhole principle: never compares all with all.
    """
    edges = np.linspace(0, 64, _BLOCKS + 1).astype(int)
    masks = [np.uint64(((1 << int(high)) - 1) ^ ((1 << int(low)) - 1)) for low, high in pairwise(edges)]
    found = [np.empty((0, 2), np.intp)]
    for chosen in combinations(masks, _BLOCKS - near):
        keys = hashes & np.bitwise_or.reduce(np.array(chosen, np.uint64))
        order = np.argsort(keys, kind="stable")
        ranked, sorted_hashes = keys[order], hashes[order]
        left = np.arange(len(order) - 1)
        for distance in range(1, len(order)):
            left = left[left + distance < len(order)]
            left = left[ranked[left] == ranked[left + distance]]
            if not len(left):
                break
            near_ones = left[_bits(sorted_hashes[left] ^ sorted_hashes[left + distance]) <= near]
            found.append(np.stack([order[near_ones], order[near_ones + distance]], axis=1))
    return np.concatenate(found)


_ONES = np.array([bin(value).count("1") for value in range(1 << 16)], dtype=np.uint8)


def _bits(values: NDArray[np.uint64]) -> NDArray[np.intp]:
    """How many bits are set."""
    counts: NDArray[np.intp] = _ONES[values.view(np.uint16).reshape(-1, 4)].sum(axis=1, dtype=np.intp)
    return counts


def _equal(keys: Iterable[tuple[int, Hashable]], limit: float = np.inf) -> NDArray[np.intp]:
    """(P, 2) pairs that chain all products of one key; None is no key, and a key of more than `limit` products links nobody."""
    members: dict[Hashable, dict[int, None]] = {}
    for number, key in keys:
        if key is not None:
            members.setdefault(key, {})[number] = None
    pairs = [pair for group in members.values() if 1 < len(group) <= limit for pair in pairwise(group)]
    return np.array(pairs, dtype=np.intp).reshape(-1, 2)


def _components(count: int, pairs: NDArray[np.intp]) -> NDArray[np.intp]:
    """(count,) number of the connected component of each of `count` nodes, numbered by first node."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(pairs), dtype=np.int8), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, labels = connected_components(graph, directed=False)
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank: NDArray[np.intp] = np.argsort(np.argsort(first))[inverse]
    return rank
