"""Progress of work on features, of `extract` and `predict`."""

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from fusecat.stages import progress

if TYPE_CHECKING:
    from rich.console import Console

    from fusecat.stages.extraction.extract import Outcome


class Ticker:
    """Progress of stage one: a live line on a terminal; elsewhere the heartbeat tells the phase, and nobody tells it again."""

    def __init__(self, screen: "Console") -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        self.screen, self.open = screen, ExitStack()
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
        self.open.enter_context(self.live)
        if self.screen.is_terminal and not self.screen.quiet:
            self.open.enter_context(progress.shown_otherwise())
        self.now = self.open.enter_context(progress.phase("at work"))
        return self

    def __exit__(self, *_: object) -> None:
        self.open.close()

    def __call__(self, feature: str, phase: str, done: int, total: int, note: str = "") -> None:
        """Show where a network stands (see `stages.extraction.progress`)."""
        if not total:
            self.screen.print(f"{feature}: {phase}", markup=False)
            return
        if (feature, phase) != self.place:
            self.place = (feature, phase)
            self.begun = (time.monotonic(), done)
            self.live.reset(self.task, total=total, description=f"{feature} {phase}", note=note)
        self.now.text = f"{feature}: {phase} {done:,}/{total:,}{note and f', {note}'}{self._left(done, total)}"
        self.live.update(self.task, completed=done, total=total, note=note)

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
