"""Stage one and the heads on a GPU, in at most ten minutes: `make bench-gpu` writes a table into benchmarks/RESULTS.md.

    python -m benchmarks.gpu [--to FILE] [--minutes 9] [--small]

Base-size CamemBERT, SE-ResNeXt-50 and ViT-B with random weights, as `fusecat extract --dry-run --probe` times them: twenty
optimiser steps and a few extraction batches of made-up products, reading included. Then CamemBERT with less memory than its
batches need, and the 60 runs of the twelve thesis heads. Nothing is fetched: it needs no network. What is not done when the
minutes are over is named. Without a GPU (`--small`: tiny networks, for a rehearsal) the table goes to the screen only.

Utilisation (MFU): counted FLOPs of the network on real tokens or pixels (backward twice the forward, nothing for recomputing)
over the dense bf16 peak of the card's data sheet.
"""

import argparse
import contextlib
import csv
import dataclasses
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from benchmarks.product_texts import network, texts
from benchmarks.stage_one_estimate import counted, per_text
from benchmarks.stage_one_images import write_jpeg
from benchmarks.stage_two import thesis_runs
from fusecat.pipeline.presets.preset import load_preset
from fusecat.stages.catalogue.data_model import ReadingOptions
from fusecat.stages.catalogue.validate import validate
from fusecat.stages.extraction import probe as probing
from fusecat.stages.extraction.classical import encoder_of
from fusecat.stages.extraction.dataset import Study
from fusecat.stages.extraction.encoder import GPU_TOKENS, Encoder
from fusecat.stages.extraction.extract import device_precision
from fusecat.stages.extraction.quiet import quieten
from fusecat.stages.extraction.settings import LARGE, Extraction, Library, Network, Training, fitting_workers
from fusecat.stages.fields import Field
from fusecat.stages.metrics import MACRO_F1

RESULTS = Path(__file__).with_name("RESULTS.md")
PEAKS = {"H200": 989, "H100": 989, "A100": 312, "L40S": 362, "L4": 121, "RTX 4090": 165, "RTX 4060": 30}
"""TFLOP/s, dense bf16 with fp32 accumulation, by what the card's name holds."""
COLUMNS = "| what | steps/s | products/s learnt | MFU | products/s extracted | MFU | GPU GB |\n|---|---|---|---|---|---|---|\n"
BEGIN, END = "<!-- gpu -->\n", "<!-- end of gpu -->"
PRODUCTS, PICTURES = 6000, 1500  # extraction is timed on four batches of 32k tokens or 256 pictures
STATE = 16
"""Bytes per parameter: value, gradient and AdamW's two moments, in 32 bits."""


def write_catalogue(folder: Path, products: int, pictures: int) -> Path:
    """Products of 27 classes, the first of them with a picture."""
    (folder / "image_training").mkdir()
    with (
        (folder / "X_train.tsv").open("w", encoding="utf-8", newline="") as inputs,
        (folder / "Y_train.tsv").open("w", encoding="utf-8", newline="") as labels,
    ):
        rows, codes = csv.writer(inputs, delimiter="\t"), csv.writer(labels, delimiter="\t")
        rows.writerow(["Integer_id", "Title", "Description", "Image_id", "Product_id"])
        codes.writerow(["Integer_id", "Prdtypecode"])
        for number, text in enumerate(texts(products)):
            rows.writerow([number, text, "", number, number])
            codes.writerow([number, 10 * (number % 27 + 1)])
            if number < pictures:
                write_jpeg(folder / "image_training" / f"image_{number}_product_{number}.jpg", number)
    return folder


def networks(*, small: bool) -> list[Network]:
    """CamemBERT, SE-ResNeXt-50 and ViT-B, at base size or as small as they can be."""
    camembert = network("camembert")
    (resnext,) = load_preset("modern").select(["se_resnext50"]).networks
    resnext = dataclasses.replace(resnext, weights="new", sha256=None)
    training = Training(batch=64, learning_rate=1e-4)
    vit = Network(name="vit_base", library=Library.TIMM, model="vit_base_patch16_224", fields=(Field.IMAGE,), training=training)
    if not small:
        return [camembert, resnext, vit]
    tiny = {"num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 32}
    shapes = [tiny, {"layers": [1, 1, 1, 1], "groups": 2, "inplanes": 8}, {"img_size": 32, "depth": 1, "embed_dim": 24}]
    sizes = {"size": 32, "resize": 36}
    return [
        dataclasses.replace(
            each,
            shape=shape,
            vocabulary=300,
            training=dataclasses.replace(each.training, batch=4),
            **sizes if each.is_image else {},
        )
        for each, shape in zip([camembert, resnext, vit], shapes, strict=True)
    ]


def flops(encoder: Encoder, study: Study) -> tuple[float, int]:
    """FLOPs of a forward pass of one product in the mean, and parameters."""
    with tempfile.TemporaryDirectory() as folder:
        inputs = encoder.inputs(study, Path(folder), saved=False)
        model = encoder.build(len(study.catalogue.classes), Path(folder)).eval()
        parameters = sum(parameter.numel() for parameter in model.parameters())
        if encoder.network.is_image:
            side = encoder.network.size or 0
            return counted(model, torch.zeros(1, side, side, 3, dtype=torch.uint8)), parameters
        linear, quadratic = per_text(model)
    tokens = np.array([inputs.cost(row) for row in range(len(study.rows.ids))], float)
    return float((linear * tokens + quadratic * tokens**2).mean()), parameters


def timed(encoder: Encoder, study: Study) -> probing.Timing:
    return probing.probe(encoder, study, metric=MACRO_F1, precision=device_precision(encoder.extraction.precision))


def row(name: str, encoder: Encoder, timing: probing.Timing, work: float, peak: float | None) -> str:
    """A line of the table: `work` are FLOPs of a product, `peak` FLOP/s."""
    batch = encoder.network.training.batch
    used = [3 * work * batch / timing.step, work / timing.product]
    shares = ["–" if peak is None else f"{each / peak:.1%}" for each in used]
    memory = f"{timing.device_memory / 1e9:.2f}" if timing.device_memory else "–"
    speeds = [f"{1 / timing.step:.1f}", f"{batch / timing.step:,.0f}", shares[0], f"{1 / timing.product:,.0f}", shares[1]]
    return f"| {name} | {' | '.join(speeds)} | {memory} |\n"


@contextlib.contextmanager
def scarce(limit: float) -> Iterator[str]:
    """A GPU of `limit` bytes; without one, memory that is said to run out once. Gives what to call it."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit / torch.cuda.get_device_properties(0).total_memory))
        try:
            yield f"with {limit / 1e9:.1f} GB"
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        return
    tries = iter([torch.OutOfMemoryError("said, not met")])

    def train(*given, **named):
        for error in tries:
            raise error
        return learn(*given, **named)

    learn = probing.train_network
    with mock.patch.object(probing, "train_network", train):
        yield "memory that is said to run out"


def stage_one(study: Study, chosen: list[Network], peak: float | None, *, small: bool) -> Iterator[Callable[[], str]]:
    """One piece of work per line of the table."""
    extraction = Extraction(workers=0 if small else fitting_workers(LARGE))
    known: dict[str, tuple[Encoder, float, int, probing.Timing]] = {}

    def usual(entry: Network) -> str:
        encoder = encoder_of(entry, Field.IMAGE if entry.is_image else Field.TITLE, extraction)
        work, parameters = flops(encoder, study)
        timing = timed(encoder, study)
        known[entry.name] = (encoder, work, parameters, timing)
        said = f"{entry.name}, {parameters / 1e6:.1f} million parameters, {work / 1e9:.1f} GFLOP, batch {entry.training.batch}"
        return row(said, encoder, timing, work, peak)

    def short_of_memory() -> str:
        encoder, work, parameters, timing = known[chosen[0].name]
        frugal = dataclasses.replace(
            encoder, extraction=dataclasses.replace(extraction, tokens=extraction.tokens // GPU_TOKENS)
        )
        for share in (3, 6, 12, 24):
            # what no batch changes, a tenth more for what the allocator cannot use, and a share of the rest: the smaller, the
            # surer, because extraction may have needed more than training
            limit = 1.1 * STATE * parameters + max(timing.device_memory - STATE * parameters, 0) / share
            with scarce(limit) as name:
                again = timed(frugal, study)
            if again.economy:
                break
        else:
            raise RuntimeError(f"{name} was enough, so nothing was learnt of what happens where it is not")
        return row(f"{chosen[0].name} {name}: went on with {again.economy}", encoder, again, work, peak)

    for entry in chosen:
        yield lambda entry=entry: usual(entry)
    yield short_of_memory


def heads(products: int, seeds: int) -> str:
    found, seconds = thesis_runs(products, seeds)
    return f"\n{len(found)} runs of the thesis heads over {products:,} products: {seconds:.1f} s.\n"


def measured(options: argparse.Namespace) -> tuple[str, bool]:
    """The table, and whether all of it was measured."""
    begin, said, complete = time.monotonic(), "", True
    chosen = networks(small=options.small)
    card = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no GPU"
    peak = next((1e12 * PEAKS[name] for name in sorted(PEAKS, key=len, reverse=True) if name in card), None)
    with tempfile.TemporaryDirectory() as folder:
        place = write_catalogue(Path(folder), *((260, 80) if options.small else (PRODUCTS, PICTURES)))
        found = validate(place, ReadingOptions(), None)
        assert found.split is not None
        study = Study(found.catalogue, found.images, found.split)
        work = [*stage_one(study, chosen, peak, small=options.small)]
        work.append(lambda: heads(500 if options.small else 55_025, 1 if options.small else 5))
        for number, piece in enumerate(work):
            if time.monotonic() - begin > 60 * options.minutes:
                said, complete = f"{said}\nThe time was over before part {number + 1} of {len(work)}.\n", False
                break
            try:
                said += piece()
            except Exception as error:  # the other parts are worth their minutes all the same
                said += f"| part {number + 1} failed: {type(error).__name__}: {' '.join(str(error).split()):.160} |\n"
                complete = False
            print(said.rstrip().rpartition("\n")[2], flush=True)
    head = f"### {card}\n{date.today():%d %B %Y}, torch {torch.__version__}, {time.monotonic() - begin:.0f} s in all.\n\n"
    return f"{head}{COLUMNS}{said}\n", complete


def rewritten(text: str, table: str) -> str:
    """The page with this table before those of other cards, in place of an earlier one of the same card."""
    if BEGIN not in text:
        text += f"\n{BEGIN}{END}\n"
    before, _, rest = text.partition(BEGIN)
    kept, _, after = rest.partition(END)
    card = table.partition("\n")[0]
    others = [each for each in re.split(r"(?m)^(?=### )", kept) if each.startswith("### ") and each.partition("\n")[0] != card]
    return f"{before}{BEGIN}{table}{''.join(others)}{END}{after}"


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=RESULTS, help="the page whose part on GPUs is written anew")
    parser.add_argument("--minutes", type=float, default=9.0, help="nothing is begun after these")
    parser.add_argument("--small", action="store_true", help="tiny networks and few products")
    options = parser.parse_args(words)
    quieten()
    if not torch.cuda.is_available() and not options.small:
        print("no GPU: 'python -m benchmarks.gpu --small' rehearses on the processor", file=sys.stderr)
        return 2
    table, complete = measured(options)
    print(table)
    if torch.cuda.is_available() and not options.small:
        text = options.to.read_text(encoding="utf-8") if options.to.exists() else ""
        options.to.write_text(rewritten(text, table), encoding="utf-8")
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
