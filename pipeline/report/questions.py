"""What users ask once they know the winner: worked out at once where it is cheap, else where it is asked for.

Kept in the workspace's `questions.json` for as long as the runs that a question is about are the same: a report that is written
again shows them without working them out again.
"""

import csv
import hashlib
import io
import json
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusecat.cache.errors import DamagedFile, FusecatError
from fusecat.cache.records import read_record, write_record
from fusecat.pipeline.console import warn
from fusecat.pipeline.places import may_write
from fusecat.pipeline.report.answers import Question, answer, asked_of, feature_names, honest
from fusecat.pipeline.report.costs import cheap
from fusecat.pipeline.report.provenance import runs_digest
from fusecat.stages.progress import phase
from fusecat.stages.spreadsheet import harmless

if TYPE_CHECKING:
    from fusecat.pipeline.report.comparison import Comparison

FILE = "questions.json"
SUSPECTED = "suspected-labels.csv"
REVISION = 5
"""Part of what answers are kept by: raise it when the same runs give other ones."""


def questions(comparison: "Comparison", asked: Collection[Question] = (), unasked: Collection[Question] = ()) -> dict[str, Any]:
    """Question -> its answer: those that are asked, and those that were answered before for these very runs.

    Of those `unasked` a warning says which has no answer, and why.

    Raises: UsageError where a question has no answer here, or the features are no longer those of the runs; DataError.
    """
    path = comparison.study.workspace.root / FILE
    kept = _kept(path)
    if kept is None:
        kept, unasked = {}, (*unasked, *cheap(comparison))
    keys = {question: _key(question, comparison) for question in Question if question in (*asked, *unasked, *kept)}
    known = {question: kept[question] for question, key in keys.items() if kept.get(question, {}).get("key") == key}
    new = [question for question in keys if question in (*asked, *unasked) and question not in known]
    for question in new:
        start = time.perf_counter()
        try:
            with phase(f"--{question}") as now:
                found = answer(question, comparison, now)
        except FusecatError as error:
            if question in asked:
                raise
            warn(f"--{question} is left out: {error}")
            continue
        found["seconds"] = round(time.perf_counter() - start, 1)
        known[question] = {"key": keys[question], "answer": found}
    if new and path.parent.is_dir() and may_write(path):  # of a notebook without a workspace there is no folder any more
        write_record(path, {"answers": {question.value: known[question] for question in Question if question in known}})
    return {question.value: known[question]["answer"] for question in Question if question in known}


def suspected_labels(answer: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """suspected-labels.csv: one product a line, the most suspect first, with an empty column for whoever decides."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("id", "label", "label_name", "suggested", "suggested_name", "p_label", "p_suggested", "decision"))
    for each in answer["products"]:
        label, other = each["label"], each["suggested"]
        cells = [each["id"], label, names.get(label, ""), other, names.get(other, "")]
        writer.writerow([*map(harmless, cells), f"{each['own']:.4f}", f"{each['other']:.4f}", ""])
    return out.getvalue()


def _key(question: Question, comparison: "Comparison") -> str:
    """What decides an answer: the runs of the strategy that it is about; of doubted labels, all runs and features."""
    row = asked_of(question, comparison)
    if row is None:
        told: list[Any] = [runs_digest(comparison), feature_names(comparison)]
    else:
        told = [row.strategy, [run.key for run in row.candidate.runs], comparison.metric.name, comparison.report_part]
        told.append([honest(comparison, name) for name in row.candidate.features])
    return hashlib.sha256(json.dumps([REVISION, question, *told]).encode()).hexdigest()[:16]


def _kept(path: Path) -> dict[str, Any] | None:
    """What was answered before; None, with a warning, where the file is damaged."""
    if not path.is_file():
        return {}
    try:
        record = read_record(path, "what takes seconds is answered again")
    except DamagedFile as error:
        warn(str(error))
        return None
    return dict(record.get("answers", {}))
