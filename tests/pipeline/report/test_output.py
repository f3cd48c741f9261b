import csv
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from fusecat.pipeline.commands.report import command
from fusecat.pipeline.report.tables import comma_separated, folded, group_text, markdown, tex, tex_text
from fusecat.stages.metrics import METRICS
from tests.pipeline.report.studies import make_study
from tests.pipeline.report.test_comparison import FEW

FILES = ["index.html", "report.csv", "report.json", "report.md", "report.tex"]
GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("study"), strategies=FEW)


@pytest.fixture(scope="module")
def written(workspace):
    """The files after `--json`, what that printed, the files after the plain command, and what that printed."""
    found = []
    for options in (["--json"], []):
        result = CliRunner().invoke(command, ["--workspace", str(workspace), *options], catch_exceptions=False)
        assert result.exit_code == 0
        found += [{path.name: path.read_text() for path in (workspace / "report").iterdir()}, result.stdout]
    return found


@pytest.fixture(scope="module")
def report(written):
    return json.loads(written[0]["report.json"])


def test_a_report_needs_no_heavy_library(workspace, tmp_path):
    words = ["fusecat", "report", "--workspace", str(workspace), "--output", str(tmp_path / "page")]
    code = f"import sys; sys.argv = {words!r}\nfrom fusecat.pipeline.cli import main\ntry: main()\nexcept SystemExit: pass\n"
    code += "print(*sys.modules, file=sys.stderr)"
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True, cwd=root)
    assert (tmp_path / "page" / "index.html").exists()
    heavy = {"torch", "sklearn", "matplotlib", "transformers", "lightgbm", "optuna", "pandas", "joblib"}
    assert not heavy & set(done.stderr.split())


def test_the_same_runs_give_the_same_bytes(written):
    assert sorted(written[0]) == FILES
    assert written[0] == written[2]


def test_the_command_prints_the_verdict_and_where_the_page_is(written, report, workspace):
    assert re.sub(r"\s+", " ", report["verdict"]) in re.sub(r"\s+", " ", written[3])
    assert str(workspace / "report" / "index.html") in written[3].replace("\n", "")


def test_json_is_the_report_and_nothing_else(written, report):
    assert json.loads(written[1]) == report


def test_every_row_of_the_csv_is_a_row_of_the_json(written, report):
    lines = list(csv.DictReader(written[0]["report.csv"].splitlines()))
    assert [line["strategy"] for line in lines] == [row["strategy"] for row in report["rows"] + report["ensembles"]]
    assert float(lines[0]["test_macro_f1_mean"]) == report["rows"][0]["test"]["macro_f1"]["mean"]


def test_a_narrow_terminal_gets_fewer_columns_and_no_broken_figure(workspace, written, report):
    from rich.console import Console

    from fusecat.pipeline.report.terminal import ranked_table

    for width in (60, 80, 100, 160):
        terminal = Console(width=width, record=True, color_system=None)
        with terminal.capture() as held:
            terminal.print(ranked_table(report, width))
        text = held.get()
        assert max(len(line) for line in text.splitlines()) <= width
        shown = [row for row in report["rows"] if row["strategy"] not in folded(report)]
        assert len(shown) < len(report["rows"])
        assert all(f"{100 * row['validation']['macro_f1']['mean']:.1f}" in text for row in shown)
        assert width < 80 or all(f" {row['strategy']} " in text for row in shown), "a name is broken"


def test_the_form_of_a_small_fixed_study_is_the_golden_one(written):
    """After a wanted change: write `outline(...)` and report.md of this study into golden/."""
    assert written[0]["report.md"] == (GOLDEN / "report.md").read_text()
    assert outline(written[0]["index.html"]) == (GOLDEN / "outline.txt").read_text()


def test_a_spreadsheet_takes_no_cell_for_a_formula(report):
    hostile = json.loads(json.dumps(report))
    for row, name in zip(hostile["rows"], ("=cmd()", "+A1", "-A1", "-1,5", "\tx", "\rx"), strict=False):
        row["strategy"] = name
        row["test"]["macro_f1"]["mean"] = -0.5
    lines = list(csv.DictReader(comma_separated(hostile).splitlines()))
    assert [line["strategy"] for line in lines[:4]] == ["'=cmd()", "'+A1", "'-A1", "-1,5"]
    assert lines[0]["test_macro_f1_mean"] == "-0.5"


def test_markdown_keeps_its_table_whatever_a_name_holds(report):
    hostile = json.loads(json.dumps(report))
    hostile["rows"][0]["strategy"] = "a|b\n<script>`x`"
    (line,) = [line for line in markdown(hostile).splitlines() if "&lt;script" in line]
    assert len(re.split(r"(?<!\\)\|", line)) == 13
    assert "<script>" not in line


@pytest.mark.parametrize(
    ("metric", "columns", "factor"), [("macro-f1", 2, 100), ("balanced-accuracy", 3, 100), ("log-loss", 3, 1)]
)
def test_tex_has_the_metric_that_chose(written, metric, columns, factor):
    report = json.loads(written[0]["report.json"]) | {"metric": metric}
    told = METRICS[metric]
    text = tex(report)
    head = next(line for line in text.splitlines() if line.startswith(" & "))
    assert head.count("&") == 2 * columns
    assert (told.shown in head) == (columns == 3)
    assert f"{factor * report['rows'][0]['test'][told.key]['mean']:.2f}" in text
    assert f"\\cmidrule(lr){{{columns + 2}-{2 * columns + 1}}}" in text


def test_tex_prints_what_it_would_otherwise_obey():
    assert tex_text("\\input{x} & 50% $y$ a_b #1 ~^ \x1b") == (
        r"\textbackslash{}input\{x\} \& 50\% \$y\$ a\_b \#1 \textasciitilde{}\textasciicircum{} "
    )


def test_letters_are_shortened_only_where_nothing_is_lost():
    assert [group_text(letters) for letters in ("", None, "a", "ab", "abc", "abdefg", "b(27)")] == [
        "", "", "a", "ab", "a–c", "abd–g", "b(27)"
    ]  # fmt: skip


class _Outline(HTMLParser):
    def __init__(self):
        super().__init__()
        self.lines, self.open = [], None

    def handle_starttag(self, tag, attrs):
        if tag in ("h1", "h2", "h3", "summary", "th"):
            self.open = [tag, ""]
        if tag in ("section", "figure"):
            self.lines.append(f"{tag} {dict(attrs).get('id', '')}".strip())

    def handle_data(self, data):
        if self.open:
            self.open[1] += data

    def handle_endtag(self, tag):
        if self.open and tag == self.open[0]:
            self.lines.append(f"  {tag} {' '.join(self.open[1].split())}")
            self.open = None


def outline(page):
    """Sections, figures, headings and table heads of a page."""
    parser = _Outline()
    parser.feed(page)
    return "\n".join(parser.lines) + "\n"
