"""What a person sees of stage one: the catalogue in two lines, one progress line per network, one line per finished feature."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from pipeline.console import safe

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from stages.catalogue.examination import Examination
    from stages.extraction import Outcome, Plan

EVERY = 10.0
"""Seconds between two plain progress lines where the output is no terminal."""


def show_examination(screen: "Console", found: "Examination") -> None:
    """Counts, split and every counted warning."""
    record, split = found.record, found.split
    assert split is not None
    screen.print(
        f"{safe(record['catalogue'])}: {record['products']:,} products, {record['classes']} classes, "
        f"{record['missing_descriptions']:,} without description, {record['missing_images']:,} without image",
        markup=False,
    )
    parts = ", ".join(f"{part} {count:,}" for part, count in split.counts.items())
    largest = f", the largest: {safe(', '.join(split.groups.largest[:5]))}" if split.groups.count else ""
    screen.print(
        f"split {split.protocol}, seed {split.seed}: {parts}; {split.groups.count:,} groups of duplicates "
        f"({split.groups.products:,} products{largest}) each on one side",
        markup=False,
    )
    for finding in found.findings:
        kind = finding.kind.replace("_", " ")
        screen.print(
            f"warning: {finding.count:,} x {kind}: {safe(finding.treatment)}; first: {safe(finding.first)}", markup=False
        )


def show_plans(screen: "Console", plans: Sequence["Plan"], *, work: bool) -> None:
    """One line per feature: hit, or why not; with `work` also what there is to do."""
    for plan in plans:
        verdict = plan.verdict
        why = f" ({', '.join(verdict.changed) or verdict.reason})" if verdict.changed or verdict.reason else ""
        todo = f": {plan.steps:,} steps on {plan.train:,} products, then {plan.products:,} encoded, {plan.disk / 1e6:,.1f} MB"
        screen.print(f"{plan.feature}: {verdict.state}{why}{todo if work and verdict.state != 'hit' else ''}", markup=False)
    if work:
        waiting = [plan for plan in plans if plan.verdict.state != "hit"]
        disk = sum(plan.disk for plan in waiting) / 1e6
        screen.print(
            f"{len(waiting)} of {len(plans)} features to make, {sum(plan.steps for plan in waiting):,} steps, {disk:,.0f} MB"
        )


def show_next(screen: "Console", places: Sequence["Path"]) -> None:
    """The commands that go on from here."""
    for place in places:
        screen.print(f"next: fusecat fuse --workspace {safe(str(place))}", markup=False)
    if len(places) > 1:
        screen.print(f"then: fusecat report --pool {' '.join(safe(str(place)) for place in places)}", markup=False)


class Ticker:
    """Progress of stage one: a live line on a terminal, a plain line every ten seconds elsewhere."""

    def __init__(self, screen: "Console") -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        self.screen = screen
        self.told = 0.0
        self.place = ("", "")
        self.begun = (0.0, 0)
        self.live = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=screen,
            transient=True,
            disable=not screen.is_terminal,
        )
        self.task = self.live.add_task("", total=None, note="")

    def __enter__(self) -> "Ticker":
        self.live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.live.stop()

    def __call__(self, feature: str, phase: str, done: int, total: int, note: str = "") -> None:
        """Show where a network stands (see `stages.encoders.progress`)."""
        if not total:
            self.screen.print(f"{feature}: {phase}", markup=False)
            return
        if (feature, phase) != self.place:
            self.place = (feature, phase)
            self.begun = (time.monotonic(), done)
            self.live.reset(self.task, total=total, description=f"{feature} {phase}", note=note)
        self.live.update(self.task, completed=done, total=total, note=note)
        if not self.screen.is_terminal and time.monotonic() - self.told > EVERY:
            self.told = time.monotonic()
            self.screen.print(f"{feature}: {phase} {done:,}/{total:,}, {note}{self._left(done, total)}", markup=False)

    def _left(self, done: int, total: int) -> str:
        """The time that this phase still takes, once there is something to tell it from."""
        begin, first = self.begun
        if done <= first:
            return ""
        minutes, seconds = divmod(round((time.monotonic() - begin) / (done - first) * (total - done)), 60)
        return f", {minutes // 60}:{minutes % 60:02}:{seconds:02} left"

    def finished(self, outcome: "Outcome") -> None:
        """One line per feature that is done."""
        match outcome.state:
            case "left out":
                line = f"left out, {outcome.reason}"
            case "hit":
                line = "already there, reused"
            case _:
                learning = outcome.learning
                scores = learning["validation"]
                line = (
                    f"best epoch {learning['best_epoch']} of {learning['epochs']}, validation "
                    f"macro-F1 {scores['macro_f1']:.3f}, accuracy {scores['accuracy']:.3f}; {outcome.seconds:.0f} s"
                )
                if outcome.out_of_fold:
                    line += f"; out of fold on train: macro-F1 {outcome.out_of_fold['macro_f1']:.3f}"
        self.screen.print(f"{outcome.feature}: {line}", markup=False)
        self.told = time.monotonic()
