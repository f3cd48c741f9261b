"""Stage one beside the usual ways: the same weights and products, in turns, in one process.

    python -m benchmarks.stage_one extraction  # CamemBERT: ours, padded to 256, sentence-transformers (if installed)
    python -m benchmarks.stage_one flaubert    # FlauBERT: ours, padded to 256
    python -m benchmarks.stage_one padding     # real tokens per computed token, counted for a whole catalogue
    python -m benchmarks.stage_one tokenising  # one process, two processes
    python -m benchmarks.stage_one finetuning  # training steps: grouped by length, padded to 256
    python -m benchmarks.stage_one images      # decode, resize, normalise: ours, PIL + torchvision; one and two workers
    python -m benchmarks.stage_one estimate    # hours on a GPU from counted FLOPs (benchmarks.stage_one_estimate)

`--texts N`, `--images N`, `--rounds N`, `--layers N` (of 12) keep it small. Networks are base-size with random weights.
"""

import argparse
import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from benchmarks.product_texts import PRODUCTS, network, prepare, texts
from stages.encoders.build import IMAGENET_DEVIATION, IMAGENET_MEAN, build_text_network, load_tokenizer
from stages.encoders.embed import batches, embed
from stages.encoders.finetune import Lesson, finetune
from stages.encoders.inputs import Images, Texts, tokenise
from stages.encoders.networks import ImageNetwork
from stages.encoders.progress import silent
from stages.encoders.quiet import quieten
from stages.encoders.settings import Extraction
from stages.vocabulary import Metric

quieten()
LENGTH, USUAL, BLOCK, BUDGET = 256, 32, Extraction().block, Extraction().tokens


class Padded(Texts):
    """Every text padded to 256 tokens, as the usual training script does."""

    def collate(self, items):
        batch = super().collate(items)
        room = LENGTH - batch["input_ids"].shape[1]
        pad = torch.nn.functional.pad
        return {
            "input_ids": pad(batch["input_ids"], (0, room), value=self.pad),
            "attention_mask": pad(batch["attention_mask"], (0, room)),
        }


def padded(inputs: Texts) -> Padded:
    return Padded(**{field.name: getattr(inputs, field.name) for field in dataclasses.fields(inputs)})


class Memory:
    """Takes blocks in the cache's place."""

    def __init__(self, count: int) -> None:
        self.blocks = [(number, range(start, min(start + BLOCK, count))) for number, start in enumerate(range(0, count, BLOCK))]
        self.vectors: list[np.ndarray] = []

    def missing(self):
        return iter(self.blocks)

    def put(self, number, vectors, logits, present):  # noqa: ARG002
        self.vectors.append(vectors)


Seconds = dict[str, tuple[float, float]]
"""Way -> seconds by the clock, and of this process's processor time: on a busy machine the second one is to be trusted."""


def in_turns(ways: dict[str, Callable[[], object]], rounds: int) -> Seconds:
    """Median seconds of each way."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start, spent = time.perf_counter(), time.process_time()
            way()
            found[name].append((time.perf_counter() - start, time.process_time() - spent))
    return medians(found)


def medians(found: dict[str, list[tuple[float, float]]]) -> Seconds:
    return {name: tuple(map(statistics.median, zip(*values, strict=True))) for name, values in found.items()}  # type: ignore[misc]


def show(seconds: Seconds, count: int, ours: str, unit: str) -> None:
    for name, (clock, spent) in seconds.items():
        by_clock, by_processor = clock / seconds[ours][0], spent / seconds[ours][1]
        print(f"{name:40} {count / clock:8.2f} {unit}/s, ours {by_clock:.2f}x (clock) {by_processor:.2f}x (processor)")


def extraction(options: argparse.Namespace, name: str = "camembert") -> None:
    sentences = texts(options.texts)
    with tempfile.TemporaryDirectory() as folder:
        model, inputs, tokenizer = prepare(name, sentences, Path(folder), options.layers)
        entry = network(name)
        kept: dict[str, np.ndarray] = {}

        def ours() -> None:
            again = dataclasses.replace(inputs, tokens=tokenise(tokenizer, entry, sentences, 0))
            memory = Memory(len(sentences))
            present, cpu = np.ones(len(sentences), bool), torch.device("cpu")
            rest = {"classes": 27, "budget": BUDGET, "device": cpu, "precision": "fp32", "progress": silent, "feature": name}
            embed(model, again, present, memory, **rest)
            kept["ours"] = np.concatenate(memory.vectors)

        def usual() -> None:
            wide = padded(dataclasses.replace(inputs, tokens=tokenise(tokenizer, entry, sentences, 0)))
            with torch.inference_mode():
                for start in range(0, len(sentences), USUAL):
                    rows = range(start, min(start + USUAL, len(sentences)))
                    model.encode(**wide.collate([wide.example(row, None) for row in rows]))

        ways: dict[str, Callable[[], object]] = {"ours": ours, "padded to 256, batches of 32": usual}
        if name == "camembert":
            ways |= peers(model, Path(folder), sentences, kept, options.batches)
        seconds = in_turns(ways, options.rounds)
    show(seconds, len(sentences), "ours", "texts")
    for other, vectors in kept.items():
        print(f"largest difference of {other}'s vectors to ours: {np.abs(vectors - kept['ours']).max():.1e}")
    print(f"real tokens per computed token: {density(inputs, len(sentences)):.3f}")


def peers(model, folder: Path, sentences: list[str], kept: dict[str, np.ndarray], sizes: list[int]):
    """sentence-transformers' encode() on the same weights, at its default batch size and at others."""
    try:
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    except ImportError:
        print("sentence-transformers >= 6 is not installed, so it is left out: pip install 'sentence-transformers>=6'")
        return {}
    model.backbone.save_pretrained(folder)
    body = Transformer(str(folder), max_seq_length=LENGTH)
    peer = SentenceTransformer(modules=[body, Pooling(768, pooling_mode="mean")], device="cpu")

    def encode(size: int) -> None:
        kept["sentence-transformers"] = peer.encode(sentences, batch_size=size, show_progress_bar=False)

    names = {size: f"sentence-transformers, {size}" + (" (its default)" if size == USUAL else "") for size in sizes}
    return {names[size]: lambda size=size: encode(size) for size in sizes}


def density(inputs: Texts, count: int) -> float:
    """Real tokens per computed token of our extraction batches."""
    real = computed = 0
    for _, rows in Memory(count).blocks:
        costs = [inputs.cost(row) for row in rows]
        real += sum(costs)
        computed += sum(max(inputs.cost(row) for row in cut) * len(cut) for cut in batches(rows, costs, BUDGET))
    return real / computed


def padding(options: argparse.Namespace) -> None:
    sentences = texts(options.texts)
    with tempfile.TemporaryDirectory() as folder:
        _, inputs, _ = prepare("camembert", sentences, Path(folder), 1)
    sizes = np.array([inputs.cost(row) for row in range(len(sentences))])
    words = sum(len(text.split()) for text in sentences)
    print(f"{len(sizes):,} texts, {words / len(sizes):.0f} words and {sizes.mean():.0f} tokens in the mean (cut at 256)")
    print(f"real tokens per computed token: ours {density(inputs, len(sizes)):.3f}, padded to 256 {sizes.mean() / LENGTH:.3f}")


def tokenising(options: argparse.Namespace) -> None:
    sentences = texts(options.texts)
    for name in ("flaubert", "camembert"):
        with tempfile.TemporaryDirectory() as folder:
            _, _, tokenizer = prepare(name, sentences[:2000], Path(folder), 1)
        entry = network(name)
        ways = {f"{name}, one process": lambda: tokenise(tokenizer, entry, sentences, 0)}  # noqa: B023
        ways[f"{name}, two processes, start included"] = lambda: tokenise(tokenizer, entry, sentences, 2)  # noqa: B023
        seconds = in_turns(ways, options.rounds)
        show(seconds, len(sentences), f"{name}, two processes, start included", "texts")


class Enough(Exception):
    """The steps that were to be timed are done."""


def finetuning(options: argparse.Namespace) -> None:
    """Real `finetune`, as many steps as one group of like lengths holds: a random sample of texts, from long to short."""
    count = 32 * USUAL
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _, inputs, _ = prepare("camembert", texts(count), folder, 1)
        tokenizer_folder = folder

        def steps(how: Texts, number: int, *, grouped: bool) -> tuple[float, float]:
            """Seconds per product over `number` steps, by clock and processor."""
            model = build(options.layers, tokenizer_folder)
            training = dataclasses.replace(network("camembert").training, epochs=1, batch=USUAL, group_by_length=grouped)
            rows = np.arange(count)
            lesson = Lesson("camembert", how, (rows % 27).astype(np.int32), 27, rows, rows[:1])
            begin: list[tuple[float, float]] = []

            class Watched(type(how)):  # type: ignore[misc]
                def collate(self, items):
                    begin.append((time.perf_counter(), time.process_time()))
                    return super().collate(items)

            watched = Watched(**{field.name: getattr(how, field.name) for field in dataclasses.fields(how)})

            def stop(feature: str, phase: str, done: int, total: int, note: str = "") -> None:  # noqa: ARG001
                if done == number:
                    raise Enough

            lesson = dataclasses.replace(lesson, inputs=watched)
            try:
                finetune(model, lesson, training, folder / "run", metric=Metric.MACRO_F1, precision="fp32", progress=stop)
            except Enough:
                now = (time.perf_counter(), time.process_time())
                return (now[0] - begin[0][0]) / (number * USUAL), (now[1] - begin[0][1]) / (number * USUAL)
            raise AssertionError

        found: dict[str, list[tuple[float, float]]] = {"ours, grouped by length": [], "padded to 256": []}
        for _ in range(options.rounds):
            found["ours, grouped by length"].append(steps(inputs, 8, grouped=True))
            found["padded to 256"].append(steps(padded(inputs), 3, grouped=False))
    seconds = medians(found)
    print(f"{options.layers} of 12 layers, batches of {USUAL} products")
    show(seconds, 1, "ours, grouped by length", "samples")


def build(layers: int, folder: Path):
    return build_text_network(network("camembert", layers), load_tokenizer(folder), 27)


def images(options: argparse.Namespace) -> None:
    import cv2
    from PIL import Image
    from torchvision import transforms

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    usual = transforms.Compose(
        [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize(IMAGENET_MEAN, IMAGENET_DEVIATION),
        ]
    )
    shape = ImageNetwork(torch.nn.Identity(), 3, 2, 0.0, IMAGENET_MEAN, IMAGENET_DEVIATION)
    with tempfile.TemporaryDirectory() as folder:
        paths = [(write_jpeg(Path(folder) / f"{number}.jpg", number),) for number in range(options.images)]
        inputs = Images(paths, 224, 256, augment=False, max_pixels=40_000_000)

        def ours(pool: ThreadPoolExecutor | None) -> None:
            for start in range(0, len(paths), 16):
                rows = range(start, min(start + 16, len(paths)))
                views = list(pool.map(inputs.views, rows) if pool else map(inputs.views, rows))
                pixels = inputs.collate([item for items in views for item in items])["pixels"]
                shape.normalise(pixels)

        def theirs() -> None:
            for start in range(0, len(paths), 16):
                torch.stack([usual(Image.open(path).convert("RGB")) for (path,) in paths[start : start + 16]])

        with ThreadPoolExecutor(2) as pool:
            ways = {
                "ours, one worker": lambda: ours(None),
                "ours, two workers": lambda: ours(pool),
                "PIL + torchvision": theirs,
            }
            seconds = in_turns(ways, options.rounds)
    show(seconds, len(paths), "ours, one worker", "images")


def write_jpeg(path: Path, number: int) -> Path:
    """A picture of 500 x 500 with edges and a little grain."""
    import cv2

    dice = np.random.default_rng(number)
    coarse = cv2.resize(dice.integers(0, 256, (12, 12, 3), dtype=np.uint8), (500, 500), interpolation=cv2.INTER_CUBIC)
    cv2.rectangle(coarse, (90, 90), (400, 380), dice.integers(0, 256, 3).tolist(), -1)
    grain = dice.normal(0, 6, coarse.shape)
    cv2.imwrite(str(path), np.clip(coarse + grain, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 90])
    return path


def main() -> None:
    from benchmarks.stage_one_estimate import estimate

    parts = {
        "extraction": (extraction, 160),
        "flaubert": (lambda options: extraction(options, "flaubert"), 96),
        "padding": (padding, 20_000),
        "tokenising": (tokenising, 20_000),
        "finetuning": (finetuning, 0),
        "images": (images, 0),
        "estimate": (estimate, 20_000),
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=parts)
    parser.add_argument("--texts", type=int)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--batches", type=int, nargs="+", default=[USUAL, 8, 16], help="batch sizes of sentence-transformers")
    parser.add_argument("--products", type=int, default=PRODUCTS)
    options = parser.parse_args()
    part, count = parts[options.part]
    options.texts = options.texts or count
    part(options)


if __name__ == "__main__":
    main()
