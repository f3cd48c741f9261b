"""Benchmarks go on with the code that they measure."""

import importlib
import re
from pathlib import Path

import pytest

from benchmarks import gpu

MODULES = sorted(path.stem for path in Path(gpu.__file__).parent.glob("[a-z]*.py"))


@pytest.mark.parametrize("name", MODULES)
def test_every_benchmark_is_imported(name: str) -> None:
    pytest.importorskip("matplotlib")
    module = importlib.import_module(f"benchmarks.{name}")
    assert module.__doc__


def test_a_table_takes_the_place_of_its_card_s_own() -> None:
    page = gpu.rewritten("# Results\n", "### H100\nold\n\n")
    page = gpu.rewritten(page, "### L4\nother\n\n")
    page = gpu.rewritten(f"{page}\n## More\n", "### H100\nnew\n\n")
    assert page == "# Results\n\n<!-- gpu -->\n### H100\nnew\n\n### L4\nother\n\n<!-- end of gpu -->\n\n## More\n"
    shown = gpu.RESULTS.read_text(encoding="utf-8")
    assert gpu.rewritten(shown, "### H100\nnew\n\n").count(gpu.END) == 1


@pytest.mark.slow
def test_the_command_for_a_gpu_is_rehearsed_without_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every part runs, is counted and timed; no page is written where no card was measured."""
    page = tmp_path / "page.md"
    assert gpu.main(["--small", "--to", str(page)]) == 0
    told = capsys.readouterr().out
    table = told[told.index("### ") :]
    names = [line.split(" | ")[0] for line in table.splitlines() if line.startswith("| ")][1:]
    assert [name.split()[1].rstrip(",") for name in names] == ["camembert", "se_resnext50", "vit_base", "camembert"]
    assert "went on with gradient checkpointing" in names[-1]
    speeds = [float(cell.replace(",", "")) for cell in re.findall(r"(?<=\| )[\d,.]+(?= \|)", table)]
    assert len(speeds) == 12 and min(speeds) > 0
    assert "12 runs of the thesis heads over 500 products" in table
    assert not page.exists()


def test_minutes_that_are_over_are_said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "stage_one", lambda *_, **__: [])
    assert gpu.main(["--small", "--minutes", "0"]) == 1
    assert "The time was over before part 1 of 1." in capsys.readouterr().out
