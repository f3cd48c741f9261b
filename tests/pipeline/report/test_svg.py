"""The pictures are the same whatever a user has set for matplotlib, and leave what is set as it is."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DRAW = """
import os, sys
before = dict(os.environ)
from fusecat.pipeline.report.figures import Dot, curves, dots
from fusecat.pipeline.report.svg import INK, Sheet, picture
sheet = Sheet()
rows = [Dot("baseline/average", 1, 0.5, 1.5, INK, "o", [0.9, 1.1], bold=True), Dot("$a_b$ <été>", 2, 1, 3, INK, "s")]
print(picture(lambda narrow: dots(rows, axis="score", narrow=narrow), sheet, name="dots", label="dots"))
print(picture(lambda narrow: curves({"a": [(1, 2), (2, 3)]}, axis="loss", narrow=narrow), sheet, name="c", label="c"))
print(sheet.css)
after = dict(os.environ) | {name: before[name] for name in ("MPLCONFIGDIR",) if name in before}  # matplotlib's own doing
assert after == before, "the environment is the user's"
assert "matplotlib.pyplot" not in sys.modules, "pyplot belongs to whoever draws on a screen"
import matplotlib
print(matplotlib.rcParams["font.size"], dict.__getitem__(matplotlib.rcParams, "backend"), file=sys.stderr)
"""
TASTE = "font.size: 40\nlines.linewidth: 30\nsvg.fonttype: path\naxes.grid: True\npath.sketch: 1, 100, 2\nno.such: key\n"


def draw(cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", DRAW]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MPL", "MATPLOTLIB"))}
    inherited |= {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd=cwd, env=inherited | environment, timeout=120)


@cache
def plain() -> str:
    done = draw(ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "nonsense", "", "TkAgg", "agg"])
def test_the_backend_of_a_notebook_does_not_matter(backend: str) -> None:
    done = draw(ROOT, MPLBACKEND=backend)
    assert done.returncode == 0, done.stderr
    assert done.stdout == plain()
    assert len(done.stderr.splitlines()) == 1
    if backend in ("TkAgg", "agg"):  # whoever draws on a screen later gets what they asked for
        assert done.stderr.split()[1] == backend


@pytest.mark.parametrize("here", [True, False])
def test_the_taste_of_a_matplotlibrc_does_not_matter_and_stays_as_it_is(here: bool, tmp_path: Path) -> None:
    rc = tmp_path / "matplotlibrc"
    rc.write_text(TASTE, encoding="utf-8")
    done = draw(tmp_path) if here else draw(ROOT, MATPLOTLIBRC=str(rc))
    assert done.returncode == 0, done.stderr
    assert done.stdout == plain()
    assert done.stderr.startswith("40.0"), done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_folder_that_cannot_be_written_says_nothing() -> None:
    done = draw(ROOT, MPLCONFIGDIR=os.devnull + "/none")
    assert done.stdout == plain()
    assert len(done.stderr.splitlines()) == 1


def test_a_matplotlibrc_that_is_no_text_is_named() -> None:
    done = draw(ROOT, MATPLOTLIBRC=sys.executable)
    assert done.returncode == 1
    assert "UsageError: a matplotlibrc" in done.stderr
