"""Decode, resize, normalise: ours in one and two threads, PIL + torchvision."""

import argparse
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from benchmarks.stage_one_timing import free_cores, in_turns, show, show_gain
from fusecat.stages.extraction.embed import prepared
from fusecat.stages.extraction.inputs import Images
from fusecat.stages.extraction.networks import ImageNetwork
from fusecat.stages.extraction.pixels import IMAGENET


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
            transforms.Normalize(IMAGENET["mean"], IMAGENET["std"]),
        ]
    )
    shape = ImageNetwork(torch.nn.Identity(), 3, 2, 0.0, IMAGENET["mean"], IMAGENET["std"])
    with tempfile.TemporaryDirectory() as folder:
        paths = [(write_jpeg(Path(folder) / f"{number}.jpg", number),) for number in range(options.images)]
        inputs = Images(paths, 224, 256, augment=False, max_pixels=40_000_000)

        def ours(pool: ThreadPoolExecutor | None) -> None:
            cut = [range(start, min(start + 16, len(paths))) for start in range(0, len(paths), 16)]
            for tensors, _ in prepared(inputs, cut, pool):
                shape.normalise(tensors["pixels"])

        def theirs() -> None:
            for start in range(0, len(paths), 16):
                torch.stack([usual(Image.open(path).convert("RGB")) for (path,) in paths[start : start + 16]])

        with ThreadPoolExecutor(2) as pool:
            ways = {
                "ours, one worker": lambda: ours(None),
                "ours, two workers": lambda: ours(pool),
                "PIL + torchvision": theirs,
            }
            seconds = in_turns(ways | free_cores(), options.rounds)
    show({way: seconds[way] for way in ways}, len(paths), "ours, one worker", "images")
    show_gain(seconds, "ours, one worker", "ours, two workers")


def write_jpeg(path: Path, number: int) -> Path:
    """A picture of 500 x 500 with edges and a little grain."""
    import cv2

    dice = np.random.default_rng(number)
    coarse = cv2.resize(dice.integers(0, 256, (12, 12, 3), dtype=np.uint8), (500, 500), interpolation=cv2.INTER_CUBIC)
    cv2.rectangle(coarse, (90, 90), (400, 380), dice.integers(0, 256, 3).tolist(), -1)
    grain = dice.normal(0, 6, coarse.shape)
    cv2.imwrite(str(path), np.clip(coarse + grain, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 90])
    return path
