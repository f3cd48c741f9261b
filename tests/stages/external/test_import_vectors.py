"""Vectors find their product by id, whatever their order; what does not fit is counted, named or refused."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest

from fusecat.cache.errors import ForeignFile, UnusableVectors
from fusecat.cache.store import FeatureCache
from fusecat.stages.catalogue.data_model import ImageUse, ReadingOptions
from fusecat.stages.catalogue.read import read_catalogue
from fusecat.stages.catalogue.split import split
from fusecat.stages.errors import DataError, UsageError
from fusecat.stages.external.align import (
    catalogue_rows,
    existing_rows,
    fitted_parts,
    new_split,
    read_ids,
    read_labels,
    refuse_other_labels,
)
from fusecat.stages.external.import_vectors import Request, import_vectors
from fusecat.stages.vocabulary import SplitProtocol
from fusecat.stages.workspace import Workspace

COUNT = 300


@pytest.fixture
def labels(tmp_path):
    lines = [f"p{number},{'' if number % 50 == 0 else number % 3}" for number in range(COUNT)]
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(["id,label", *lines]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def rows(labels):
    return catalogue_rows(*new_split(labels, protocol=SplitProtocol.TEST_20, head_share=0.2, seed=1))


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path / "features")


@pytest.fixture
def shuffled(tmp_path):
    """250 products in another order, two strangers among them; column 0 of a vector is the product's number."""
    order = np.random.default_rng(0).permutation(COUNT)[:250]
    vectors = np.random.default_rng(1).normal(size=(252, 6)).astype(np.float32)
    vectors[:250, 0] = order
    ids = [f"p{number}" for number in order] + ["stranger", "p300"]
    mixed = np.random.default_rng(2).permutation(252)
    np.save(tmp_path / "v.npy", vectors[mixed])
    (tmp_path / "ids.csv").write_text("\n".join(ids[number] for number in mixed) + "\n")
    return Request("mine.title", tmp_path / "v.npy", tmp_path / "ids.csv", dtype="float32")


def test_a_vector_goes_to_the_product_of_its_id(shuffled, rows, cache):
    done = import_vectors(shuffled, rows, cache)
    assert (done.products, done.joined, done.absent, done.unknown) == (300, 250, 50, 2)
    assert done.first_unknown in {"stranger", "p300"}
    feature = cache.table().features["mine.title"]
    assert feature.present.sum() == 250
    assert not feature.present[int(done.first_absent.removeprefix("p"))]
    assert np.array_equal(feature.embedding[:, 0], np.where(feature.present, np.arange(300), 0))
    given = np.load(shuffled.vectors)
    known = given[given[:, 0].argsort()]
    stored = feature.embedding[feature.present]
    assert all((known == row).all(axis=1).any() for row in stored)
    assert (feature.logits, feature.fitted_on) == (None, None)


def test_nothing_but_the_feature_is_left_over(shuffled, rows, cache):
    import_vectors(shuffled, rows, cache)
    assert {path.name for path in cache.folder.iterdir()} == {"mine.title.h5", "mine.title.h5.sha256", ".locks"}


def test_the_same_import_is_a_hit_and_another_is_not(shuffled, rows, cache):
    assert [import_vectors(shuffled, rows, cache).state for _ in range(2)] == ["sealed", "hit"]
    vectors = np.load(shuffled.vectors)
    vectors[0, 1] += 1
    np.save(shuffled.vectors, vectors)
    assert import_vectors(shuffled, rows, cache).state == "sealed"


def test_the_order_of_the_vectors_does_not_matter(shuffled, rows, cache, tmp_path):
    import_vectors(shuffled, rows, cache)
    one = cache.table().features["mine.title"].embedding
    backwards = Request("mine.title", tmp_path / "b.npy", tmp_path / "b.csv", dtype="float32")
    np.save(backwards.vectors, np.load(shuffled.vectors)[::-1].copy())
    backwards.ids.write_text("\n".join(reversed(shuffled.ids.read_text().split())) + "\n")
    import_vectors(backwards, rows, FeatureCache(tmp_path / "other"))
    assert np.array_equal(FeatureCache(tmp_path / "other").table().features["mine.title"].embedding, one)


def test_logits_travel_with_their_vectors(shuffled, rows, cache, tmp_path):
    logits = np.load(shuffled.vectors)[:, :3] * 2
    np.save(tmp_path / "l.npy", logits)
    request = Request("mine.title", shuffled.vectors, shuffled.ids, tmp_path / "l.npy", dtype="float32", fitted_on="train")
    import_vectors(request, rows, cache)
    feature = cache.table().features["mine.title"]
    assert np.array_equal(feature.logits, feature.embedding[:, :3] * 2)
    assert feature.fitted_on == ("train",)
    np.save(tmp_path / "l.npy", logits[:, :2])
    with pytest.raises(ForeignFile, match="it must be 252 x 3, columns in the order 0, 1, 2"):
        import_vectors(request, rows, cache)


def test_logits_find_their_product_by_their_own_ids(shuffled, rows, cache, tmp_path):
    ids = np.array(shuffled.ids.read_text().split())
    logits, backwards = np.load(shuffled.vectors)[:, :3] * 2, np.arange(252)[::-1]
    request = replace(shuffled, logits=tmp_path / "l.npz")
    absent = next(product for product in rows.ids if product not in ids)
    np.savez(tmp_path / "l.npz", logits=np.vstack([logits[backwards], logits[:1]]), id=np.append(ids[backwards], absent))
    import_vectors(request, rows, cache)
    feature = cache.table().features["mine.title"]
    assert np.array_equal(feature.logits, feature.embedding[:, :3] * 2)
    order = np.array([identity in set(rows.ids) for identity in ids]).nonzero()[0][2:]
    np.savez(tmp_path / "l.npz", logits=logits[order], id=ids[order])
    with pytest.raises(DataError, match=r"l.npz: 2 of 250 products with a vector have no logits in it; the first is 'p"):
        import_vectors(request, rows, cache)


@pytest.mark.parametrize("dtype", ["<f2", "<f4"])
@pytest.mark.parametrize("where", [np.s_[3], np.s_[:, 1], np.s_[:]], ids=["row", "column", "all"])
def test_what_half_precision_would_wipe_out_stays(rows, cache, tmp_path, where, dtype):
    vectors = np.random.default_rng(0).uniform(0.5, 1, (20, 4)).astype(np.float32)
    vectors[5], vectors[:, 2] = 0, 0  # nothing is lost of zeros
    if dtype == "<f4":
        vectors[where] *= 1e-8
    np.savez(tmp_path / "v.npz", embedding=vectors, ids=np.array(rows.ids[:20]))
    import_vectors(Request("mine.title", tmp_path / "v.npz"), rows, cache)
    found = cache.table().features["mine.title"].embedding
    assert found.dtype == dtype
    np.testing.assert_array_equal(found[:20], vectors.astype(dtype))


@pytest.mark.parametrize("header", ["id", "", None], ids=["named", "unnamed", "none"])
def test_ids_may_have_a_header_or_none(tmp_path, header):
    path = tmp_path / "ids.csv"
    lines = ["a,1", "b,2"] if header is None else [f"{header},other", "a,1", "b,2"]
    path.write_text("\n".join(lines))
    assert read_ids(path, 2) == ["a", "b"]


@pytest.mark.parametrize("header", ["id", "Product_ID", ""])
def test_a_header_is_never_taken_for_the_id_that_is_missing(tmp_path, header):
    path = tmp_path / "ids.csv"
    path.write_text(f"{header},other\na,1\nb,2\n")
    with pytest.raises(ForeignFile, match=f"has 2 ids under its header '{header}' for 3 vectors"):
        read_ids(path, 3)


def test_an_id_is_never_taken_for_a_header(shuffled, rows, cache):
    shuffled.ids.write_text("p299\n" + shuffled.ids.read_text())
    with pytest.raises(ForeignFile, match="has 253 ids for 252 vectors"):
        import_vectors(shuffled, rows, cache)


def test_ids_that_do_not_match_the_vectors_are_refused(shuffled, rows, cache):
    shuffled.ids.write_text("p1\np2\np3\n")
    with pytest.raises(ForeignFile, match="has 3 ids for 252 vectors"):
        import_vectors(shuffled, rows, cache)


def test_no_known_id_at_all_is_an_error_that_shows_both_kinds(shuffled, rows, cache):
    shuffled.ids.write_text("\n".join(f"q{number}" for number in range(252)))
    with pytest.raises(DataError, match="none of the 252 ids is a product's; the first is 'q0', the first product is 'p0'"):
        import_vectors(shuffled, rows, cache)


def test_an_id_that_occurs_twice_is_named(shuffled, rows, cache):
    lines = shuffled.ids.read_text().split()
    shuffled.ids.write_text("\n".join([*lines[:-1], lines[3]]))
    with pytest.raises(DataError, match=f"the id '{lines[3]}' of vector 251 occurs a second time"):
        import_vectors(shuffled, rows, cache)


@pytest.mark.parametrize("value", [np.nan, 1e300])
def test_a_value_that_is_not_finite_is_refused_with_its_product(rows, cache, tmp_path, value):
    vectors = np.ones((3, 2))
    vectors[1, 1] = value
    np.savez(tmp_path / "v.npz", embedding=vectors, ids=np.array(["p5", "p7", "p9"]))
    with pytest.raises(UnusableVectors, match="the embedding of product 'p7' holds NaN or infinity"):
        import_vectors(Request("mine.title", tmp_path / "v.npz"), rows, cache)
    assert cache.names() == []


def test_ids_inside_of_the_file_serve_and_their_lack_is_told(rows, cache, tmp_path):
    np.savez(tmp_path / "v.npz", embedding=np.ones((2, 2)), ids=np.array(["p5", "p7"]), present=np.array([True, False]))
    done = import_vectors(Request("mine.title", tmp_path / "v.npz"), rows, cache)
    assert (done.joined, done.unknown) == (1, 0)
    assert np.flatnonzero(cache.table().features["mine.title"].present).tolist() == [5]
    np.savez(tmp_path / "v.npz", embedding=np.ones((2, 2)))
    with pytest.raises(UsageError, match=r"--ids: .* does not say which vector belongs to which product"):
        import_vectors(Request("mine.title", tmp_path / "v.npz"), rows, cache)


@pytest.mark.parametrize("ending", ["npz", "h5"])
def test_an_id_that_is_no_text_is_refused_with_its_row(rows, cache, tmp_path, ending):
    arrays, path = {"embedding": np.ones((2, 2)), "id": np.array([b"p5", b"p\xff"])}, tmp_path / f"v.{ending}"
    if ending == "npz":
        np.savez(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            file.update(arrays)
    with pytest.raises(ForeignFile, match=rf"v.{ending}: the id in row 1 is not UTF-8"):
        import_vectors(Request("mine.title", path), rows, cache)


@pytest.mark.parametrize(
    ("present", "told"), [([b"true", b"false"], "b'true' in row 0"), ([1, 2], "2 in row 1"), ([0.0, np.nan], "nan in row 1")]
)
def test_presence_is_true_or_false_and_nothing_else(rows, cache, tmp_path, present, told):
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file.update({"embedding": np.ones((2, 2)), "id": np.array([b"p5", b"p7"]), "present": np.array(present)})
    with pytest.raises(ForeignFile, match=rf"v.h5: 'present' is {told}; store it as"):
        import_vectors(Request("mine.title", tmp_path / "v.h5"), rows, cache)
    with h5py.File(tmp_path / "v.h5", "r+") as file:
        del file["present"]
        file["present"] = [0.0, 1.0]
    assert import_vectors(Request("mine.title", tmp_path / "v.h5"), rows, cache).joined == 1


def test_the_fitted_parts_are_those_named_or_those_of_the_ids(rows, tmp_path):
    assert fitted_parts(None, rows) == fitted_parts("unknown", rows) == (None, ())
    assert fitted_parts("none", rows) == ((), ())
    assert fitted_parts("validation, train", rows) == (("train", "validation"), ())
    with pytest.raises(UsageError, match="'trian' is neither a file nor one of train, head"):
        fitted_parts("trian", rows)
    seen = [identity for identity, code in zip(rows.ids, rows.split, strict=True) if rows.parts[min(code, 3)] == "head"][:1]
    (tmp_path / "seen.csv").write_text("id\n" + "\n".join([*seen, "stranger"]))
    assert fitted_parts(str(tmp_path / "seen.csv"), rows) == (("head",), ["stranger"])
    (tmp_path / "seen.csv").write_text("\n".join([*seen, "stranger", "stranger"]))
    assert fitted_parts(str(tmp_path / "seen.csv"), rows) == (("head",), ["stranger"])
    for text, count in (("id\nq1\nq2\n", 2), ("id\n", 0)):
        (tmp_path / "seen.csv").write_text(text)
        with pytest.raises(DataError, match=f"--fitted-on .*seen.csv: none of its {count} ids is a product's"):
            fitted_parts(str(tmp_path / "seen.csv"), rows)


def test_labels_make_a_stratified_split(labels, rows):
    assert list(rows.ids) == [f"p{number}" for number in range(COUNT)]
    assert [rows.classes[label] if label >= 0 else None for label in rows.labels[:4]] == [None, "1", "2", "0"]
    labelled = rows.labels >= 0
    assert (rows.split[~labelled] == 255).all() and (rows.split[labelled] < 4).all()
    counts = {part: int((rows.split == code).sum()) for code, part in enumerate(rows.parts)}
    assert counts["test"] == 59 and min(counts.values()) > 20
    for code in range(4):
        assert np.ptp(np.bincount(rows.labels[rows.split == code], minlength=3)) <= 3


def test_labels_of_the_challenge_are_read(tmp_path):
    path = tmp_path / "Y_train.tsv"
    path.write_text("Integer_id\tImage_id\tProduct_id\tPrdtypecode\n0\t10\t20\t1140\n1\t11\t20\t\n")
    assert read_labels(path) == {"0": "1140", "1": None}
    path.write_text("Integer_id\tImage_id\tProduct_id\n0\t10\t20\n")
    with pytest.raises(DataError, match="name one of them 'label'"):
        read_labels(path)
    path.write_text("id,label\na,1\na,2\n")
    with pytest.raises(DataError, match="line 3: the id 'a' occurs a second time"):
        read_labels(path)


def test_a_second_feature_joins_the_rows_of_the_first(shuffled, rows, tmp_path, labels):
    place = Workspace(tmp_path)
    assert existing_rows(place) is None
    cache = FeatureCache(place.features)
    import_vectors(shuffled, rows, cache)
    again = existing_rows(place)
    assert list(again.ids) == list(rows.ids) and np.array_equal(again.split, rows.split)
    import_vectors(Request("other.image", shuffled.vectors, shuffled.ids), again, cache)
    assert set(cache.table().features) == {"mine.title", "other.image"}
    refuse_other_labels(labels, again)
    labels.write_text(labels.read_text().replace("p4,1", "p4,2"))
    with pytest.raises(DataError, match="product 'p4' has '2' in this file and '1' in the workspace"):
        refuse_other_labels(labels, again)


def test_a_split_without_features_serves(tmp_path):
    """Somebody interrupted `extract` after the split: the vectors join its catalogue."""
    catalogue = tmp_path / "catalogue"
    catalogue.mkdir()
    lines = [f"{number}\ttitre {number}\t\t{number}\t{number}" for number in range(60)]
    (catalogue / "X_train.tsv").write_text("\n".join(["Integer_id\tTitle\tDescription\tImage_id\tProduct_id", *lines]) + "\n")
    codes = [f"{number}\t{number}\t{number}\t{10 + number % 2}" for number in range(60)]
    (catalogue / "Y_train.tsv").write_text("\n".join(["Integer_id\tImage_id\tProduct_id\tPrdtypecode", *codes]) + "\n")
    place = Workspace(tmp_path / "workspace")
    products = read_catalogue(catalogue, ReadingOptions(images=ImageUse.NONE))
    parting = split(products, np.arange(60), protocol=SplitProtocol.NO_TEST)
    parting.write(place.split)
    place.study.write_text(json.dumps({"catalogue": str(catalogue)}))
    rows = existing_rows(place)
    assert rows.classes == ("10", "11") and list(rows.ids) == [str(number) for number in range(60)]
    assert [rows.parts[code] for code in rows.split] == list(parting.parts)
