"""Arrays of a notebook: whatever holds them, they become the same table; what does not agree is refused with its row."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from fusecat.stages.external.arrays import table_of

ROWS = 60
LABELS = np.arange(ROWS) % 3
WORDS = (np.eye(3)[LABELS] @ np.arange(12).reshape(3, 4) + np.random.default_rng(0).normal(size=(ROWS, 4))).astype(np.float32)
PIXELS = WORDS[:, ::-1].copy()


def made(words=WORDS, labels=LABELS, **options):
    return table_of({"text": words, "image": PIXELS}, labels, **options)[0]


@pytest.mark.parametrize(
    "words",
    [
        pd.DataFrame(WORDS),
        pd.DataFrame(WORDS).astype("Float32"),
        pd.Series(list(WORDS)),
        pd.DataFrame({"embedding": list(WORDS)}),
        WORDS.tolist(),
        list(WORDS),
        np.array([None, *WORDS], object)[1:],
        np.asfortranarray(WORDS),
        torch.tensor(WORDS, requires_grad=True),
        sparse.csr_matrix(WORDS),
        sparse.coo_array(WORDS),
    ],
    ids=["frame", "nullable", "series", "column", "lists", "vectors", "objects", "fortran", "tensor", "csr", "coo"],
)
def test_vectors_are_the_same_in_whatever_holds_them(words):
    found = made(words)
    np.testing.assert_array_equal(found.features["text"].embedding, WORDS)
    assert found.features["text"].present.all() and found.features["text"].embedding.dtype == np.float32
    np.testing.assert_array_equal(found.split, made().split)


def test_tensors_of_sixteen_bits_are_read():
    assert np.allclose(made(torch.tensor(WORDS).bfloat16()).features["text"].embedding, WORDS, rtol=1e-2)


@pytest.mark.parametrize("nothing", [None, np.nan, pd.NA])
def test_a_vector_that_is_not_there_is_absent(nothing):
    vectors = list(WORDS)
    vectors[4] = nothing
    for words in (vectors, pd.Series(vectors)):
        feature = made(words).features["text"]
        assert np.flatnonzero(~feature.present).tolist() == [4] and not feature.embedding[4].any()
    mask = np.ones(ROWS, bool)
    mask[7] = False
    assert np.flatnonzero(~made(vectors, present={"text": mask}).features["text"].present).tolist() == [4, 7]


@pytest.mark.parametrize(
    "labels", [LABELS, LABELS.astype(float), LABELS.astype(str), list("abc") * 20, pd.Categorical(list("abc") * 20)]
)
def test_labels_of_any_kind_are_classes(labels):
    for given in (labels, pd.Series(labels), list(labels)):
        found = made(labels=given)
        np.testing.assert_array_equal(found.labels, LABELS)
        assert len(found.classes) == 3


@pytest.mark.parametrize("nothing", [None, np.nan, pd.NA, pd.NaT, " "])
def test_a_label_that_is_missing_is_named_by_its_row(nothing):
    labels = [*map(str, LABELS[:5]), nothing, *map(str, LABELS[6:])]
    for given in (labels, pd.Series(labels), np.array(labels, object)):
        with pytest.raises(ValueError, match=r"labels: row 5 has none \(.*\), 1 in all; leave such rows out"):
            made(labels=given)


def test_other_indexes_are_refused_with_both_ways_out():
    labels = pd.Series(LABELS)
    shuffled = labels.sample(frac=1, random_state=1)
    with pytest.raises(
        ValueError, match=r"feature 'text' has the same index in another order than labels; align them .*to_numpy"
    ):
        made(pd.DataFrame(WORDS), shuffled)
    with pytest.raises(ValueError, match="feature 'text' has another index than labels"):
        made(pd.DataFrame(WORDS, index=range(1, ROWS + 1)), labels)
    with pytest.raises(ValueError, match="groups has another index than feature 'text'"):
        made(pd.DataFrame(WORDS), groups=pd.Series(LABELS, index=range(1, ROWS + 1)))
    np.testing.assert_array_equal(made(pd.DataFrame(WORDS), shuffled.to_numpy()).labels, shuffled.to_numpy())
    index = [f"p{row}" for row in range(ROWS)]
    assert made(pd.DataFrame(WORDS, index=index), pd.Series(LABELS, index=index)).classes == ("0", "1", "2")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([*WORDS[:9], WORDS[9, :2], *WORDS[10:]], r"'text': row 9 has shape \(2,\), others \(4,\)"),
        (np.where(np.arange(ROWS)[:, None] == 6, np.nan, WORDS), "'text' holds NaN or infinity in row 6, 1 rows in all"),
        (pd.DataFrame(WORDS).astype(str).replace("0", "x") + "x", "'text' is no matrix of numbers"),
        (sparse.csr_matrix((ROWS, 2**22)), "'text' is a sparse matrix of shape .*TruncatedSVD"),
        (WORDS[:, 0], r"'text' has shape \(60,\); it must be \(60, width\)"),
        (WORDS[:50], r"'text' has shape \(50, 4\); it must be \(60, width\)"),
    ],
)
def test_what_is_no_matrix_is_refused(words, told):
    with pytest.raises(ValueError, match=told):
        made(words)


def test_rare_and_many_classes_are_split_as_on_the_command_line():
    rare = np.r_[99, LABELS[1:]]
    found, findings = table_of({"text": WORDS}, rare)
    assert found.parts[found.split[0]] == "train"
    assert [(finding.kind, finding.first) for finding in findings] == [("single_member_classes", "type code 99")]
    many = np.arange(1200) % 200
    found = table_of({"text": np.random.default_rng(0).normal(size=(1200, 3))}, many)[0]
    assert len(np.unique(many[found.rows("test")])) == 200
    with pytest.raises(ValueError, match=r"at least two classes with labelled products are needed, only '0' is there"):
        made(labels=np.zeros(ROWS, int))
    with pytest.raises(ValueError, match="too little data for the 80-20 split"):
        table_of({"text": WORDS[:4]}, [0, 1, 0, 1])


def test_a_group_is_never_on_two_sides():
    groups = np.repeat(np.arange(ROWS // 2), 2)
    found = made(groups=groups)
    assert all(len(set(found.split[groups == group])) == 1 for group in groups)
    np.testing.assert_array_equal(made(groups=[None] * ROWS).split, made().split)
    with pytest.raises(ValueError, match="groups has 3 rows, labels 60"):
        made(groups=[1, 2, 3])


def test_a_split_of_ones_own_is_taken_as_it_is():
    words = (["train"] * 6 + ["Val", "valid", "TEST", None]) * 6
    found, findings = table_of({"text": WORDS}, LABELS, parts=words, groups=[1, 1, *[None] * 57, 1])
    assert [len(found.rows(part)) for part in ("train", "validation", "test")] == [36, 12, 6]
    assert (found.split == 255).sum() == 6
    assert [finding.kind for finding in findings] == []
    findings = table_of({"text": WORDS}, LABELS, parts=words, groups=[1] * ROWS)[1]
    assert [finding.kind for finding in findings] == ["groups_across_parts"]
    with pytest.raises(ValueError, match="split: row 9 says 'rest'; a part is one of train, head, validation, test, or None"):
        made(parts=["rest" if word is None else word for word in words])
