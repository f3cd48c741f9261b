"""Is the demo's answer one of this split only? The demo again on other splits of the sample.

    python -m benchmarks.split_seeds [--seeds 2020 2021 2022 2023 2024] [--folder DIR]

Per split: the strategy chosen on validation, the single feature chosen on validation, their test macro-F1, and the paired test
difference with its 95 % interval, as the report prints them. A folder keeps the workspaces: a second call only prints.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path


def fusecat(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "fusecat", *map(str, words)], check=True, stdout=subprocess.DEVNULL)


def study(folder: Path, seed: int) -> dict:
    """The report of the demo on one split."""
    workspace = folder / str(seed)
    fusecat("extract", "--split-seed", seed, "--workspace", workspace)
    fusecat("fuse", "--fusion", "thesis", "--seeds", 5, "--workspace", workspace)
    return json.loads((workspace / "report" / "report.json").read_text(encoding="utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[2020, 2021, 2022, 2023, 2024])
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for seed in options.seeds:
            report = study(options.folder or Path(scratch), seed)
            rows = {row["strategy"]: row for row in report["rows"]}
            headline = report["headline"]
            scores = [
                f"{name} {100 * rows[name]['test']['macro_f1']['mean']:.1f}"
                for name in (headline["chosen"], headline["reference"])
            ]
            difference, low, high = (100 * headline[name] for name in ("difference", "low", "high"))
            real = "real" if headline["real"] else "not real"
            print(
                f"split {seed}: {' against '.join(scores)}: {difference:+.1f} ({low:+.1f} to {high:+.1f}), {real}", flush=True
            )


if __name__ == "__main__":
    main()
