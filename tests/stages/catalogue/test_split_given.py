"""A split that came with a catalogue is kept as it is, and completed only where validation is missing."""

from pathlib import Path

import numpy as np
import pytest

from fusecat.stages.catalogue.data_model import ReadingOptions
from fusecat.stages.catalogue.read import read_catalogue
from fusecat.stages.catalogue.split import Split, split
from fusecat.stages.errors import DataError
from fusecat.stages.vocabulary import Part, SplitProtocol
from tests.stages.catalogue.forms import csv_text, rows

COLUMNS = {"id": "id", "title": "title", "label": "label"}


def given(folder: Path, *words: str, group: int = 1) -> tuple[Split, list[str]]:
    """The split of 120 products that has these words in turn; `group` neighbours are alike."""
    table = [row | {"part": words[number // group % len(words)]} for number, row in enumerate(rows(120))]
    (folder / "p.csv").write_text(csv_text(table), encoding="utf-8")
    catalogue = read_catalogue(folder / "p.csv", ReadingOptions(columns=COLUMNS, split_column="part"))
    groups = np.arange(len(table), dtype=np.intp) // group
    return split(catalogue, groups, protocol=SplitProtocol.TEST_20), [row["part"] for row in table]


def test_validation_is_drawn_from_train_where_the_split_has_none_and_said(tmp_path: Path) -> None:
    for group in (1, 4):
        drawn, words = given(tmp_path, "train", "train", "test", group=group)
        assert [part is Part.TEST for part in drawn.parts] == [word == "test" for word in words]
        validation = [row for row, part in enumerate(drawn.parts) if part is Part.VALIDATION]
        assert len(validation) == 8
        assert {words[row] for row in validation} == {"train"}
        assert len({row // group for row in validation}) * group == len(validation)
        assert [(finding.kind, finding.count) for finding in drawn.findings] == [("validation_drawn", 8)]
        assert drawn.own
        assert drawn.parts == given(tmp_path, "train", "train", "test", group=group)[0].parts


def test_a_split_without_test_stays_one(tmp_path: Path) -> None:
    drawn, words = given(tmp_path, "train", "train", "validation")
    assert drawn.protocol is SplitProtocol.NO_TEST
    assert not drawn.findings
    assert drawn.counts == {"train": words.count("train"), "validation": words.count("validation")}


@pytest.mark.parametrize("words", [("train",), ("test", "validation")])
def test_a_split_that_lacks_a_part_says_which(words: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the given split leaves 0 for (train|validation).*--split-column"):
        given(tmp_path, *words)
