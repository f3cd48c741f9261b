"""Runs on disk: what stage two writes and the report reads. numpy only, no torch.

`workspace/runs/products.npz` holds what all runs share (ids, labels, split, classes, parts; the fingerprint of the table).
`workspace/runs/<strategy>/seed-<n>/` holds one run: `predictions.npz` (`validation` and `test`: (n, C) float32 probabilities
in table order), `head.safetensors` where there is something to load, and `run.json`, which is written last: a folder without
it is an interrupted run.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cache.disk import locked
from cache.table import FeatureTable

DETERMINISTIC = 0
"""The seed number of a run that draws nothing at random (a network's own logits, a mean of probabilities)."""


@dataclass(frozen=True)
class Run:
    """One strategy fitted with one seed, and what it predicts.

    `probabilities`: part (`validation`, `test`) -> (n, C) float32, rows as `FeatureTable.rows(part)`; a part that does not
    exist is absent. `scores`: part -> scores as in `stages.scores`, `fit` being the rows that the head was fitted on (and
    `fit_PART` those of one part, where there are several).
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
    probabilities: Mapping[str, NDArray[np.float32]]
    scores: Mapping[str, Mapping[str, float]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    tuned: bool = False
    curve: tuple[Mapping[str, float], ...] = ()
    controls: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    key: str = ""


@dataclass(frozen=True)
class Products:
    """What all runs of a workspace share; arrays as in `cache.table.FeatureTable`."""

    ids: NDArray[np.str_]
    labels: NDArray[np.int32]
    split: NDArray[np.uint8]
    classes: tuple[str, ...]
    parts: tuple[str, ...]
    fingerprint: str

    def rows(self, part: str) -> NDArray[np.intp]:
        """Row numbers of the labelled products of a part: the order of every run's predictions."""
        return np.flatnonzero((self.split == self.parts.index(part)) & (self.labels >= 0))


class Runs:
    """The runs of one workspace."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, strategy: str, seed: int) -> Path:
        """The folder of one run."""
        return self.folder / strategy / f"seed-{seed}"

    def lock(self, waiting: Callable[[], None] | None = None) -> AbstractContextManager[None]:
        """Be the only writer of these runs; `waiting` is called once before waiting for another."""
        return locked(self.folder.with_name(f".{self.folder.name}.lock"), waiting=waiting)

    def write_products(self, table: FeatureTable) -> None:
        """Remember ids, labels, split and classes beside the runs, so that a report needs no feature file."""
        columns = {"ids": table.ids, "labels": table.labels, "split": table.split}
        names = {"classes": np.array(table.classes), "parts": np.array(table.parts), "fingerprint": np.array(table.fingerprint)}
        self.folder.mkdir(parents=True, exist_ok=True)
        _publish(self.folder / "products.npz", columns | names)

    def products(self) -> Products:
        """What the runs share. Raises FileNotFoundError where nothing was fused yet."""
        with np.load(self.folder / "products.npz", allow_pickle=False) as file:
            text = {name: tuple(str(value) for value in file[name]) for name in ("classes", "parts")}
            return Products(file["ids"], file["labels"], file["split"], **text, fingerprint=str(file["fingerprint"]))

    def write(self, run: Run) -> Path:
        """Store a run; `head.safetensors`, if any, must be in its folder already. Returns the folder."""
        folder = self.path(run.strategy, run.seed)
        folder.mkdir(parents=True, exist_ok=True)
        _publish(folder / "predictions.npz", dict(run.probabilities))
        record = asdict(run)
        del record["probabilities"]
        partial = folder / "run.json.part"
        partial.write_text(json.dumps(record, indent=1, ensure_ascii=False), encoding="utf-8")
        os.replace(partial, folder / "run.json")
        return folder

    def read(self, strategy: str, seed: int) -> Run | None:
        """The run, or None where it does not exist or was interrupted."""
        folder = self.path(strategy, seed)
        if not (folder / "run.json").is_file():
            return None
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        with np.load(folder / "predictions.npz", allow_pickle=False) as file:
            probabilities = {part: file[part] for part in file.files}
        for name in ("features", "fitted_on", "curve", "notes"):
            record[name] = tuple(record[name])
        return Run(probabilities=probabilities, **record)

    def __iter__(self) -> Iterator[Run]:
        """Every finished run, by strategy and seed."""
        for path in sorted(self.folder.glob("**/run.json")):
            run = self.read(path.parent.parent.relative_to(self.folder).as_posix(), int(path.parent.name.removeprefix("seed-")))
            if run is not None:
                yield run

    def interrupted(self) -> list[str]:
        """`strategy, seed n` of every run that was begun and not finished."""
        folders = sorted(path for path in self.folder.glob("**/seed-*") if not (path / "run.json").is_file())
        return [f"{path.parent.relative_to(self.folder).as_posix()}, {path.name.replace('-', ' ')}" for path in folders]


def _publish(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an .npz under a temporary name, then rename it: a reader sees the old file or the new one."""
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    os.replace(partial, path)
