"""Runs on disk: what stage two writes and the report reads. numpy only, no torch.

`workspace/runs/products.npz` holds what all runs share (ids, labels, split, classes, parts; the fingerprint of the table).
`workspace/runs/<strategy>/seed-<n>/` holds one run: `predictions.npz` (`validation` and `test`: (n, C) float32 probabilities
in table order, or what `predictions` keeps of many), `head.safetensors` where there is something to load, and `run.json`, which
is written last: a folder without it is an interrupted run.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

from fusecat.cache.archive import check_arrays, read_arrays
from fusecat.cache.disk import locked
from fusecat.cache.publish import publish_arrays
from fusecat.cache.records import check_digests, damaged, digests, expecting, read_record, write_record
from fusecat.cache.table import FeatureTable, Samples
from fusecat.stages.errors import ModelError
from fusecat.stages.fusion.fit_settings import FitSettings
from fusecat.stages.fusion.predictions import Parts, Probabilities, StoredParts, arrays, outcome_of
from fusecat.stages.fusion.strategy import Strategy
from fusecat.stages.metrics import METRICS, Metric
from fusecat.stages.scores import scores_of
from fusecat.stages.vocabulary import Part

PRODUCTS, PREDICTIONS, RECORD = "products.npz", "predictions.npz", "run.json"
JUDGED = (Part.VALIDATION.value, Part.TEST.value)
"""The parts that runs predict: the first chooses, the second is only reported."""

FILES = "files"
"""The key of a run's files and their SHA-256 in its record."""
WAY_OUT = "run 'fusecat fuse' again, which sets it aside and fits it anew"

DETERMINISTIC = 0
"""The seed number of a run that draws nothing at random (a network's own logits, a mean of probabilities)."""

MEMBERS, LIBRARY = "members", "library"
"""Settings of an ensemble: `STRATEGY SEED` -> key of each run that it combines; the strategies that it could choose from."""


@dataclass(frozen=True)
class Run:
    """One strategy fitted with one seed, and what it predicts.

    `probabilities`: part (`validation`, `test`) -> (n, C) float32, rows as `FeatureTable.rows(part)`; a part that does not
    exist is absent. Those of a stored run are read when they are asked for. `scores`: part -> scores as in `stages.scores`,
    `fit` being the rows that the head was fitted on (and `fit_PART` those of one part, where there are several).
    `fitted_on`: the parts whose labels the head has seen, () if it has none. `curve`: one mapping per epoch. `controls`:
    name (`without image`, `shuffled image`, ...) -> part -> scores. `key`: digest of everything that decided the run.
    """

    strategy: str
    architecture: str
    first: str | None
    final: str | None
    features: tuple[str, ...]
    seed: int
    fitted_on: tuple[str, ...]
    parameters: int
    fit_seconds: float
    predict_seconds: float
    probabilities: Parts
    scores: Mapping[str, Mapping[str, float]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    tuned: bool = False
    curve: tuple[Mapping[str, float], ...] = ()
    controls: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    key: str = ""


@dataclass(frozen=True)
class Job:
    """One run to do.

    `key` is the digest of everything that decides its result, `vectors` that of the vectors alone.
    """

    strategy: Strategy
    seed: int
    settings: FitSettings
    metric: Metric
    key: str = ""
    vectors: str = ""
    tuned: bool = False

    def done(self, **told: Any) -> Run:
        """The run that it has become; `told`: what is known only now."""
        strategy, seed = self.strategy, self.seed if self.strategy.seeded else DETERMINISTIC
        known: dict[str, Any] = {"strategy": strategy.name, "seed": seed, "tuned": self.tuned, "key": self.key}
        return Run(architecture=strategy.architecture, first=strategy.first, final=strategy.final, **known, **told)


@dataclass(frozen=True)
class Products(Samples):
    """What all runs of a workspace share. `fingerprint`: that of the table which they were fitted on.

    `rows(PART)` is the order of every run's predictions.
    """

    fingerprint: str


@cache
def _types() -> Callable[[Mapping[str, Any]], object]:
    """Raises ValueError where a record does not say, in the types of `Run`, what every `run.json` says."""
    from pydantic import ConfigDict, create_model

    told: dict[str, Any] = {name: (kind, ...) for name, kind in get_type_hints(Run).items() if name != "probabilities"}
    told[FILES] = (dict[str, str], {})
    model = create_model("record", __config__=ConfigDict(extra="forbid"), **told)
    return lambda record: model.model_validate(record)


class Runs:
    """The runs of one workspace."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._products: Products | None = None

    def path(self, strategy: str, seed: int) -> Path:
        """The folder of one run."""
        return self.folder / strategy / f"seed-{seed}"

    def lock(self, waiting: Callable[[], None] | None = None) -> AbstractContextManager[None]:
        """Be the only writer of these runs; `waiting` is called once before waiting for another."""
        return locked(self.folder.with_name(f".{self.folder.name}.lock"), waiting=waiting)

    def write_products(self, table: FeatureTable) -> None:
        """Remember ids, labels, split and classes beside the runs, so that a report needs no feature file."""
        self._products = None
        columns = {"ids": table.ids, "labels": table.labels, "split": table.split}
        names = {"classes": np.array(table.classes), "parts": np.array(table.parts), "fingerprint": np.array(table.fingerprint)}
        publish_arrays(self.folder / PRODUCTS, columns | names)

    def products(self) -> Products:
        """What the runs share. Raises FileNotFoundError where nothing was fused yet, DamagedFile."""
        path = self.folder / PRODUCTS
        with _as_damage(path):
            found = read_arrays(path)
        with expecting(path, WAY_OUT):
            text = {name: tuple(str(value) for value in found[name]) for name in ("classes", "parts")}
            return Products(found["ids"], found["labels"], found["split"], **text, fingerprint=str(found["fingerprint"]))

    def write(self, run: Run) -> Path:
        """Store a run; `head.safetensors`, if any, must be in its folder already. Returns the folder."""
        folder = self.path(run.strategy, run.seed)
        publish_arrays(folder / PREDICTIONS, arrays(run.probabilities))
        record = asdict(replace(run, probabilities={}))
        del record["probabilities"]
        write_record(folder / RECORD, record | {FILES: digests(folder, (RECORD,))})
        return folder

    def read(self, strategy: str, seed: int) -> Run | None:
        """The run, or None where it does not exist or was interrupted. Raises DamagedFile."""
        return self.predicted(self.check(strategy, seed)) if self.has(strategy, seed) else None

    def existing(self, strategy: str, seed: int) -> Run:
        """The run. Raises ModelError where there is none, DamagedFile."""
        if (run := self.read(strategy, seed)) is None:
            raise ModelError(f"{self.path(strategy, seed)}: there is no such run; 'fusecat report' lists what there is")
        return run

    def predicted(self, run: Run) -> Run:
        """A run that `check` gave, with its probabilities, which are read when they are asked for."""
        return replace(run, probabilities=_Stored(self.path(run.strategy, run.seed) / PREDICTIONS))

    def check(self, strategy: str, seed: int) -> Run:
        """The run without its probabilities, after a look whether all of its files are as they were written.

        Raises FileNotFoundError, DamagedFile.
        """
        folder, record = self.path(strategy, seed), self.record(strategy, seed)
        if FILES in record:
            check_digests(folder, record.pop(FILES), WAY_OUT)
        else:  # an earlier version's
            with _as_damage(folder / PREDICTIONS):
                check_arrays(folder / PREDICTIONS)
        for name in ("features", "fitted_on", "curve", "notes"):
            record[name] = tuple(record[name])
        return self._scored(Run(probabilities={}, **record))

    def _scored(self, run: Run) -> Run:
        """The run with every metric of what it predicts: an earlier version did not know them all. Raises DamagedFile."""
        keys = {metric.key for metric in METRICS.values()}
        lacking = [part for part in JUDGED if part in run.scores and not keys <= run.scores[part].keys()]
        if not lacking or not (self.folder / PRODUCTS).is_file():
            return run
        self._products = products = self._products or self.products()
        found, added = self.predicted(run).probabilities, {}
        for part in lacking:
            labels = products.labels[products.rows(part)] if part in products.parts else products.labels[:0]
            if part in found and found[part].shape == (len(labels), len(products.classes)):
                added[part] = scores_of(outcome_of(found[part], labels)) | dict(run.scores[part])
        return replace(run, scores={**run.scores, **added})

    def has(self, strategy: str, seed: int) -> bool:
        """Whether that run is finished."""
        return (self.path(strategy, seed) / RECORD).is_file()

    def record(self, strategy: str, seed: int) -> dict[str, Any]:
        """What `run.json` says, the digests of the run's files among it. Raises FileNotFoundError, DamagedFile."""
        path = self.path(strategy, seed) / RECORD
        record = read_record(path, WAY_OUT)
        try:
            _types()(record)
        except ValueError as error:
            raise damaged(path, str(error), WAY_OUT) from error
        if (record["strategy"], record["seed"]) != (strategy, seed):
            raise damaged(path, f"it tells of {record['strategy']}, seed {record['seed']}", WAY_OUT)
        return record

    def finished(self) -> Iterator[tuple[str, int]]:
        """Strategy and seed of every run with a record, sorted."""
        for path in sorted(self.folder.glob(f"**/seed-*/{RECORD}")):
            number = path.parent.name.removeprefix("seed-")
            if number.isdecimal():
                yield path.parent.parent.relative_to(self.folder).as_posix(), int(number)

    def __iter__(self) -> Iterator[Run]:
        """Every finished run, by strategy and seed."""
        for strategy, seed in self.finished():
            if run := self.read(strategy, seed):
                yield run

    def interrupted(self) -> list[str]:
        """`strategy, seed n` of every run that was begun and not finished."""
        folders = sorted(path for path in self.folder.glob("**/seed-*") if not (path / RECORD).is_file())
        return [f"{path.parent.relative_to(self.folder).as_posix()}, {path.name.replace('-', ' ')}" for path in folders]


class _Stored(StoredParts):
    """Raises DamagedFile."""

    def __getitem__(self, part: str) -> Probabilities:
        with _as_damage(self.path):
            return super().__getitem__(part)

    def __iter__(self) -> Iterator[str]:
        with _as_damage(self.path):
            yield from super().__iter__()


@contextmanager
def _as_damage(path: Path) -> Iterator[None]:
    """Let an archive that is none of ours be a DamagedFile."""
    try:
        yield
    except ValueError as error:
        raise damaged(path, str(error), WAY_OUT) from error
