"""The same vectors in whatever way they may be written: read equal to the original, or refused in one line."""

import json
import pickle

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from scipy import sparse

from fusecat.cache.errors import FusecatError
from fusecat.cache.store import FeatureCache
from fusecat.stages.external.align import catalogue_rows, new_split
from fusecat.stages.external.import_vectors import Request, import_vectors
from fusecat.stages.vocabulary import SplitProtocol
from tests.stages.external.everyday import COUNT, IDS, TORCH, VECTORS, WIDTH


class Mutated:
    """One way to write the same vectors: `options` of the import, `lost` rows, `refused` where no way leads in."""

    def __init__(self, number, folder):
        self.random, self.folder = np.random.default_rng(number), folder
        self.lost, self.refused, self.options, self.said = [], None, {}, {}
        order = self.random.permutation(COUNT)
        self.ids, self.vectors = [IDS[row] for row in order], VECTORS[order]
        if self.pick("rows", "all", "fewer") == "fewer":
            self.lost, self.ids, self.vectors = [int(row) for row in order[50:]], self.ids[:50], self.vectors[:50]
        if self.pick("strangers", "no", "yes") == "yes":
            self.ids, self.vectors = [*self.ids, "900", "901"], np.vstack([self.vectors, self.vectors[:2]])
        ids = self.pick("ids", "text", "int", "float")
        self.kinds = {"text": self.ids, "int": list(map(int, self.ids)), "float": list(map(float, self.ids))}[ids]
        self.path = getattr(self, self.pick("file", "npy", "npz", "h5", "lists", "wide", "tensor", "odd"))()

    def pick(self, what, *choices):
        self.said[what] = str(self.random.choice(choices))
        return self.said[what]

    def array(self, *dtypes):
        found = self.vectors.astype(self.pick("dtype", *dtypes))
        return np.asfortranarray(found) if self.pick("order", "C", "F") == "F" else found

    def ids_apart(self):
        match self.pick("ids in", "csv", "plain", "npy", "parquet", "index"):
            case "csv":
                pd.DataFrame({"x": 1, "id": self.kinds}).to_csv(
                    self.folder / "ids.csv", index=False, sep=self.pick("sep", ",", ";", "\t")
                )
                self.options["ids"] = self.folder / "ids.csv"
            case "plain":
                self.options["ids"] = self.folder / "ids.txt"
                self.options["ids"].write_text("\n".join(map(str, self.kinds)))
            case "npy":
                self.options["ids"] = self.folder / "ids.npy"
                np.save(self.options["ids"], np.array(self.kinds))
            case "parquet":
                self.options |= {"ids": self.folder / "ids.parquet", "id_column": "sku"}
                pd.DataFrame({"sku": self.kinds, "y": 1}).to_parquet(self.options["ids"])
            case "index":
                self.options["ids"] = self.folder / "ids.parquet"
                pd.DataFrame({"y": 1}, index=self.kinds).to_parquet(self.options["ids"])

    def npy(self):
        np.save(self.folder / "v.npy", self.array("<f2", "<f4", "<f8", ">f4", ">f8"))
        self.ids_apart()
        return self.folder / "v.npy"

    def npz(self):
        save = np.savez if self.pick("packed", "no", "yes") == "no" else np.savez_compressed
        save(
            self.folder / "v.npz",
            vectors=self.array("<f2", "<f4", ">f8"),
            **{self.pick("name", "id", "ids", "product_id"): np.array(self.kinds)},
        )
        return self.folder / "v.npz"

    def h5(self):
        kind = h5py.string_dtype() if self.said["ids"] == "text" and self.pick("text", "any", "fixed") == "any" else None
        with h5py.File(self.folder / "v.h5", "w") as file:
            file.create_dataset(
                "vectors", data=self.array("<f2", "<f4", ">f8"), compression=self.random.choice([None, "gzip", "lzf"])
            )
            file.create_dataset(
                "ids", data=np.array(self.kinds, "S") if self.said["ids"] == "text" and kind is None else self.kinds, dtype=kind
            )
        return self.folder / "v.h5"

    def frame(self, columns):
        made = pd.DataFrame(columns | {"sku": self.kinds})
        match self.pick("ids are", "id", "sku", "index", "named index"):
            case "id":
                made = made.rename(columns={"sku": "id"})
            case "sku":
                self.options["id_column"] = "sku"
            case "index":
                made = made.set_index("sku").rename_axis(None)
            case "named index":
                made = made.set_index("sku")
        made.to_parquet(self.folder / "v.parquet", row_group_size=int(self.random.choice([7, 1000])))
        return self.folder / "v.parquet"

    def gone(self):
        gone = self.random.choice(50, 3, replace=False) if self.pick("gaps", "no", "yes") == "yes" else []
        self.lost += [int(self.ids[row]) for row in gone]
        return gone

    def lists(self):
        lists = list(self.vectors.astype(self.pick("dtype", "<f4", "<f8")))
        for row in self.gone():
            lists[row] = None
        return self.frame({"embedding": lists})

    def wide(self):
        vectors = self.vectors.astype(self.pick("dtype", "<f4", "<f8"))
        vectors[self.gone()] = np.nan
        self.options["columns"] = self.pick("columns", "emb_*", "emb_[0-9]*")
        return self.frame({f"emb_{column}": vectors[:, column] for column in self.random.permutation(WIDTH)})

    def tensor(self):
        tensors = {"embedding": torch.tensor(self.vectors).to(TORCH[self.pick("dtype", *TORCH)])}
        if self.said["ids"] == "int":
            tensors["id"] = torch.tensor(self.kinds)
        else:
            self.ids_apart()
        save_file(tensors, self.folder / "v.safetensors")
        return self.folder / "v.safetensors"

    def odd(self):
        self.refused = self.pick(
            "kind", "objects", "sparse", "pickle", "torch", "three axes", "twice", "cut off", "no ids", "NaN"
        )
        path = self.folder / {"sparse": "v.npz", "pickle": "v.pkl", "torch": "v.pt"}.get(self.refused, "v.npy")
        ids = [*self.ids[1:], self.ids[1]] if self.refused == "twice" else self.ids
        self.options["ids"] = None if self.refused == "no ids" else self.folder / "ids.csv"
        (self.folder / "ids.csv").write_text("id\n" + "\n".join(ids))
        match self.refused:
            case "sparse":
                sparse.save_npz(path, sparse.csr_matrix(self.vectors))
            case "pickle":
                path.write_bytes(pickle.dumps(self.vectors))
            case "torch":
                torch.save(torch.tensor(self.vectors), path)
            case "objects":
                np.save(path, np.array([None, *self.vectors], object)[1:])
            case _:
                np.save(path, self.vectors[:, None] if self.refused == "three axes" else self.vectors)
        if self.refused == "cut off":
            path.write_bytes(path.read_bytes()[:-3])
        if self.refused == "NaN":
            self.vectors[3] = np.nan
            np.save(path, self.vectors)
        return path


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    labels = tmp_path_factory.mktemp("labels") / "labels.csv"
    labels.write_text("id,label\n" + "\n".join(f"{identity},{int(identity) % 2}" for identity in IDS))
    return catalogue_rows(*new_split(labels, protocol=SplitProtocol.NO_TEST, head_share=0, seed=1))


def told(made):
    return json.dumps(made.said)


def check(number, folder, rows):
    """Import the vectors that one mutation has written."""
    folder.mkdir()
    made, cache = Mutated(number, folder), FeatureCache(folder / "features")
    request = Request("mine.title", made.path, dtype="float32", **made.options)
    if made.refused:
        with pytest.raises(FusecatError) as refused:
            import_vectors(request, rows, cache)
        message = str(refused.value)
        assert "\n" not in message and (made.path.name in message or "ids.csv" in message or "product '" in message), told(made)
        return
    done = import_vectors(request, rows, cache)
    feature = cache.table().features["mine.title"]
    kept = np.ones(COUNT, bool)
    kept[made.lost] = False
    np.testing.assert_array_equal(feature.present, kept, err_msg=told(made))
    np.testing.assert_array_equal(feature.embedding, np.where(kept[:, None], VECTORS, 0), err_msg=told(made))
    assert (done.joined, done.absent) == (kept.sum(), COUNT - kept.sum()), told(made)
    assert done.unknown == (2 if made.said["strangers"] == "yes" else 0), told(made)


def test_mutated_files_are_read_equal_or_refused(tmp_path, rows):
    for number in range(40):
        check(number, tmp_path / str(number), rows)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_thousand_mutated_files_are_read_equal_or_refused(tmp_path, rows):
    for number in range(2000):
        check(number, tmp_path / str(number), rows)
