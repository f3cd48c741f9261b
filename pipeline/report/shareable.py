"""A report that may leave the house: no title, no picture, no id, and a bundle from which anybody can check the table.

Challenge data are confidential. The bundle holds, per product of the judged parts, a salted key in a random order, the
label and each run's prediction; the salt is thrown away, so that no key leads back to an id. `recompute.py` in the bundle
needs numpy and scikit-learn only.
"""

import csv
import hashlib
import io
import secrets
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fusecat.cache.publish import publishing
from fusecat.stages.metrics import METRICS
from fusecat.stages.progress import phase
from fusecat.stages.spreadsheet import harmless

if TYPE_CHECKING:
    from fusecat.pipeline.report.comparison import Comparison

NAME = "report-bundle.zip"

README = """Predictions behind a comparison of fusion strategies, without products.

predictions.csv  one line per product of validation and test: key (salted, meaningless elsewhere), part, label, and
                 one column per run (strategy#seed) with the predicted type code
recompute.py     prints what metrics follow from predictions.csv, of every strategy (numpy, scikit-learn)
report.json      the report

The other metrics, calibration and the ensembles of seeds need probabilities, which are not shared.
"""

RECOMPUTE = '''"""Recompute the table from predictions.csv: per strategy what metrics need no probabilities, mean over seeds."""

import csv
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
from sklearn.metrics import accuracy_score, f1_score, recall_score

with (Path(__file__).parent / "predictions.csv").open(newline="", encoding="utf-8") as file:
    lines = list(csv.DictReader(file))
found = defaultdict(lambda: defaultdict(list))
for part in ("validation", "test"):
    rows = [line for line in lines if line["part"] == part]
    if not rows:
        continue
    labels = np.array([line["label"] for line in rows])
    for run in [name for name in lines[0] if "#" in name]:
        predicted = np.array([line[run] for line in rows])
        classes = np.unique(labels)
        found[run.partition("#")[0]][part].append({
            @METRICS@
        })
table = {
    strategy: {part: {name: float(np.mean([one[name] for one in runs])) for name in runs[0]} for part, runs in parts.items()}
    for strategy, parts in found.items()
}
print(json.dumps(table, indent=1))
'''


@phase("writing the bundle of predictions")
def write_bundle(comparison: "Comparison", folder: Path, report: str) -> Path:
    """Write the bundle beside the report; the salt is drawn anew and forgotten. Returns its path."""
    salt = secrets.token_bytes(32)
    path = folder / NAME
    metrics = [f'"{metric.key}": {metric.recomputed},' for metric in METRICS.values() if metric.recomputed]
    with publishing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, text in (
            ("README.txt", README),
            ("recompute.py", RECOMPUTE.replace("@METRICS@", "\n            ".join(metrics))),
            ("predictions.csv", _predictions(comparison, salt)),
            ("report.json", report),
        ):
            bundle.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text, zipfile.ZIP_DEFLATED)
    return path


def _predictions(comparison: "Comparison", salt: bytes) -> str:
    study = comparison.study
    codes = study.products.classes
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    runs = [(row.candidate, number) for row in comparison.rows for number in range(len(row.candidate.seeds))]
    writer.writerow(
        ["key", "part", "label", *(f"{candidate.strategy}#{candidate.seeds[number]}" for candidate, number in runs)]
    )
    for part in study.parts:
        rows, labels = study.products.rows(part), study.labels(part)
        keys = [hashlib.sha256(salt + str(study.products.ids[row]).encode()).hexdigest()[:24] for row in rows]
        predicted = np.stack([candidate.outcomes[part][number].predicted for candidate, number in runs], axis=1)
        for at in np.argsort(keys):  # the order of the catalogue would tell who is who
            writer.writerow([keys[at], part, *(harmless(codes[code]) for code in (labels[at], *predicted[at]))])
    return out.getvalue()


def without_origins(comparison: "Comparison") -> "Comparison":
    """The comparison with nothing in its study that names a product or a place on this machine."""
    info = comparison.study.info
    split = dict(info.split)
    if "groups" in split:
        split["groups"] = {name: value for name, value in split["groups"].items() if name != "largest"}
    info = replace(info, catalogue=None, commands=(), warnings=(), split=split)
    failed = tuple(name.partition(":")[0] for name in comparison.study.failed)  # the reason may name a file
    return replace(comparison, study=replace(comparison.study, info=info, failed=failed))
