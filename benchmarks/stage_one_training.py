"""Fine-tuning steps: ours, grouped by length, and padded to 256."""

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.product_texts import network, padded, prepare, texts
from benchmarks.stage_one_timing import medians, show
from fusecat.stages.extraction.build_network import build_text_network, load_tokenizer
from fusecat.stages.extraction.inputs import Texts
from fusecat.stages.extraction.train_network import Teaching, TrainingData, train_network
from fusecat.stages.metrics import MACRO_F1

USUAL = 32


class Enough(Exception):
    """The steps that were to be timed are done."""


def finetuning(options: argparse.Namespace) -> None:
    """Real `train_network`, as many steps as one group of like lengths holds: a random sample of texts, from long to short."""
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
            training_data = TrainingData("camembert", how, (rows % 27).astype(np.int32), 27, rows, rows[:1])
            begin: list[tuple[float, float]] = []

            class Watched(type(how)):  # type: ignore[misc]
                def collate(self, items):
                    begin.append((time.perf_counter(), time.process_time()))
                    return super().collate(items)

            watched = Watched(**{field.name: getattr(how, field.name) for field in dataclasses.fields(how)})

            def stop(feature: str, phase: str, done: int, total: int, note: str = "") -> None:  # noqa: ARG001
                if done == number:
                    raise Enough

            training_data = dataclasses.replace(training_data, inputs=watched)
            try:
                train_network(model, training_data, training, folder / "run", Teaching(MACRO_F1, stop), precision="fp32")
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
