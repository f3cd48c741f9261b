"""A whole catalogue on many machines: Ray Data reads blocks, actors that hold one model each answer them, Ray Data writes.

Which rows are answered is remembered in the output folder (Ray Data's checkpoint, committed with each file): a job that was
interrupted goes on, and one that is called again answers what is new. Needs the extra `ray`.
"""

import json
import logging
import math
import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import ray
from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType
from ray.data import ActorPoolStrategy, DataContext
from ray.data.checkpoint import CheckpointConfig
from ray.exceptions import RayError

from fusecat.cache.fingerprint import digest
from fusecat.stages.errors import DataError, ModelError, UsageError
from fusecat.stages.prediction.addresses import explained, for_ray, is_address, missing, place, reaching
from fusecat.stages.prediction.arrow_products import Pictures, columns_of, products_of
from fusecat.stages.prediction.classifier import Classifier
from fusecat.stages.prediction.formats import Layout, as_table
from fusecat.stages.prediction.model_folder import DESCRIPTION, load_model
from fusecat.stages.progress import phase

ROW = "row_hash"
"""Ray Data's number of a row, made of its file and place: ids need not differ."""
RECORD, DONE = "_fusecat.json", "_checkpoint"


@dataclass(frozen=True)
class Job:
    """`source`: Parquet file or folder; `target`: a folder. Paths that every machine sees, or addresses (s3://...).

    `model`: a folder that every machine sees. `pictures`: where pictures that are named lie. `actors`: models at work at once;
    0: one per GPU, or per processor but two, which read and write.
    """

    model: Path
    source: str
    target: str
    layout: Layout
    columns: Mapping[str, str]
    pictures: str
    merges: tuple[str, ...] = ()
    actors: int = 0


class Answering:
    """One model in one process of the cluster; blocks in, answers out."""

    def __init__(self, job: Job, fields: Mapping[str, str]) -> None:
        from fusecat.stages.extraction.quiet import quieten

        quieten()
        self.job, self.fields, self.pictures = job, fields, Pictures(job.pictures)
        self.model = load_model(job.model, merges=job.merges)

    def __call__(self, block: pa.Table) -> pa.Table:
        """The answers of a block, in its order."""
        products = products_of(block, self.fields, self.pictures)
        answers = self.model(products, reasons=self.job.layout.reasons)
        return as_table(self.model, answers, self.job.layout).append_column(ROW, block.column(ROW))


def run(job: Job) -> dict[str, Any]:
    """Answer what is not answered yet; returns counts of the whole output, as JSON values.

    Raises: UsageError where the output folder holds something else, or the input has changed since; DataError for rows that are
    no products, and where answers and products are not as many.
    """
    model = load_model(job.model, merges=job.merges)  # what is wrong with it is told here, not by twenty actors
    products, fields = _agree(job, model)
    _start()
    actors, gpus = _actors(job.actors)
    context = DataContext.get_current().copy()
    context.enable_progress_bars = False
    source, target = for_ray(job.source), for_ray(job.target)
    context.checkpoint_config = CheckpointConfig(
        ROW, f"{target['path']}/{DONE}", delete_checkpoint_on_success=False, override_filesystem=target["filesystem"]
    )
    block = math.lcm(*(each.encoder.extraction.block for each in model.fine_tuned.values()))
    with phase(f"answering with {actors} models"), DataContext.current(context):
        rows = ray.data.read_parquet(
            source["path"], filesystem=source["filesystem"], columns=[*fields.values()], include_row_hash=True
        )
        answers = rows.map_batches(
            Answering,
            fn_constructor_args=(job, fields),
            batch_format="pyarrow",
            batch_size=block,
            compute=ActorPoolStrategy(size=actors),
            num_cpus=1,
            num_gpus=gpus,
        )
        try:
            answers.write_parquet(**target)
        except RayError as error:
            raise _cause(error) from None
    return _counted(job, products) | {"actors": actors, "strategy": model.strategy, "columns": fields}


def _agree(job: Job, model: Classifier) -> tuple[int, dict[str, str]]:
    """Products, and field -> column; the output folder is of this job from here on."""
    source, inside = place(job.source)
    target, folder = place(job.target)
    if source.equals(target) and f"{folder}/".startswith(f"{inside}/"):
        raise UsageError(f"--output {job.target} lies in the input, and would be read as products: name another folder")
    with reaching(job.source):
        facts = [each for each in _listed(source, inside) if each.path.lower().endswith(".parquet")]
        if not facts:
            why = missing(job.source) if is_address(job.source) else ""
            raise UsageError(f"--input {job.source}: {why or 'there is no Parquet file (*.parquet)'}")
        table = ds.dataset([each.path for each in facts], filesystem=source, format="parquet")
        products = table.count_rows()
    fields = columns_of(table.schema.names, job.columns, model.reading.get("columns") or {}, model.texts)
    files = {each.path: [each.size, each.mtime_ns] for each in facts}
    layout = {"top": job.layout.top, "threshold": job.layout.threshold, "reasons": job.layout.reasons}
    record = {"model": digest(job.model / DESCRIPTION), "columns": fields, "pictures": job.pictures, **layout}
    with reaching(job.target):
        _claim(job, target, folder, record, files)
    return products, fields


def _listed(files: FileSystem, path: str) -> list[FileInfo]:
    """The files of a folder, as Ray Data finds them: not those whose name, or a folder's, begins with . or _."""
    place = files.get_file_info(path)
    if place.type is not FileType.Directory:
        return [place] if place.type is FileType.File else []
    found = files.get_file_info(FileSelector(path, recursive=True))
    below = len(path.rstrip("/"))
    return [each for each in found if each.type is FileType.File and not re.search(r"/[._]", each.path[below:])]


def _claim(job: Job, target: FileSystem, folder: str, record: dict[str, Any], files: dict[str, list[int | None]]) -> None:
    """Make the output folder this job's, or find that it is. Raises UsageError."""
    path = f"{folder}/{RECORD}"
    there = target.get_file_info(FileSelector(folder, allow_not_found=True))
    if any(each.base_name == RECORD for each in there):
        with target.open_input_stream(path) as file:
            before = json.loads(bytes(file.read()))
        for name, value in record.items():
            if before[name] != value:
                raise UsageError(f"--output {job.target} holds answers with another {name}: name a new folder")
        for name, facts_before in before["files"].items():
            if files.get(name) != facts_before:
                raise UsageError(f"{name} was changed or removed since {job.target} was begun: name a new --output folder")
    elif there:
        raise UsageError(f"--output {job.target} is not empty, and holds no answers of this command: name a new folder")
    target.create_dir(folder, recursive=True)
    with target.open_output_stream(f"{path}.new") as file:
        file.write(json.dumps(record | {"files": files}, indent=1).encode())
    target.move(f"{path}.new", path)


def _start() -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    warnings.filterwarnings("ignore", module=r"ray\.")
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    if not ray.is_initialized():
        ray.init(os.environ.get("RAY_ADDRESS"), log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)


def _actors(wanted: int) -> tuple[int, int]:
    """Models at once, and GPUs of each."""
    there = ray.cluster_resources()
    processors, gpus = int(there.get("CPU", 0)), int(there.get("GPU", 0))
    most = processors - 1
    if most < 1 or wanted > most:
        raise UsageError(
            f"--workers {wanted}: of {processors} processors at least one has to read and write: "
            + (f"{most} at most" if most > 0 else "the ray engine needs two")
        )
    if gpus:
        return wanted or min(gpus, most), int(wanted <= gpus)
    return wanted or max(1, processors - 2), 0


def _cause(error: Exception) -> Exception:
    """The line that is worth telling of a failure in another process, whose traceback is the text of Ray's error."""
    refusals = {each.__name__: each for each in (UsageError, DataError, ModelError)}
    told = re.findall(rf"\b({'|'.join(refusals)}): (.+)", str(error))
    if told:
        name, said = told[-1]
        return refusals[name](said)
    last = str(error).strip().splitlines()[-1]
    stored = re.match(r"(?:[\w.]+\.)?(?:OSError|FileNotFoundError|PermissionError|Arrow\w+): (.+)", last)
    return DataError(explained(stored[1])) if stored else RuntimeError(last)


def _counted(job: Job, products: int) -> dict[str, Any]:
    """Counts of all answers in the output. Raises DataError where they are not as many as the products."""
    files, folder = place(job.target)
    found = [
        each.path
        for each in files.get_file_info(FileSelector(folder))
        if each.type == FileType.File and each.path.endswith(".parquet")
    ]
    counts: dict[str, int] = {}
    answered = 0
    for batch in ds.dataset(found, filesystem=files).to_batches(columns=["missing", "flag"]) if found else ():
        answered += len(batch)
        lacking = [f"without {name}" for cell in batch.column("missing").to_pylist() for name in cell.split()]
        for name in [*lacking, *filter(None, batch.column("flag").to_pylist())]:
            counts[name] = counts.get(name, 0) + 1
    if answered != products:
        raise DataError(f"{job.target} holds {answered:,} answers for {products:,} products: name a new --output folder")
    return {"products": products, "flagged": counts, "files": len(found)}
