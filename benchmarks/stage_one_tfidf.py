"""The classical reference at Rakuten's size: time and memory of fitting it, and of encoding all products.

    python -m benchmarks.stage_one_tfidf [--texts 84916]

Made-up texts as long as Rakuten's (`benchmarks.product_texts`), 27 classes, each of which prefers some words; the parts are
those of a study, the settings those of preset `modern`.
"""

import argparse
import resource
import time

import numpy as np
import torch

from benchmarks.product_texts import PRODUCTS, texts
from benchmarks.stage_one_timing import processor
from fusecat.pipeline.presets.preset import load_preset
from fusecat.stages.extraction.embed import Inference, encode
from fusecat.stages.extraction.fit_tfidf import fit_tfidf
from fusecat.stages.extraction.settings import Extraction
from fusecat.stages.extraction.tfidf import TextBytes
from fusecat.stages.extraction.trainer import TrainingData

CLASSES, PREFERS = 27, 8  # every eighth word is one that the class prefers
TRAIN, VALIDATION = 0.8 * 0.85, 0.8 * 0.15


def preferring(sentences: list[str], labels: np.ndarray) -> list[str]:
    """The texts, in which some words gave way to those of their class."""
    words = sorted({word for text in sentences[:2000] for word in text.split()})
    dice, told = np.random.default_rng(3), []
    for text, label in zip(sentences, labels, strict=True):
        own, found = words[label::CLASSES], text.split()
        found[::PREFERS] = [own[place] for place in dice.integers(len(own), size=len(found[::PREFERS]))]
        told.append(" ".join(found))
    return told


def memory() -> float:
    """Most resident GB of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=PRODUCTS)
    count = parser.parse_args().texts
    (network,) = load_preset("modern").select(["tfidf"]).networks
    labels = np.random.default_rng(2).integers(CLASSES, size=count).astype(np.int32)
    inputs = TextBytes(preferring(texts(count), labels))
    order = np.random.default_rng(4).permutation(count)
    train, validation = np.sort(order[: int(TRAIN * count)]), np.sort(order[-int(VALIDATION * count) :])
    print(f"{count:,} texts, {len(train):,} to learn from; {memory():.2f} GB before", flush=True)
    begin, spent = time.perf_counter(), processor()
    fitted, result = fit_tfidf(network, TrainingData("tfidf", inputs, labels, CLASSES, train, validation))
    print(
        f"fitted and validated: {processor() - spent:.0f} s of processor, {time.perf_counter() - begin:.0f} s on the clock, "
        f"{result.epochs} iterations, validation accuracy {result.validation['accuracy']:.3f}; {memory():.2f} GB at most",
        flush=True,
    )
    begin, spent = time.perf_counter(), processor()
    inference = Inference("tfidf", CLASSES, Extraction().tokens, torch.device("cpu"), "fp32")
    encode(fitted, inputs, range(count), inference)
    clock = time.perf_counter() - begin
    print(f"encoded: {processor() - spent:.0f} s of processor, {clock:.0f} s on the clock; {memory():.2f} GB at most")


if __name__ == "__main__":
    main()
