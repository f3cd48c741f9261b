"""How names of pictures are made of the cells of a row: `images/{sku}`, `image_{imageid}_product_{productid}`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, product

from fusecat.stages.catalogue.columns import holes
from fusecat.stages.catalogue.image_files import PictureTree, UnsafeNameError, plain_token

MOST = 5000
"""Names of pictures that are compared with the sample."""
MOST_WAYS = 24
"""Ways to write a name as cells that are tried."""

_TOKEN = re.compile(r"[^\W_]+")


def picture_template(values: Mapping[str, Sequence[str]], tree: PictureTree) -> str | None:
    """The template that leads from most rows to a picture of their own; None where fewer than half of them have one.

    `values`: column -> cells, of the first rows.
    """
    count = max(map(len, values.values()), default=0)
    ways: dict[str, None] = {}
    for path in islice(tree.pictures(), MOST):
        for way in _ways(path, values):
            ways[way] = None
        if len(ways) >= MOST_WAYS:
            break
    best, most = None, count / 2
    for way in ways:
        found = [hit for row in range(count) if (hit := _found(way, values, row, tree))]
        if len(set(found)) == len(found) and len(found) >= max(1, most) and (best is None or len(found) > most):
            best, most = way, len(found)
    return best


def _ways(path: str, values: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The ways to write the name of a picture as cells of one row."""
    folder, slash, name = path.rpartition("/")
    stem = name.rpartition(".")[0]
    columns = {column: cells for column, cells in values.items() if column and not {"{", "}"} & set(column)}
    for column, cells in columns.items():
        if stem in cells:
            yield f"{folder}{slash}{{{column}}}"
            yield f"{{{column}}}"
    tokens = _TOKEN.findall(stem)
    rows = {row for token in tokens for cells in columns.values() for row, cell in enumerate(cells) if cell == token}
    for row in sorted(rows)[:3]:
        named = [[column for column, cells in columns.items() if cells[row] == token][:3] or [""] for token in tokens]
        for choice in islice(product(*named), 9):
            pieces = iter(choice)
            way = _TOKEN.sub(lambda found, pieces=pieces: f"{{{column}}}" if (column := next(pieces)) else found[0], stem)  # type: ignore[misc]
            if holes(way) and len(set(holes(way))) == len(holes(way)):
                yield f"{folder}{slash}{way}"
                yield way


def _found(way: str, values: Mapping[str, Sequence[str]], row: int, tree: PictureTree) -> str | None:
    name = way
    try:
        for column in holes(way):
            name = name.replace(f"{{{column}}}", plain_token(values[column][row]))
        hits = tree.find(name)
    except UnsafeNameError:
        return None
    return str(hits[0]) if len(hits) == 1 else None
