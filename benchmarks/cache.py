"""How fast the cache is, and what a table costs that does not fit into memory.

    python benchmarks/cache.py read                            # one feature, against read_direct
    python benchmarks/cache.py stream                          # seven features in class order, from disk and memory
    python benchmarks/cache.py stream --products 1000000       # the same at full size: 10.2 GB of vectors

`read` compares medians of interleaved readings of a warm file. `stream` plants a signal (a mean vector per class and normal
noise), sorts the products by class, and fits baseline/concatenation over all seven from disk and from memory, as `fuse` does,
each in its own process.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import click
import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from fusecat.cache.blocks import Block
from fusecat.cache.layout import PIECE, Header
from fusecat.cache.reading import SealedFile
from fusecat.cache.sealing import Content, seal
from fusecat.cache.store import FeatureCache
from fusecat.cache.stream import WINDOW, FeatureStream
from fusecat.cache.writing import Rows

CLASSES = tuple(str(number) for number in range(27))
PARTS = ("train", "head", "validation", "test")
TEXTS = [
    f"{network}.{field}" for network in ("camembert", "flaubert") for field in ("title", "description", "title_description")
]
WIDTHS = {**dict.fromkeys(TEXTS, 512), "se_resnext50.image": 2048}
SIGNAL = 0.045
"""Length of a class mean's components in units of the noise, so that one epoch of a linear head leaves room above and below."""


@click.group()
def main() -> None:
    """Measure the cache."""


@main.command()
@click.option("--products", default=20_000, show_default=True)
@click.option("--width", default=768, show_default=True)
@click.option("--repeats", default=9, show_default=True)
def read(products: int, width: int, repeats: int) -> None:
    """Read one feature whole."""
    with tempfile.TemporaryDirectory() as folder:
        cache, name = FeatureCache(Path(folder)), "camembert.title"
        make(cache, {name: width}, products)
        path = cache.path(name)

        def plain() -> None:
            with h5py.File(path) as file:
                for dataset in file.values():
                    dataset.read_direct(np.empty(dataset.shape, dataset.dtype))

        def unchecked() -> None:
            with SealedFile(path, name) as file:
                for dataset in file.header.digests:
                    file.raw(dataset)

        size = path.stat().st_size / 1e6
        ways: dict[str, Callable[[], object]] = {
            "plain read_direct": plain,
            "this project": unchecked,
            "with all checks": cache.table,
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(repeats):
            for way, call in ways.items():
                begin = time.perf_counter()
                call()
                seconds[way].append(time.perf_counter() - begin)
        base = statistics.median(seconds["plain read_direct"])
        print(f"{products} products x {width} float16, {size:.0f} MB, warm, median of {repeats}")
        for way, values in seconds.items():
            median = statistics.median(values)
            print(f"  {way:18} {median * 1e3:8.1f} ms {size / median:8.0f} MB/s {base / median:6.0%} of plain")


@main.command()
@click.option("--products", default=40_000, show_default=True)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Where the features are kept for another run; default: removed at the end.",
)
@click.option("--shrink", default=1, show_default=True, help="Divide widths and window by this: the same mixing in less time.")
@click.option("--window", default=WINDOW, show_default=True, help="Bytes of vectors held at a time.")
@click.option("--epochs", default=4, show_default=True, help="4: what `fuse` takes for a million products.")
@click.option("--rounds", default=1, show_default=True, help="Times that all ways take turns; medians are printed.")
@click.option("--batch", default=1024, show_default=True)
@click.option("--merge", default="concatenation", show_default=True, help="Of the baseline head; this one costs least of all.")
@click.option("--mapped", is_flag=True, help="Also from plain arrays that the system maps: as many bytes of disk again.")
def stream(
    products: int, folder: Path | None, shrink: int, window: int, epochs: int, rounds: int, batch: int, merge: str, mapped: bool
) -> None:
    """Train a head from disk, cold and warm, and from memory."""
    with tempfile.TemporaryDirectory() as temporary:
        cache = FeatureCache((folder or Path(temporary)) / f"features-{products}-{shrink}")
        if len(cache.names()) < len(WIDTHS):
            begin = time.perf_counter()
            make(cache, {name: width // shrink for name, width in WIDTHS.items()}, products, SIGNAL * shrink**0.5)
            print(f"written in {time.perf_counter() - begin:.0f} s")
        size = sum(cache.path(name).stat().st_size for name in WIDTHS) / 1e9
        print(f"{products} products in class order, {len(WIDTHS)} features, {size:.2f} GB")
        print(f"baseline/{merge}, batch {batch}, {epochs} epochs")
        ways = {"streamed, cold": ("stream", forget), "streamed, warm": ("stream", warm), "in memory": ("memory", warm)}
        if mapped:
            lay_out(cache)
            ways |= {"mapped, cold": ("mapped", forget), "mapped, warm": ("mapped", warm)}
        found: dict[str, list[dict[str, float]]] = {label: [] for label in ways}
        numbers = [str(number) for number in (window // shrink, epochs, batch)]
        for _ in range(rounds):
            for label, (mode, before) in ways.items():
                before(cache)
                words = [sys.executable, __file__, "train", mode, str(cache.folder), *numbers, merge]
                done = subprocess.run(words, check=True, capture_output=True, text=True)
                result = json.loads(done.stdout)
                found[label].append(result)
                print(
                    f"  {label:15} {result['rows_per_second']:9.0f} products/s in training ({result['opening']:.1f} s to open, "
                    f"{result['training']:.1f} s to train), macro-F1 {result['macro_f1']:.4f}, "
                    f"peak memory {result['peak_mb']:.0f} MB above the imports",
                    flush=True,
                )
        speed = {way: statistics.median(each["rows_per_second"] for each in results) for way, results in found.items()}
        for label in (label for label in ways if label != "in memory"):
            points = 100 * (found[label][0]["macro_f1"] - found["in memory"][0]["macro_f1"])
            ratio = speed[label] / speed["in memory"]
            print(f"  {label}: {ratio:.2f} of the in-memory speed (medians), {points:+.2f} points of macro-F1")


@main.command(hidden=True)
@click.argument("mode")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("window", type=int)
@click.argument("epochs", type=int)
@click.argument("batch", type=int)
@click.argument("merge")
def train(mode: str, folder: Path, window: int, epochs: int, batch: int, merge: str) -> None:
    """Fit the head in this process and print what it cost."""
    import torch
    from sklearn.metrics import f1_score

    from fusecat.stages.fusion.fit import fit, predict
    from fusecat.stages.fusion.fit_settings import DEFAULT
    from fusecat.stages.fusion.head import Head
    from fusecat.stages.fusion.in_memory import Vectors, identity
    from fusecat.stages.fusion.merges import merge_class
    from fusecat.stages.fusion.streamed import StreamedVectors
    from fusecat.stages.fusion.wiring import Wiring
    from fusecat.stages.vocabulary import Merge

    imports = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cache, begin = FeatureCache(folder), time.perf_counter()
    if mode == "stream":
        FeatureStream.batches.__kwdefaults__["window"] = window
        held = cache.stream(list(WIDTHS))
        widths, vectors = held.widths, StreamedVectors(held, identity(held.widths))
    else:
        held = cache.stream(list(WIDTHS)).table() if mode == "mapped" else cache.table(list(WIDTHS))
        widths = {name: each.width for name, each in held.features.items()}
        warnings.simplefilter("ignore")  # torch warns of arrays that may not be written to
        views = {name: torch.from_numpy(each.embedding) for name, each in held.features.items()}
        if mode == "mapped":
            views = {name: torch.from_numpy(np.load(plain(cache, name), mmap_mode="c")) for name in held.features}
        vectors = Vectors(views, {name: torch.from_numpy(each.present) for name, each in held.features.items()})
    opening = time.perf_counter() - begin
    settings = replace(DEFAULT, batch_size=batch, epochs=epochs, patience=0)

    def build() -> Head:
        return Head(Wiring((), tuple(sorted(WIDTHS))), widths, len(CLASSES), final=merge_class(Merge(merge)), settings=settings)

    rows, test, nothing = held.rows("train"), held.rows("test"), np.zeros(0, np.intp)
    fit(build, vectors, held.labels, rows[:64], nothing, settings)  # torch imports a great deal at its first step
    fitted = fit(build, vectors, held.labels, rows, nothing, settings)
    predicted = predict(fitted.head, vectors, test).argmax(1)
    found = {
        "opening": opening,
        "training": fitted.seconds,
        "rows_per_second": epochs * len(rows) / fitted.seconds,
        "macro_f1": float(f1_score(held.labels[test], predicted, average="macro")),
        "peak_mb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - imports) / 1024,
    }
    print(json.dumps(found))


def make(cache: FeatureCache, widths: dict[str, int], products: int, signal: float = SIGNAL) -> None:
    """Write features of made-up products, sorted by class, class sizes from 1 to 13 as in a real catalogue."""
    random = np.random.default_rng(2020)
    shares = np.geomspace(1, 13, len(CLASSES))
    labels = np.sort(random.choice(len(CLASSES), products, p=shares / shares.sum())).astype(np.int32)
    split = random.choice([0, 2, 3], products, p=[0.7, 0.1, 0.2]).astype(np.uint8)
    rows = Rows([f"{number:07d}" for number in range(products)], labels, split, CLASSES, PARTS)
    for number, (name, width) in enumerate(widths.items()):
        dice = np.random.default_rng(number)
        means = signal * dice.standard_normal((len(CLASSES), width), np.float32)

        def blocks(dice: np.random.Generator = dice, means: np.ndarray = means, width: int = width) -> Iterator[Block]:
            for start in range(0, products, PIECE):
                cut = labels[start : start + PIECE]
                vectors = dice.standard_normal((len(cut), width), np.float32) + means[cut]
                yield Block(vectors, np.zeros((len(cut), len(CLASSES)), np.float32), np.ones(len(cut), bool))

        header = Header(name, CLASSES, PARTS, {"benchmark": 1}, "", ("train",), {}, {})
        columns = rows.columns() | {"present": np.ones(products, bool)}
        cache.folder.mkdir(parents=True, exist_ok=True)
        seal(cache.path(name), Content(header, columns, blocks(), width, len(CLASSES), np.dtype("<f2")))


def plain(cache: FeatureCache, name: str) -> Path:
    """Where the vectors of a feature lie as a plain array."""
    return cache.path(name).with_suffix(".npy")


def lay_out(cache: FeatureCache) -> None:
    """Write the vectors of all features as plain arrays."""
    for name in WIDTHS:
        if not plain(cache, name).exists():
            np.save(plain(cache, name), cache.table([name]).features[name].embedding)


def files(cache: FeatureCache) -> list[Path]:
    """All files with vectors."""
    return [path for name in WIDTHS for path in (cache.path(name), plain(cache, name)) if path.exists()]


def forget(cache: FeatureCache) -> None:
    """Drop the files from the system's memory, so that the next reading comes from the disk."""
    for path in files(cache):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def warm(cache: FeatureCache) -> None:
    """Read the files once: a system short of memory, or eager to save it, may have dropped some."""
    for path in files(cache):
        with path.open("rb", buffering=0) as file:
            while file.read(2**24):
                pass


if __name__ == "__main__":
    main()
