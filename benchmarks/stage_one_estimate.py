"""An estimate, not a measurement: stage one of preset `modern` on GPUs, from FLOPs counted on the real classes.

Assumed: the utilisations that the project aims at (extraction 35 % and fine-tuning 25 % of the dense bf16 peak on real tokens;
SE-ResNeXt-50 3,000 images/s on an H200, other cards in proportion to their peak, training three times the work), all epochs of
the preset, no time for reading, decoding, tokenising or validation's scores. Peaks in TFLOP/s, dense bf16 with fp32
accumulation, from the vendor's data sheets.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.product_texts import MISSING, lengths, network, prepare, texts
from fusecat.pipeline.presets.preset import load_preset
from fusecat.stages.extraction.build_network import build_image_network

CARDS = {"H200": 989, "RTX 4090, 24 GB": 165, "RTX 4060, 8 GB": 30}
TRAIN, VALIDATION = 0.8 * 0.85, 0.8 * 0.15
SHORT, LONG = 64, 256


def counted(model: torch.nn.Module, *inputs: torch.Tensor) -> int:
    """FLOPs of one forward pass (a multiply-add is two)."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model.encode(*inputs)  # type: ignore[operator]
    return counter.get_total_flops()


def per_text(model: torch.nn.Module) -> np.ndarray:
    """(linear, quadratic) FLOPs of T and T * T tokens, from passes of two lengths."""
    ids = [torch.full((1, size), 9) for size in (SHORT, LONG)]
    found = [counted(model, each, torch.ones_like(each)) for each in ids]
    return np.linalg.solve([[SHORT, SHORT**2], [LONG, LONG**2]], found)


def estimate(options: argparse.Namespace) -> None:
    products, forward, train = options.products, 0.0, 0.0
    titles, bodies = lengths(options.texts)
    fields = {"title": titles, "description": bodies[bodies > 0], "title+description": titles + bodies}
    sentences = texts(2000)
    for name in ("camembert", "flaubert"):
        with tempfile.TemporaryDirectory() as folder:
            model, inputs, _ = prepare(name, sentences, Path(folder), 12)
        ratio = sum(map(inputs.cost, range(2000))) / sum(min(len(text.split()), 180) for text in sentences)
        linear, quadratic = per_text(model)
        epochs = network(name).training.epochs
        for field, words in fields.items():
            tokens = (words * ratio + 2).clip(max=256)
            count = products * (1 - MISSING if field == "description" else 1)
            flops = count * float((linear * tokens + quadratic * tokens**2).mean())
            forward += flops * (1 + epochs * VALIDATION)
            train += flops * 3 * epochs * TRAIN
            print(f"{name} {field}: {tokens.mean():.0f} tokens, {flops / 1e15:.2f} PFLOP per pass over {count:,.0f} products")
    (image,) = load_preset("modern").select(["se_resnext50"]).networks
    shape = build_image_network(image, 27, load=False).eval()
    one = counted(shape, torch.zeros(1, 224, 224, 3, dtype=torch.uint8))
    epochs = image.training.epochs
    passes = products * (1 + epochs * (VALIDATION + 3 * TRAIN))
    print(f"se_resnext50: {one / 1e9:.2f} GFLOP per image, {passes:,.0f} forward passes' worth in {epochs} epochs")
    print("ESTIMATE, not measured; hours of text fine-tuning, text passes (validation and extraction), images, all:")
    for card, peak in CARDS.items():
        seconds = [train / (0.25 * peak * 1e12), forward / (0.35 * peak * 1e12), passes / (3000 * peak / CARDS["H200"])]
        told = ", ".join(f"{value / 3600:.2f}" for value in [*seconds, sum(seconds)])
        print(f"  {card} ({peak} TFLOP/s): {told}")
