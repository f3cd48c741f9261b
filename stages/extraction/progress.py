"""How long work tells whoever waits for it. The terminal's side of it is in `pipeline.console`."""

from typing import Protocol


class Progress(Protocol):
    """Called often; whoever shows it decides how often that is worth a line."""

    def __call__(self, feature: str, phase: str, done: int, total: int, note: str = "") -> None:
        """`done` of `total` steps or rows of a `phase` (`fine-tuning`, `extraction`); `note`: speed, scores.

        With `total` 0 `phase` is a remark, to be shown at once and once.
        """


def silent(feature: str, phase: str, done: int, total: int, note: str = "") -> None:
    """Show nothing."""
