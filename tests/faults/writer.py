"""The smallest program that extracts: `python -m tests.faults.writer FOLDER`, with options as below.

It computes blocks of made-up vectors, stores them and seals, as stage one does, and runs under the error handling of the real
command line. For every block that it computes it prints the number.
"""

import sys
import time
from pathlib import Path

import click
import numpy as np

from fusecat.cache.store import FeatureCache, Rows
from fusecat.pipeline import cli

FEATURE = "camembert.title"
BLOCK = 16
WIDTH = 8


def made_up(rows: range, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors, logits and presence that only row and seed decide."""
    cells = np.array(rows, np.float32)[:, None] + np.arange(WIDTH, dtype=np.float32) / 10 + seed
    return np.sin(cells), np.cos(cells[:, :2]), np.array(rows) % 5 != 0


def study(count: int) -> Rows:
    numbers = np.arange(count)
    return Rows(
        [f"p{number}" for number in numbers], numbers % 2, numbers % 4, ("a", "b"), ("train", "head", "validation", "test")
    )


def write(folder: Path, count: int, seed: int, block: int = BLOCK, pause: float = 0.0) -> int:
    """Extract, unless it is there already. Returns the number of blocks that were computed."""
    cache, recipe, computed = FeatureCache(folder), {"seed": seed, "rows": count}, 0
    with cache.lock(FEATURE):
        if cache.holds(FEATURE, recipe):
            return 0
        writer = cache.writer(FEATURE, recipe, study(count), block=block)
        for number, rows in writer.missing():
            computed += 1
            time.sleep(pause)
            writer.put(number, *made_up(rows, seed))
        writer.seal(weights="", fitted_on=["train"], versions={})
    return computed


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--rows", default=40)
@click.option("--block", default=BLOCK)
@click.option("--pause", default=0.0)
@click.option("--recipe", default=0)
def command(folder: Path, rows: int, block: int, pause: float, recipe: int) -> None:
    click.echo(write(folder, rows, recipe, block, pause))


if __name__ == "__main__":
    sys.modules["fusecat.pipeline.commands.write"] = sys.modules["__main__"]
    cli.COMMANDS["write"] = "Extract made-up vectors."
    sys.argv.insert(1, "write")
    cli.main()
