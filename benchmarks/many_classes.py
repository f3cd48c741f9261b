"""What stage two takes of disk, memory and patience where products and classes are many.

    python -m benchmarks.many_classes [--products 60000] [--classes 3000] [--seeds 2]

Two features of 64 columns with logits, as a network gives them that is right for 6 products in 10 and sure of some. A process
of its own fits baseline/average, probes, uni-modal rows, the mean, the calibrated mean, the vote and the selection, then writes
the report. Told are bytes per run, peak memory of the process and the longest time in which it said nothing.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.cache import PARTS
from fusecat.cache.blocks import Block
from fusecat.cache.layout import PIECE, Header
from fusecat.cache.sealing import Content, seal
from fusecat.cache.store import FeatureCache
from fusecat.cache.writing import Rows

NAMES = ("camembert.title_description", "se_resnext50.image")
WIDTH = 64
STRATEGIES = ("baseline/average", *(f"{kind}/{name}" for kind in ("probe", "unimodal") for name in NAMES))
LATE = ("mean", "calibrated", "vote", "selection")


def make(cache: FeatureCache, products: int, classes: int) -> None:
    """Write both features: class sizes from 1 to 30, logits of a few classes high and the others noise."""
    dice = np.random.default_rng(2020)
    shares = np.geomspace(1, 30, classes)
    labels = np.concatenate([np.arange(classes), dice.choice(classes, products - classes, p=shares / shares.sum())])
    labels = dice.permutation(labels).astype(np.int32)
    split = dice.choice([0, 2, 3], products, p=[0.68, 0.16, 0.16]).astype(np.uint8)
    names = tuple(f"{number:05d}" for number in range(classes))
    rows = Rows([f"{number:07d}" for number in range(products)], labels, split, names, PARTS)
    cache.folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(NAMES):
        random = np.random.default_rng(number)
        means = random.standard_normal((classes, WIDTH), np.float32)

        def blocks(random: np.random.Generator = random, means: np.ndarray = means) -> Iterator[Block]:
            for start in range(0, products, PIECE):
                cut = labels[start : start + PIECE]
                logits = random.standard_normal((len(cut), classes), np.float32)
                seen = np.where(random.random(len(cut)) < 0.6, cut, random.integers(0, classes, len(cut)))
                logits[np.arange(len(cut)), seen] += random.uniform(4, 14, len(cut)).astype(np.float32)
                vectors = means[seen] + random.standard_normal((len(cut), WIDTH), np.float32)
                yield Block(vectors, logits, np.ones(len(cut), bool))

        header = Header(name, names, PARTS, {"benchmark": 1}, "", ("train",), {}, {})
        columns = rows.columns() | {"present": np.ones(products, bool)}
        seal(cache.path(name), Content(header, columns, blocks(), WIDTH, classes, np.dtype("<f2")))


def one(root: Path, seeds: int) -> None:
    """Fuse and report in this process, and print how much memory it took at most."""
    from psutil import virtual_memory

    from fusecat.pipeline.report.comparison import compare
    from fusecat.pipeline.report.output import write_report
    from fusecat.stages.fusion.fuse import fuse
    from fusecat.stages.fusion.runs import Runs
    from fusecat.stages.fusion.strategy import Strategy
    from fusecat.stages.progress import heartbeat

    imports = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cache = FeatureCache(root / "features")
    streamed = 2 * sum(cache.path(name).stat().st_size for name in NAMES) > virtual_memory().available / 2
    strategies = [Strategy.parse(name) for name in (*STRATEGIES, *(f"late/{late}" for late in LATE))]
    with heartbeat():
        table = cache.stream().table() if streamed else cache.table()
        loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        fuse(table, strategies, Runs(root / "runs"), seeds=seeds, processes=1, progress=lambda *_: print("a run", flush=True))
        (root / "study.json").write_text('{"metric": "macro-f1"}', encoding="utf-8")
        fused = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        del table
        print("fused", flush=True)
        write_report(compare(root))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sizes = [size / 1024 for size in (imports, loaded, fused, peak)]
    print(json.dumps(dict(zip(("imports", "table", "fused", "peak"), sizes, strict=True)) | {"streamed": streamed}), flush=True)


def watched(words: list[str]) -> tuple[dict[str, float], float, str, float]:
    """What the process says at the end, its longest silence with what came after it, and its seconds."""
    begun = last = time.monotonic()
    silence, after, line = 0.0, "", ""
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for said in process.stdout:
            now, line = time.monotonic(), said
            if now - last > silence:
                silence, after = now - last, said.strip()
            last = now
    if process.returncode:
        sys.exit(f"it ended with {process.returncode}: {line}")
    return json.loads(line), silence, after, last - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", type=int, default=60_000)
    parser.add_argument("--classes", type=int, default=3_000)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where the made features are kept for another time")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(options.one, options.seeds)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        root = Path(folder)
        kept = (options.folder or root) / f"features-{options.products}-{options.classes}"
        if not kept.exists():
            make(FeatureCache(kept), options.products, options.classes)
        (root / "features").symlink_to(kept.absolute())
        words = [sys.executable, "-m", "benchmarks.many_classes", "--one", str(root), "--seeds", str(options.seeds)]
        sizes, silence, after, seconds = watched(words)
        way = "streamed" if sizes["streamed"] else "in memory"
        print(f"{options.products} products, {options.classes} classes, {options.seeds} seeds, {way}")
        for path in sorted((root / "runs").glob("**/predictions.npz")):
            print(f"  {path.stat().st_size / 1e6:9.1f} MB {path.parent.relative_to(root / 'runs')}")
        told = ", ".join(f"{name} {size:.0f} MB" for name, size in sizes.items() if name != "streamed")
        print(f"  memory at most after each: {told}; longest silence {silence:.1f} s, before '{after}'; {seconds:.0f} s in all")


if __name__ == "__main__":
    main()
