"""Experiment trackers: where the curves of fine-tuning and the results of a study go.

What the tracker's own variables say holds (MLFLOW_TRACKING_URI, WANDB_MODE, ...); without them everything stays on this
machine, in a folder of the workspace.
"""

import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, assert_never

from fusecat.stages.errors import UsageError


class Tracker(StrEnum):
    """Names as `transformers.TrainingArguments.report_to` has them, and of the extras that install them."""

    TENSORBOARD = "tensorboard"
    MLFLOW = "mlflow"
    WANDB = "wandb"

    def check(self) -> None:
        """Raise UsageError where it is not installed."""
        if importlib.util.find_spec(self.value) is None:
            raise UsageError(f"--tracker {self}: not installed; run 'pip install fusecat[{self}]', or leave it out")


@dataclass(frozen=True)
class Tracking:
    """One run of a tracker: `name` is what it is called there, `folder` where it lies if nothing else is said."""

    tracker: Tracker
    folder: Path
    name: str

    def named(self, name: str) -> "Tracking":
        """Another run beside this one."""
        return replace(self, name=name)

    @contextmanager
    def running(self) -> Iterator[None]:
        """What the tracker's libraries look for in the environment, set for this block."""
        wanted = {name: value for name, value in self._environment().items() if name not in os.environ}
        os.environ.update(wanted)
        try:
            yield
        finally:
            for name in wanted:
                os.environ.pop(name, None)
            if self.tracker is Tracker.WANDB and "wandb" in sys.modules:
                sys.modules["wandb"].finish()  # or the next network's curves would go on in this run

    def _environment(self) -> dict[str, str]:
        match self.tracker:
            case Tracker.TENSORBOARD:
                return {"TENSORBOARD_LOGGING_DIR": str(self.folder / self.name)}
            case Tracker.MLFLOW:
                local = {"MLFLOW_TRACKING_URI": self.folder.absolute().as_uri(), "MLFLOW_ALLOW_FILE_STORE": "true"}
                return {"MLFLOW_EXPERIMENT_NAME": "fusecat"} | (local if "MLFLOW_TRACKING_URI" not in os.environ else {})
            case Tracker.WANDB:
                self.folder.mkdir(parents=True, exist_ok=True)
                local = {"WANDB_MODE": "offline", "WANDB_DIR": str(self.folder), "WANDB_SILENT": "true"}
                return {"WANDB_PROJECT": "fusecat"} | local
            case _:
                assert_never(self.tracker)


def track_study(tracking: Tracking, report: Mapping[str, Any], page: Path | None) -> None:
    """Send the result of a study: what was chosen, and mean scores of each strategy as `STRATEGY/part/metric`.

    `report`: as in report.json. `page`: its files go along.
    """
    facts = {name: report[name] for name in ("catalogue", "preset", "metric", "classes", "chosen", "reference", "verdict")}
    metrics = {
        f"{row['strategy']}/{part}/{metric}": score["mean"]
        for row in report["rows"]
        for part in ("validation", "test")
        for metric, score in (row[part] or {}).items()
    }
    with tracking.running():
        match tracking.tracker:
            case Tracker.MLFLOW:
                import mlflow

                mlflow.set_experiment(os.environ["MLFLOW_EXPERIMENT_NAME"])
                with mlflow.start_run(run_name=tracking.name):
                    mlflow.log_params({name: str(value)[:500] for name, value in facts.items()})
                    mlflow.log_metrics({name.replace("@", " at "): value for name, value in metrics.items()})
                    if page:
                        mlflow.log_artifacts(str(page.parent), "report")
            case Tracker.WANDB:
                import wandb

                run = wandb.init(name=tracking.name, config=facts)
                run.summary.update(metrics)
                if page:
                    artifact = wandb.Artifact("report", type="report")
                    artifact.add_dir(str(page.parent))
                    run.log_artifact(artifact)
            case Tracker.TENSORBOARD:
                raise UsageError("--tracker tensorboard takes curves of 'extract' only; mlflow or wandb take a study's result")
            case _:
                assert_never(tracking.tracker)
