import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusecat.cache.errors import DamagedFile
from fusecat.cache.records import SEAL, check_digests, digests, read_record, write_record

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text().filter(lambda name: name != SEAL), VALUES, max_size=4))
def test_a_record_comes_back_as_it_was_written(tmp_path_factory, record):
    path = write_record(tmp_path_factory.getbasetemp() / "records" / "a.json", record)
    assert read_record(path, "") == json.loads(json.dumps(record))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text[:-3],
        lambda text: "[1]",
        lambda text: "null",
        lambda text: "[" * 100_000,
        lambda text: text.replace("macro-f1", "accuracy"),
        lambda text: text.replace("[1, 2]", '"[1, 2]"').replace("1,\n", "2,\n"),
        lambda text: text.replace(SEAL, "sha255") + "}",
    ],
)
def test_a_record_that_was_changed_is_refused_with_its_name_and_a_way_out(tmp_path, change):
    path = write_record(tmp_path / "a.json", {"metric": "macro-f1", "counts": [1, 2]})
    changed = change(path.read_text())
    assert changed != path.read_text()
    path.write_text(changed)
    with pytest.raises(DamagedFile, match=r"a\.json: damaged \(.*\); do this") as caught:
        read_record(path, "do this")
    assert caught.value.exit_code == 4 and "\n" not in str(caught.value)


def test_a_record_of_an_earlier_version_has_no_digest(tmp_path):
    (tmp_path / "a.json").write_text('{"metric": "macro-f1"}')
    assert read_record(tmp_path / "a.json", "") == {"metric": "macro-f1"}
    with pytest.raises(FileNotFoundError):
        read_record(tmp_path / "b.json", "")


def test_files_that_were_changed_or_lost_are_named(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ("a", "deep/b", ".left.1.part", "out"):
        (tmp_path / name).write_text(name)
    known = digests(tmp_path, ("out",))
    assert list(known) == ["a", "deep/b"]
    check_digests(tmp_path, known, "")
    (tmp_path / "deep" / "b").write_text("other")
    with pytest.raises(DamagedFile, match=r"deep/b: damaged \(not what was written\); again"):
        check_digests(tmp_path, known, "again")
    (tmp_path / "a").unlink()
    with pytest.raises(DamagedFile, match="a: damaged \\(missing\\)"):
        check_digests(tmp_path, known, "again")
