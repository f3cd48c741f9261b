"""How stage two's cost grows with the catalogue: one epoch of baseline/concatenation, in memory and streamed.

    python -m benchmarks.growth [--products 1000000] [--picture FILE.svg]

Seven features of 64 columns (image: 128) in class order, from real feature files. Each size and way has a process of
its own, whose peak memory is counted above its imports. The window of the stream is 64 MiB.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.cache import TEXTS, make
from fusecat.cache.store import FeatureCache

SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
WIDTHS = {**dict.fromkeys(TEXTS, 64), "se_resnext50.image": 128}
WINDOW = 2**26


def one(folder: Path, way: str) -> None:
    """Gather and fit in this process, and print what it cost."""
    from fusecat.cache import stream
    from fusecat.stages.fusion.build_head import build_head
    from fusecat.stages.fusion.feasible import wiring_of
    from fusecat.stages.fusion.fit import fit
    from fusecat.stages.fusion.fit_data import gather
    from fusecat.stages.fusion.fit_settings import DEFAULT, Scaling
    from fusecat.stages.fusion.strategy import Strategy

    stream.FeatureStream.batches.__kwdefaults__["window"] = WINDOW
    imports = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cache, strategy = FeatureCache(folder), Strategy.parse("baseline/concatenation")
    start = time.perf_counter()
    table = cache.stream().table() if way == "streamed" else cache.table()
    features = wiring_of(strategy, WIDTHS).features
    fit_data = gather(table, features, ("train",), standardise=Scaling.COLUMN)
    loaded = time.perf_counter()
    fit(
        lambda: build_head(strategy, WIDTHS, len(fit_data.classes), DEFAULT),
        fit_data.vectors.select(features),
        fit_data.labels,
        fit_data.rows["fit"],
        fit_data.rows["validation"],
        replace(DEFAULT, epochs=1, patience=0),
    )
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - imports) / 1024
    print(json.dumps({"load": loaded - start, "epoch": time.perf_counter() - loaded, "peak": peak}))


def plot(found: dict[str, list[tuple[int, float, float]]], path: Path) -> None:
    """Seconds and memory over products, both axes logarithmic."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for (way, values), marker in zip(found.items(), "os", strict=True):
        products = [size for size, _, _ in values]
        left.loglog(products, [seconds for _, seconds, _ in values], marker=marker, label=way)
        right.loglog(products, [peak for _, _, peak in values], marker=marker, label=way)
    left.set(xlabel="products", ylabel="seconds per epoch, loading included", title="baseline/concatenation, 512 columns")
    right.set(xlabel="products", ylabel="peak MB above the imports", title="memory")
    left.legend()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", type=int, default=SIZES[-1], help="the largest size")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(Path(options.one[0]), options.one[1])
        return
    found: dict[str, list[tuple[int, float, float]]] = {"in memory": [], "streamed": []}
    for size in [size for size in SIZES if size <= options.products] or [options.products]:
        with tempfile.TemporaryDirectory() as folder:
            make(FeatureCache(Path(folder)), WIDTHS, size, 0.25)
            for way, values in found.items():
                words = [sys.executable, "-m", "benchmarks.growth", "--one", folder, way]
                seen = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
                seconds = seen["load"] + seen["epoch"]
                values.append((size, seconds, seen["peak"]))
                print(
                    f"{size:9d} products {way:10s} load {seen['load']:7.2f} s, epoch {seen['epoch']:7.2f} s: "
                    f"{1e6 * seconds / size:6.1f} s per million; peak {seen['peak']:7.0f} MB above the imports",
                    flush=True,
                )
    if options.picture:
        plot(found, options.picture)


if __name__ == "__main__":
    main()
