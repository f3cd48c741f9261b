"""The tables of stage one in narrow and in wide terminals."""

import io

import pytest
from rich.console import Console

from fusecat.pipeline.commands._extraction_display import show_estimates, show_summary
from fusecat.stages.extraction.extract import Outcome
from fusecat.stages.extraction.plan import Estimate
from fusecat.stages.extraction.probe import Timing

LEARNING = {"epochs": 10, "best_epoch": 8, "validation": {"macro_f1": 0.8125, "accuracy": 0.75}}
NAMES = ("camembert.title_description", "se_resnext50.image")


def shown(show, values, width: int) -> list[str]:
    screen = Console(file=io.StringIO(), width=width, highlight=False, soft_wrap=True)
    show(screen, values)
    return screen.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("device", [0, 71_000_000_000])
def test_the_summary_keeps_to_the_terminal_and_breaks_no_name(width: int, device: int) -> None:
    outcomes = [
        Outcome(NAMES[0], "extracted", seconds=12345.6, learning=LEARNING, memory=12_340_000_000, device_memory=device),
        Outcome(NAMES[1], "hit", learning=LEARNING),
        Outcome("flaubert.title", "left out", reason="nothing to learn from"),
    ]
    lines = shown(show_summary, outcomes, width)
    assert max(map(len, lines)) <= width
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.split() and line.split()[0] in NAMES}
    graphics = [["71.00"], ["-"]] if device else [[], []]
    assert rows[NAMES[0]] == ["10", "8", "0.812", "0.750", "12,346", "12.34", *graphics[0]]
    assert rows[NAMES[1]] == ["10", "8", "0.812", "0.750", "hit", "-", *graphics[1]]
    assert "flaubert.title" not in " ".join(lines)


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("device", [0, 71_000_000_000])
def test_estimates_keep_to_the_terminal_and_add_up(width: int, device: int) -> None:
    rest = (20, 0.25, 64, 0.01, 0.0)
    timings = [Timing(NAMES[0], *rest, "", 3_000_000_000, device), Timing(NAMES[1], *rest, "x", 3_000_000_000, device)]
    estimates = [Estimate(timings[0], 15_930, 12.5, 0.25), Estimate(timings[1], 40_000, 1.0, 0.0001)]
    lines = shown(show_estimates, estimates, width)
    assert max(map(len, lines)) <= width
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.split() and line.split()[0] in NAMES}
    assert rows[NAMES[0]][:5] == ["0.250", "15,930", "12.5", "0.250", "3.00"]
    assert rows[NAMES[1]][:4] == ["0.250", "40,000", "1.000", "<0.001"]
    assert lines[-2] == "about 13.8 h in all, on this machine as it is now"
    assert lines[-1] == f"{NAMES[1]}: memory ran out; timed with x"
