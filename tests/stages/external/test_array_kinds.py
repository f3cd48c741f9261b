"""What a notebook passes beside plain arrays: read as it is meant, or refused in one line that says what to do."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from fusecat.stages.external.arrays import table_of

ROWS = 60
LABELS = np.arange(ROWS) % 3
WORDS = (np.eye(3)[LABELS] @ np.arange(12).reshape(3, 4) + np.random.default_rng(0).normal(size=(ROWS, 4))).astype(np.float32)
PIXELS = WORDS[:, ::-1].copy()
SCORES = np.eye(3, dtype=np.float32)[LABELS]


def made(words=WORDS, labels=LABELS, **options):
    return table_of({"text": words, "image": PIXELS}, labels, **options)


@pytest.mark.parametrize(
    "words",
    [
        [torch.tensor(row, requires_grad=True) for row in WORDS],
        torch.tensor(WORDS).to_sparse(),
        torch.complex(torch.zeros(ROWS, 4), -torch.tensor(WORDS)).conj().imag,
        pa.array(WORDS.tolist()),
        pa.table({f"emb_{number}": WORDS[:, number] for number in range(4)}),
        np.ma.masked_array(WORDS, mask=False),
    ],
    ids=["tensors", "sparse", "negative", "arrow", "arrow table", "mask"],
)
def test_vectors_of_other_libraries_are_read(words):
    np.testing.assert_array_equal(made(words)[0].features["text"].embedding, WORDS)


def test_vectors_of_polars_are_read():
    polars = pytest.importorskip("polars")
    for words in (polars.DataFrame(WORDS), polars.DataFrame({"e": WORDS.tolist()}), polars.Series(WORDS.tolist())):
        np.testing.assert_array_equal(made(words)[0].features["text"].embedding, WORDS)


FRAME = pd.DataFrame(WORDS, columns=list("abcd"))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (FRAME.assign(id=range(ROWS)), "its column 'id' is no dimension of a vector; drop it"),
        (FRAME.assign(Label=LABELS), "its column 'Label' is no dimension"),
        (FRAME.assign(seen=pd.Timestamp("2020-01-01")), "its column 'seen' holds dates"),
        (np.zeros((ROWS, 4), "M8[s]"), "it holds dates"),
        (WORDS + 1j, "it holds complex numbers"),
        (torch.tensor(WORDS + 1j), "it holds complex numbers"),
        (np.ma.masked_array(WORDS, mask=np.eye(ROWS, 4, -5)), "in row 5, 4 rows in all"),
        (WORDS.astype(float) * 1e40, r"in row 0, 60 rows in all \(float32 ends at 3.4e38\)"),
        (WORDS[:, :0], "'text' has no column; leave it out"),
        ([None] * ROWS, "'text' has no vector in any row"),
        ("vectors.npy", "is a str, no matrix of numbers: load the file first"),
        (dict(enumerate(WORDS)), "is a dict, no matrix of numbers: pass its values in the order"),
        (None, "is a NoneType"),
        ([[], *WORDS.tolist()[1:]], r"row 0 has shape \(0,\), others \(4,\); None says that a vector is absent"),
        ([*WORDS.tolist()[:-1], [1.0]], r"row 59 has shape \(1,\), others \(4,\)"),
    ],
)
def test_what_would_become_numbers_that_mean_nothing_is_refused(words, reason):
    with pytest.raises(ValueError, match=reason):
        made(words)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([{"a"}, {"b"}] * 30, "row 0 holds a set"),
        ([["a", "b"], ["a"]] * 30, "row 0 holds a list"),
        (SCORES, r"\(60, 3\); of one row of numbers per class pass x.argmax"),
        ("class", "not a str: class"),
        ({0: "a"}, "not a dict"),
        (np.where(LABELS == 1, np.inf, LABELS), "row 1 has none"),
        (np.random.default_rng(0).normal(size=ROWS), "every product has a label of its own.*a number to regress"),
        ([f"SKU {row}" for row in range(ROWS)], "every product has a label of its own.*a name or an id"),
    ],
)
def test_labels_that_are_no_classes_are_refused(labels, reason):
    with pytest.raises(ValueError, match=reason):
        made(labels=labels)


@pytest.mark.parametrize("labels", [np.array([b"a", b"b", b"c"] * 20), [b"a", b"b", b"c"] * 20, pa.array(list("abc") * 20)])
def test_labels_are_called_as_they_are_written(labels):
    assert made(labels=labels)[0].classes == ("a", "b", "c")


def test_whole_labels_beside_a_gap_keep_their_names():
    assert made(labels=LABELS.astype(float))[0].classes == ("0", "1", "2")


@pytest.mark.parametrize("labels", [["a", "a ", "b"] * 20, ["None", "a", "b"] * 20, ["a|b", "a", "b"] * 20])
def test_labels_are_doubted_as_those_of_a_catalogue_without_options_that_a_notebook_lacks(labels):
    (found,) = made(labels=labels)[1]
    assert found.kind in ("labels_alike", "labels_like_nothing", "compound_labels") and "--" not in found.treatment


@pytest.mark.parametrize("odd", ["False", "no", np.nan, None, 2, pd.NA])
def test_a_mask_says_true_or_false(odd):
    for mask in ([odd] + [True] * (ROWS - 1), pd.Series([odd] + [True] * (ROWS - 1), dtype=object)):
        with pytest.raises(ValueError, match=r"present\['text'\]: row 0 says .*; a mask has True or False"):
            made(present={"text": mask})
    assert made(present={"text": torch.arange(ROWS) > 3})[0].features["text"].present.sum() == ROWS - 4


def test_columns_of_scores_are_found_by_the_names_of_classes():
    labels = np.array(list("abc"))[LABELS]
    frame = pd.DataFrame(SCORES, columns=list("abc"))
    for scores in (frame, frame[["c", "a", "b"]], torch.tensor(SCORES, requires_grad=True), torch.tensor(SCORES).bfloat16()):
        np.testing.assert_array_equal(made(labels=labels, logits={"text": scores})[0].features["text"].logits, SCORES)
    with pytest.raises(ValueError, match="name each as its class"):
        made(labels=labels, logits={"text": frame.rename(columns={"a": "x"})})
    with pytest.raises(ValueError, match=r"logits\['text'\] holds NaN or infinity in row 0"):
        made(labels=labels, logits={"text": [None, *SCORES.tolist()[1:]]})


@pytest.mark.parametrize("given", [[WORDS, PIXELS], pd.DataFrame({"text": [0] * ROWS}), {1: WORDS}])
def test_what_is_no_dict_of_names_is_refused(given):
    with pytest.raises(ValueError, match="features must be a dict, name of a feature -> array"):
        table_of(given, LABELS)
    with pytest.raises(ValueError, match="present must be a dict"):
        made(present=np.ones(ROWS, bool))


def test_what_tells_nothing_or_all_is_said():
    mask = np.arange(ROWS) > 1
    parts = ["train"] * 30 + ["validation"] * 15 + ["test"] * 15
    said = {
        "flat_features": {"words": np.ones((ROWS, 2))},
        "columns_that_say_the_class": {"words": np.c_[WORDS, LABELS]},
        "features_absent_from_a_part": {"parts": parts, "present": {"text": np.array(parts) != "test"}},
        "rows_without_vectors": {"present": {"text": mask, "image": mask}},
    }
    for kind, options in said.items():
        assert [found.kind for found in made(**options)[1]] == [kind]
    assert [found.kind for found in made(WORDS * 1e-30)[1]] == ["flat_features"]
    assert made()[1] == ()
