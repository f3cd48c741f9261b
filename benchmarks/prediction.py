"""What classifying new products costs: the head beside extraction, memory at a million rows, a second call.

    python -m benchmarks.prediction head                              # seconds per 1,000 products: extraction, heads
    python -m benchmarks.prediction rows --rows 100000 300000 1000000 # `fusecat predict --vectors`: time and peak memory
    python -m benchmarks.prediction again                             # the shipped sample twice, then with 1 % new products
    python -m benchmarks.prediction grown                             # 100,000 texts through a network, then 1,000 more
    python -m benchmarks.prediction grown --base --products 10000     # the same, base-size, texts cut at `--length` 64 tokens

`head`: CamemBERT-base and SE-ResNeXt-50 with random weights, one thread. `rows`: two features of `--width` columns; the peak is
that of the command's own process above what it holds once everything is imported. `again`: preset `tiny`, an epoch each.
"""

import argparse
import csv
import dataclasses
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

CLASSES = 27
LABELLED = 40
"""Products per class of the study whose head predicts."""
FEATURES = {"camembert.title": 768, "camembert.description": 768, "se_resnext50.image": 2048}
STRATEGY = "hierarchical/concatenation/average"
BASE = """
base = "tiny"
[networks.camembert]
length = {length}
shape = {{ hidden_size = 768, num_hidden_layers = 12, num_attention_heads = 12, intermediate_size = 3072 }}
"""
COMMAND = """
import sys
from pathlib import Path
def memory(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024
import fusecat.pipeline.cli, fusecat.pipeline.commands.predict, fusecat.pipeline.report.comparison
import fusecat.stages.prediction.formats, scipy.stats, sklearn.metrics
from fusecat.pipeline.commands._progress import Ticker
from fusecat.stages.prediction import load_model
from fusecat.stages.extraction.quiet import quieten
quieten()
before = memory("VmRSS")
try:
    fusecat.pipeline.cli.main()
except SystemExit as end:
    if end.code:
        raise
print(f"{before:.0f} {memory('VmHWM'):.0f}", file=sys.stderr)
"""


def main() -> None:
    parts: dict[str, Callable[[argparse.Namespace], None]] = {"head": head, "rows": rows, "again": again, "grown": grown}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=parts)
    parser.add_argument("--texts", type=int, default=40)
    parser.add_argument("--products", type=int, default=100_000)
    parser.add_argument("--base", action="store_true")
    parser.add_argument("--length", type=int, default=64, help="grown --base: tokens at which texts are cut")
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 300_000, 1_000_000])
    parser.add_argument("--catalogue", action="store_true", help="rows: name a CATALOG with texts too")
    parser.add_argument("--width", type=int, default=32)
    options = parser.parse_args()
    torch.set_num_threads(1)
    parts[options.part](options)


def head(options: argparse.Namespace) -> None:
    """One text and one picture per product against the heads of 1 and of 5 seeds on three vectors."""
    texts, images = extraction(options)
    print(f"extraction, seconds per 1,000: texts {texts * 1000:.1f}, pictures {images * 1000:.1f}")
    from fusecat.cache.table import Feature
    from fusecat.stages.fusion.build_head import build_head
    from fusecat.stages.fusion.fit_settings import FitSettings
    from fusecat.stages.fusion.predictor import TrainedHead
    from fusecat.stages.fusion.strategy import Strategy
    from fusecat.stages.prediction import Model

    dice, count, strategy = np.random.default_rng(0), 8192, Strategy.parse(STRATEGY)
    features, scaling = {}, {}
    for name, width in FEATURES.items():
        vectors = dice.normal(size=(count, width)).astype(np.float16)
        features[name] = Feature(name, vectors, dice.random(count) < 0.9, None, fitted_on=None)
        scaling[name] = (np.zeros(width, np.float32), np.ones(width, np.float32))
    classes = tuple(map(str, range(CLASSES)))
    for seeds in (1, 5):
        heads = [build_head(strategy, FEATURES, CLASSES, FitSettings()).eval() for _ in range(seeds)]
        trained = {seed: TrainedHead(strategy, classes, each, scaling, FitSettings()) for seed, each in enumerate(heads)}
        model = Model(strategy.name, classes, trained, {}, {}, np.full(CLASSES, 1 / CLASSES, np.float32), ("train",))
        seconds = min(timed(lambda: model.probabilities(features)) for _ in range(3)) / count  # noqa: B023
        share = seconds / (texts + images)
        print(f"{strategy.name}, {seeds} seeds: {seconds * 1000:.4f} s per 1,000 products, {share:.3%} of extraction")


def extraction(options: argparse.Namespace) -> tuple[float, float]:
    """Seconds per text and per picture: tokenising or decoding, and the network."""
    from benchmarks.product_texts import network, prepare, texts
    from benchmarks.stage_one import Memory
    from benchmarks.stage_one_images import write_jpeg
    from fusecat.pipeline.presets.preset import load_preset
    from fusecat.stages.extraction.build_network import build_image_network
    from fusecat.stages.extraction.embed import Inference, embed
    from fusecat.stages.extraction.inputs import Images
    from fusecat.stages.extraction.settings import Extraction
    from fusecat.stages.extraction.tokenising import tokenise

    def run(model, inputs, count: int, budget: int) -> None:
        inference = Inference("benchmark", CLASSES, budget, torch.device("cpu"), "fp32")
        embed(model, inputs, np.ones(count, bool), Memory(count), inference)

    with tempfile.TemporaryDirectory() as folder:
        sentences = texts(options.texts)
        model, inputs, tokenizer = prepare("camembert", sentences, Path(folder))

        def read() -> None:
            tokens = tokenise(tokenizer, network("camembert"), sentences, 0)
            run(model, dataclasses.replace(inputs, tokens=tokens), len(sentences), Extraction().tokens)

        (entry,) = load_preset("modern").select(["se_resnext50"]).networks
        looker = build_image_network(dataclasses.replace(entry, weights="new", revision=None), CLASSES).eval()
        paths = [(write_jpeg(Path(folder) / f"{number}.jpg", number),) for number in range(options.images)]
        pictures = Images(paths, entry.size, entry.resize, augment=False, max_pixels=40_000_000)
        look = timed(lambda: run(looker, pictures, len(paths), Extraction().images))
        return timed(read) / len(sentences), look / len(paths)


def rows(options: argparse.Namespace) -> None:
    """A study of imported vectors, then `fusecat predict --vectors` in a process of its own for each number of rows."""
    with tempfile.TemporaryDirectory() as name:
        folder, dice = Path(name), np.random.default_rng(0)
        centres = dice.normal(size=(CLASSES, options.width)).astype(np.float32)
        features = ("mine.title_description", "mine.image")
        vectors(folder, "old", centres, np.arange(CLASSES * LABELLED) % CLASSES, features)
        for feature in features:
            files = ["--vectors", folder / f"{feature}.old.npy", "--ids", folder / "old.csv", "--labels", folder / "old.csv"]
            fusecat("import", "--name", feature, "--fitted-on", "none", *files, "--workspace", folder / "w")
        fusecat("fuse", "--fusion", "average", "--architecture", "baseline", "--seeds", 1, "--workspace", folder / "w")
        for count in options.rows:
            vectors(folder, "new", centres, dice.integers(0, CLASSES, count), features)
            given = [word for feature in features for word in ("--vectors", f"{feature}={folder / feature}.new.npy")]
            where = ["--workspace", folder / "w", "--strategy", "baseline/average", "--output", folder / "out.csv"]
            named = table(folder / "products.csv", count) if options.catalogue else []
            words = ["predict", *named, *given, "--ids", folder / "new.csv", *where]
            begin = time.perf_counter()
            command = [sys.executable, "-c", COMMAND, *map(str, words)]
            done = subprocess.run(command, check=False, text=True, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
            if done.returncode:
                sys.exit(done.stderr)
            seconds = time.perf_counter() - begin
            imports, peak = map(int, done.stderr.split()[-2:])
            size = (folder / "out.csv").stat().st_size / 1e6
            print(
                f"{count:>9,} rows of 2 x {options.width}: {seconds:.1f} s, peak {peak:,} MiB, {peak - imports:,} MiB above "
                f"imports, {(peak - imports) * 2**20 / count:,.0f} bytes per row; file of {size:,.0f} MB",
                flush=True,
            )


def table(path: Path, count: int) -> list[object]:
    """A table of products with a title of eight words and a description of forty; how it is named on the command line."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "title", "description"])
        for number in range(count):
            words = [f"mot{number}", *(f"mot{number % place}" for place in range(2, 49))]
            writer.writerow([f"product-{number:08d}", " ".join(words[:8]), " ".join(words[8:])])
    return [path, "--columns", "id=id,title=title,description=description"]


def vectors(folder: Path, name: str, centres: np.ndarray, labels: np.ndarray, features: tuple[str, ...]) -> None:
    """A file of vectors (n, W) per feature, noise around the mean of their class, and a table of ids and labels."""
    dice = np.random.default_rng(len(labels))
    for feature in features:
        array = np.lib.format.open_memmap(folder / f"{feature}.{name}.npy", "w+", np.float32, (len(labels), centres.shape[1]))
        for start in range(0, len(labels), 65536):
            part = labels[start : start + 65536]
            array[start : start + len(part)] = centres[part] + 2 * dice.normal(size=(len(part), centres.shape[1]))
        del array
    with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "label"])
        writer.writerows((f"product-{number:08d}", 10 + label) for number, label in enumerate(labels.tolist()))


def again(options: argparse.Namespace) -> None:  # noqa: ARG001
    """Predict the sample, the sample again, and the sample reversed with one new product in a hundred."""
    from fusecat.pipeline.console import default_catalogue

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sample = Path(shutil.copytree(default_catalogue(), folder / "sample"))
        where = ["--workspace", folder / "w"]
        fusecat("extract", sample, "--networks", "camembert,se_resnext50", "--epochs", 1, *where)
        fusecat("fuse", "--fusion", "average", "--architecture", "hierarchical", "--seeds", 1, *where)
        words = ["predict", sample, *where, "--strategy", STRATEGY, "--output", folder / "out.csv", "--json"]
        whole, inside = _predict("first call", words)
        for what in ("the same file again", "in another order, 1 % new"):
            seconds, without = _predict(what, words)
            print(f"  {seconds / whole:.0%} of the first call; {without / inside:.0%} of its encoding and answering")
            _grow(sample / "X_train.tsv")


def grown(options: argparse.Namespace) -> None:
    """Predict products of 48 words with one text network, then the same and one new product in a hundred."""
    from fusecat.pipeline.console import default_catalogue

    count = options.products
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        where = ["--workspace", folder / "w"]
        study = ["--networks", "camembert", "--images", "none", "--epochs", 1]
        if options.base:
            (folder / "base.toml").write_text(BASE.format(length=options.length), encoding="utf-8")
            study += ["--preset", folder / "base.toml", "--fields", "title_description", "--freeze"]
        fusecat("extract", default_catalogue(), *study, *where)
        fusecat("fuse", "--fusion", "average", "--seeds", 1, *where)
        named = table(folder / "new.csv", count)
        words = ["predict", *named, *where, "--images", "none", "--strategy", "probe/camembert.title_description"]
        words += ["--output", folder / "out.csv", "--json"]
        whole, inside = _predict(f"{count} products", words)
        table(folder / "new.csv", count + count // 100)
        seconds, without = _predict(f"{count // 100} more", words)
        print(f"  {seconds / whole:.1%} of the first call; {without / inside:.1%} of its encoding and answering")


def _predict(what: str, words: list[object]) -> tuple[float, float]:
    """Seconds of the whole command, and of encoding and answering in it."""
    begin = time.perf_counter()
    found = fusecat(*words)
    whole = time.perf_counter() - begin
    print(f"{what}: {whole:.1f} s in all, {found['seconds']:.1f} s of encoding and answering; newly encoded {found['encoded']}")
    return whole, found["seconds"]


def _grow(path: Path) -> None:
    """Turn the table round and let one product in a hundred follow that has a new text and another's picture."""
    with path.open(encoding="utf-8", newline="") as file:
        table = csv.DictReader(file, delimiter="\t")
        lines = list(table)[::-1]
    new = [
        line | {"Integer_id": str(10**6 + at), "Title": f"Nouveau {line['Title']} {at}"} for at, line in enumerate(lines[::100])
    ]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows([*lines, *new])


def fusecat(*words: object) -> Any:
    """The command in a process of its own; its JSON, where it was asked for."""
    command = [sys.executable, "-m", "fusecat", *map(str, words)]
    done = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout) if "--json" in words else None


def timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
