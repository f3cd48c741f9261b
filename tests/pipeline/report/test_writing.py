import csv
import json
import re

import pytest
from click.testing import CliRunner

from pipeline.commands.report import command
from pipeline.report.comparison import compare
from pipeline.report.writing import write_report
from tests.pipeline.report.studies import make_study
from tests.pipeline.report.test_comparison import FEW

FILES = ["index.html", "report.csv", "report.json", "report.md", "report.tex"]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("study"), strategies=FEW)


def test_the_same_runs_give_the_same_bytes(workspace, tmp_path):
    for name in ("one", "other"):
        write_report(compare(workspace, resamples=50), tmp_path / name)
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == FILES
    for name in FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_the_command_prints_the_verdict_and_where_the_page_is(workspace):
    result = CliRunner().invoke(command, ["--workspace", str(workspace)], catch_exceptions=False)
    assert result.exit_code == 0
    report = json.loads((workspace / "report" / "report.json").read_text())
    assert re.sub(r"\s+", " ", report["verdict"]) in re.sub(r"\s+", " ", result.output)
    assert str(workspace / "report" / "index.html") in result.output.replace("\n", "")


def test_json_is_the_report_and_nothing_else(workspace):
    result = CliRunner().invoke(command, ["--workspace", str(workspace), "--json"], catch_exceptions=False)
    assert json.loads(result.stdout) == json.loads((workspace / "report" / "report.json").read_text())


def test_every_row_of_the_csv_is_a_row_of_the_json(workspace, tmp_path):
    write_report(compare(workspace, resamples=50), tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    with (tmp_path / "report.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["strategy"] for line in lines] == [row["strategy"] for row in report["rows"] + report["ensembles"]]
    assert float(lines[0]["test_macro_f1_mean"]) == report["rows"][0]["test"]["macro_f1"]["mean"]
