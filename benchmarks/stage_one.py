"""Stage one beside the usual ways: the same weights and products, in turns, in one process.

    python -m benchmarks.stage_one extraction  # CamemBERT: ours, padded to 256, sentence-transformers (if installed)
    python -m benchmarks.stage_one flaubert    # FlauBERT: ours, padded to 256
    python -m benchmarks.stage_one padding     # real tokens per computed token, counted for a whole catalogue
    python -m benchmarks.stage_one finetuning  # training steps: grouped by length, padded to 256
    python -m benchmarks.stage_one images      # decode, resize, normalise: ours, PIL + torchvision; one and two workers
    python -m benchmarks.stage_one estimate    # hours on a GPU from counted FLOPs (benchmarks.stage_one_estimate)
    python -m benchmarks.stage_one_tokenising  # one process, two processes

`--texts N`, `--images N`, `--rounds N`, `--layers N` (of 12) keep it small. Networks are base-size with random weights.
"""

import argparse
import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.product_texts import LENGTH, PRODUCTS, network, padded, prepare, texts
from benchmarks.stage_one_timing import in_turns, show
from fusecat.stages.extraction.embed import Inference, batches, embed
from fusecat.stages.extraction.inputs import Texts
from fusecat.stages.extraction.quiet import quieten
from fusecat.stages.extraction.settings import Extraction
from fusecat.stages.extraction.tokenising import tokenise

quieten()
USUAL, BLOCK, BUDGET = 32, Extraction().block, Extraction().tokens


class Memory:
    """Takes blocks in the cache's place."""

    def __init__(self, count: int) -> None:
        self.blocks = [(number, range(start, min(start + BLOCK, count))) for number, start in enumerate(range(0, count, BLOCK))]
        self.vectors: list[np.ndarray] = []

    def missing(self):
        return iter(self.blocks)

    def put(self, number, vectors, logits, present):  # noqa: ARG002
        self.vectors.append(vectors)


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
            embed(model, again, present, memory, Inference(name, 27, BUDGET, cpu, "fp32"))
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
        print("sentence-transformers >= 6 is not installed, so it is left out: 'make bench' installs it")
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


def main() -> None:
    from benchmarks.stage_one_estimate import estimate
    from benchmarks.stage_one_images import images
    from benchmarks.stage_one_training import finetuning

    parts = {
        "extraction": (extraction, 160),
        "flaubert": (lambda options: extraction(options, "flaubert"), 96),
        "padding": (padding, 20_000),
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
