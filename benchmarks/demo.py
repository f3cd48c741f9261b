"""What README.md and docs/ show of `make demo`: `python -m benchmarks.demo [WORKSPACE]` writes figures and picture anew.

The picture needs chromium; without it the old one stays.
"""

import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from fusecat.pipeline.report.plain import headline
from fusecat.pipeline.report.tables import score_text
from fusecat.stages.metrics import ACCURACY, METRICS

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "report.md", ROOT / "benchmarks" / "RESULTS.md")
PICTURE = ROOT / "docs" / "report.png"
WIDTH, HEIGHT = 1280, 1000  # the verdict and the best strategies
COLOURS = 64  # flat colours and grey letters: the file is a third of that with all of them


def best(report: dict[str, Any]) -> set[str]:
    """The best strategy on validation of each kind."""
    named = {"the chosen one": report["chosen"]}
    for row in report["rows"]:
        if row["architecture"] in ("baseline", "hierarchical", "late"):
            named.setdefault(row["architecture"], row["strategy"])
    return {*named.values(), *report["sides"].values()}


def rows(report: dict[str, Any], wanted: Collection[str]) -> Iterator[str]:
    """A table of the wanted strategies, best on validation first."""
    metric = METRICS[report["metric"]]
    yield "| strategy | validation | test | test accuracy | seconds per fit |\n|---|---|---|---|---|\n"
    for row in report["rows"]:
        if row["strategy"] in wanted:
            name = f"**{row['strategy']}**" if row["strategy"] == report["chosen"] else row["strategy"]
            scores = [score_text(metric, row[part][metric.key]) for part in ("validation", "test")]
            accuracy = score_text(ACCURACY, row["test"][ACCURACY.key])
            yield f"| {name} | {' | '.join(scores)} | {accuracy} | {row['fit_seconds']:.1f} |\n"


def rewritten(text: str, report: dict[str, Any]) -> str:
    """A page with today's figures between its marks."""
    blocks = {
        "rows": "".join(rows(report, best(report))),
        "all": "".join(rows(report, {row["strategy"] for row in report["rows"]})),
        "answer": f"> {headline(report)} {'. '.join(report['verdict'].split('. ')[:2])}.\n",
        "verdict": f"> {headline(report)}\n>\n> {report['verdict']}\n",
    }

    def block(match: re.Match[str]) -> str:
        return f"{match[1]}\n{blocks[match[2]]}{match[3]}"

    return re.sub(r"(<!-- demo: (\w+) -->)\n.*?(<!-- end of demo -->)", block, text, flags=re.DOTALL)


def photograph(page: Path) -> None:
    """The head of a report as a small PNG."""
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--screenshot={shot}"]
        command += [f"--window-size={WIDTH},{HEIGHT}", page.resolve().as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        picture = Image.open(io.BytesIO(shot.read_bytes())).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(PICTURE, optimize=True)


def main(workspace: Path) -> None:
    folder = workspace / "report"
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    for path in PAGES:
        path.write_text(rewritten(path.read_text(encoding="utf-8"), report), encoding="utf-8")
    if shutil.which("chromium"):
        photograph(folder / "index.html")


if __name__ == "__main__":
    main(Path(*sys.argv[1:] or ["workspace"]))
