"""`fusecat check` tells what is there in one screen or as JSON, refuses in one line, and then leaves nothing behind."""

import json
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from fusecat.pipeline.cli import main

ROOT = Path(__file__).parents[3]


def run(monkeypatch: pytest.MonkeyPatch, workspace: Path, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["fusecat", "check", "--workspace", str(workspace), *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_json_holds_what_other_programs_rely_on(monkeypatch, capsys, sample_cut: Path, tmp_path: Path) -> None:
    assert run(monkeypatch, tmp_path / "w", sample_cut, "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert {
        key: record[key] for key in ("products", "labelled", "classes", "missing_images", "unreadable_images", "warnings")
    } == {
        "products": 180,
        "labelled": 180,
        "classes": 6,
        "missing_images": 0,
        "unreadable_images": 0,
        "warnings": [],
    }
    assert 0 < record["missing_descriptions"] < 180
    assert record["duplicates"] >= 0
    assert sum(record["split"]["counts"].values()) == 180


def test_a_warning_is_counted_and_says_what_becomes_of_it(monkeypatch, capsys, sample_cut: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sample_cut, tmp_path / "\x1b[31mred [bold]"))
    pictures = sorted((folder / "image_training").iterdir())
    pictures[0].unlink()
    pictures[1].write_bytes(b"<html>")
    monkeypatch.setenv("COLUMNS", "200")
    assert run(monkeypatch, tmp_path / "w", folder) == 0
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert "[bold]" in text
    assert "missing images" in text
    assert "unreadable images" in text
    assert "a web page, not a picture" in text
    assert "Ready, with 2 kinds of warning" in text
    assert run(monkeypatch, tmp_path / "w", folder, "--json") == 0
    warnings = json.loads(capsys.readouterr().out)["warnings"]
    assert [(warning["kind"], warning["count"]) for warning in warnings] == [("missing_images", 1), ("unreadable_images", 1)]
    assert pictures[0].name in warnings[0]["first"]


def test_a_refusal_is_one_line_and_leaves_nothing(monkeypatch, capsys, sample_cut: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sample_cut, tmp_path / "catalogue"))
    (folder / "Y_train.tsv").write_text("Integer_id\tPrdtypecode\n1\t1010.5\n", encoding="utf-8")
    assert run(monkeypatch, tmp_path / "w", folder) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "Y_train.tsv: line 2, column Prdtypecode: '1010.5'" in captured.err
    assert not (tmp_path / "w").exists()


def test_a_path_that_is_not_there_is_wrong_usage(monkeypatch, capsys, tmp_path: Path) -> None:
    assert run(monkeypatch, tmp_path / "w", tmp_path / "nowhere") == 2
    assert "nowhere does not exist" in capsys.readouterr().err


def test_a_catalogue_of_ones_own_by_flags(monkeypatch, capsys, tmp_path: Path) -> None:
    rows = [f"{number:03d};Tasse {number};{'AB'[number % 2]};s{number // 4};" for number in range(60)]
    (tmp_path / "p.csv").write_text("\n".join(["sku;name;cat;seller;set", *rows]), encoding="utf-8")
    assert run(monkeypatch, tmp_path / "w", tmp_path / "p.csv") == 3
    assert "try --columns 'id=sku,title=name,label=cat'" in capsys.readouterr().err
    flags = ["--columns", "id=sku,title=name,label=cat", "--group-by", "seller", "--json"]
    assert run(monkeypatch, tmp_path / "w", tmp_path / "p.csv", *flags) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["layout"], record["duplicate_groups"], record["classes"]) == ("own", 15, 2)
    assert run(monkeypatch, tmp_path / "w", tmp_path / "p.csv", "--columns", "id=sku,title=name") == 0
    assert "No product has a label" in capsys.readouterr().out
    assert run(monkeypatch, tmp_path / "w", tmp_path / "p.csv", "--columns", "id=sku,titel=name") == 2
    assert "did you mean title" in capsys.readouterr().err


def test_help_needs_no_library(tmp_path: Path) -> None:
    code = "import sys, fusecat.pipeline.commands.check; print(sorted({'numpy', 'PIL', 'cv2', 'rich'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_walk_through_of_the_docs_goes_as_it_says(monkeypatch, capsys, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "own-catalogue.md").read_text(encoding="utf-8")
    commands = [shlex.split(line)[2:] for line in page.splitlines() if line.startswith("fusecat check ")]
    monkeypatch.chdir(ROOT)
    assert [run(monkeypatch, tmp_path / "w", *command) for command in commands] == [3, 0, 0]
    told = capsys.readouterr()
    assert "kept together" in told.out  # nobody takes products of one supplier for duplicates
    assert "near duplicates  " not in told.out
    pasted = told.err.partition("--columns '")[2].partition("'")[0]
    assert pasted in page
    assert pasted == commands[1][2]
    settings = tomllib.loads(page.partition("```toml\n")[2].partition("```")[0])
    (tmp_path / "c" / "fotos").mkdir(parents=True)
    table = (ROOT / "docs" / "haushalt" / "produkte.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "c" / "fotos" / "eins.png").write_bytes(b"")
    rows = [f"{table[0]};Marke;Bilder", *(f"{row};Nord;eins" for row in table[1:])]
    (tmp_path / "c" / "produkte.csv").write_text("\n".join(rows), encoding="utf-8")
    (tmp_path / "c" / "catalogue.toml").write_text(page.partition("```toml\n")[2].partition("```")[0], encoding="utf-8")
    assert set(settings) <= {"files", "images", "group_by", "columns", "classes"}
    assert run(monkeypatch, tmp_path / "w", tmp_path / "c", "--json") == 0
    kinds = [warning["kind"] for warning in json.loads(capsys.readouterr().out)["warnings"]]
    assert kinds == ["codes_without_name", "unreadable_images"]


def test_pictures_none_of_which_can_be_read_are_refused_with_a_way_that_works(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    rows = ["id,title,label,image"]
    for number in range(30):
        rows.append(f"{number},vase {number} {number * 7},{'ABC'[number % 3]},{number}.heic")
        (shop / f"{number}.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes([number]))
    (shop / "p.csv").write_text("\n".join(rows))
    words = (tmp_path / "w", shop, "--columns", "id=id,title=title,label=label,image=image")
    assert run(monkeypatch, *words) == 3
    assert "0 of 30 products have a picture that can be read" in capsys.readouterr().err
    assert run(monkeypatch, *words, "--images", "none") == 0
