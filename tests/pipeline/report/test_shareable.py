import json
import subprocess
import sys
import zipfile

import pytest

from fusecat.pipeline.console import default_catalogue
from fusecat.pipeline.report.comparison import compare
from fusecat.pipeline.report.output import write_report
from fusecat.pipeline.report.shareable import write_bundle
from fusecat.stages.catalogue.read import read_catalogue
from tests.pipeline.report.studies import make_sample_study, make_study
from tests.pipeline.report.test_comparison import FEW


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    groups = {"groups": {"count": 1, "products": 2, "largest": ["secret-1", "secret-2"]}}
    info = {"catalogue": "/home/someone/secret", "commands": ["fusecat extract secret"], "split": groups,
            "warnings": [{"kind": "x", "count": 1, "first": "secret-7", "treatment": "kept"}]}  # fmt: skip
    make_study(root, strategies=FEW, ids=[f"secret-{at}" for at in range(450)], info=info)
    write_report(compare(root, resamples=20), shareable=True)
    return root / "report-shareable"


def test_nothing_that_is_shared_names_a_product_or_a_place(shared):
    for path in shared.iterdir():
        texts = [path.read_text()] if path.suffix != ".zip" else [
            zipfile.ZipFile(path).read(name).decode() for name in zipfile.ZipFile(path).namelist()
        ]  # fmt: skip
        assert not any("secret" in text for text in texts), path.name
    assert "<img" not in (shared / "index.html").read_text()


def test_the_table_can_be_recomputed_from_the_bundle_alone(shared, tmp_path):
    zipfile.ZipFile(shared / "report-bundle.zip").extractall(tmp_path)
    done = subprocess.run([sys.executable, "-I", tmp_path / "recompute.py"], capture_output=True, text=True, check=True)
    table = json.loads(done.stdout)
    report = json.loads((shared / "report.json").read_text())
    for row in report["rows"]:
        for part in ("validation", "test"):
            for metric in ("accuracy", "macro_f1", "weighted_f1", "balanced_accuracy"):
                assert table[row["strategy"]][part][metric] == pytest.approx(row[part][metric]["mean"])


def test_keys_are_salted_anew(shared, tmp_path):
    def keys():
        text = zipfile.ZipFile(shared / "report-bundle.zip").read("predictions.csv").decode()
        return {line.partition(",")[0] for line in text.splitlines()[1:]}

    before = keys()
    write_bundle(compare(shared.parent, resamples=20), shared, "")
    assert len(before) == 210 and not before & keys()


def test_no_title_and_no_picture_is_in_any_byte(tmp_path):
    """On the shipped sample, whose products do have titles and pictures."""
    root = make_sample_study(tmp_path, default_catalogue(), strategies=FEW)
    write_report(compare(root, resamples=20), shareable=True)
    write_report(compare(root, resamples=20))
    names = " ".join(json.loads((root / "study.json").read_text())["class_names"].values())
    titles = {product.title for product in read_catalogue(default_catalogue()).products}
    telling = [title for title in titles if len(title) > 10 and title not in names]
    own, shared = everything(root / "report"), everything(root / "report-shareable")
    assert b"data:image/jpeg" in own and b"data:image/jpeg" not in shared
    assert any(title.encode() in own for title in telling)
    assert not [title for title in telling if title.encode() in shared or json.dumps(title)[1:-1].encode() in shared]


def everything(folder):
    """All bytes of a folder, zip files opened."""
    found = b""
    for path in folder.iterdir():
        found += path.read_bytes()
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as bundle:
                found += b"".join(bundle.read(name) for name in bundle.namelist())
    return found


def test_type_codes_that_start_a_formula_start_none_and_still_recompute(tmp_path):
    codes = ["=cmd()", "+1", "@x", "plain"]
    root = make_study(tmp_path / "study", strategies=FEW[:2], codes=codes, classes=4)
    write_report(compare(root, resamples=20), shareable=True)
    zipfile.ZipFile(root / "report-shareable" / "report-bundle.zip").extractall(tmp_path)
    cells = [cell for line in (tmp_path / "predictions.csv").read_text().splitlines()[1:] for cell in line.split(",")]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@"))]
    done = subprocess.run([sys.executable, "-I", tmp_path / "recompute.py"], capture_output=True, text=True, check=True)
    table, report = json.loads(done.stdout), json.loads((root / "report-shareable" / "report.json").read_text())
    row = report["rows"][0]
    assert table[row["strategy"]]["test"]["macro_f1"] == pytest.approx(row["test"]["macro_f1"]["mean"])
