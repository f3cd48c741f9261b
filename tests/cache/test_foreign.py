"""Files made to do harm are refused in one line, with exit code 4, and what they point to is never opened.

Each file is an honest one with a single fault; its digests are computed again, so that only the fault can give it away.
Pointers lead to a named pipe: whoever opens it waits until the time limit ends the test.
"""

import json
import os

import h5py
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t

from fusecat.cache.errors import CacheError, DamagedFeature, ForeignFile
from fusecat.cache.fingerprint import digest
from fusecat.cache.foreign import dataset_at
from fusecat.cache.layout import digest_dataset
from fusecat.cache.reading import SealedFile
from tests.cache.study import write_feature

pytestmark = pytest.mark.timeout(30)


def sign(file: h5py.File) -> None:
    """Give a changed file matching digests, as somebody would who means it."""
    entries = json.loads(file.attrs["digests"])
    for name in list(entries):
        link = file.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink) or not isinstance(file[name], h5py.Dataset):
            continue
        dataset = file[name]
        entries[name] |= {"shape": list(dataset.shape)}
        if dataset.dtype.kind in "fbiu" and dataset.size < 10**7 and not dataset.is_virtual and not dataset.external:
            entries[name]["dtype"] = dataset.dtype.str
            entries[name]["sha256"] = digest_dataset(name, dataset[...])
        elif dataset.dtype.kind == "S":
            entries[name]["sha256"] = digest_dataset(name, dataset[...])
    texts = {}
    put(file, "digests", json.dumps(entries))
    for name, value in file.attrs.items():
        if name != "content_digest":
            texts[name] = int(value) if name == "format_version" else value.decode() if isinstance(value, bytes) else str(value)
    put(file, "content_digest", digest(texts))


def put(file: h5py.File, name: str, text: str) -> None:
    data = text.encode()
    if name in file.attrs:
        del file.attrs[name]
    file.attrs.create(name, np.array(data, h5py.string_dtype("utf-8", len(data))))


def replace(file: h5py.File, name: str, data, **options) -> None:
    kept = {"chunks": file[name].chunks}
    del file[name]
    data = np.asarray(data)
    chunks = (
        tuple(min(pair) for pair in zip(kept["chunks"], data.shape, strict=True)) if len(kept["chunks"]) == data.ndim else True
    )
    file.create_dataset(name, data=data, **({"chunks": chunks, "fletcher32": True} | options))


def changed(name, change):
    def fault(file, pipe):
        array = file[name][...]
        change(array)
        replace(file, name, array, dtype=file[name].dtype)
        if name == "embedding":
            pieces = [
                np.frombuffer(bytes.fromhex(digest(array[start : start + 256].tobytes())), np.uint8)
                for start in range(0, 700, 256)
            ]
            replace(file, "embedding_digest", np.stack(pieces))

    return fault


def external_link(file, pipe):
    del file["embedding"]
    file["embedding"] = h5py.ExternalLink(str(pipe), "/embedding")


def soft_link(file, pipe):
    file.move("embedding", "elsewhere")
    file["embedding"] = h5py.SoftLink("/elsewhere")
    del file["logits"]  # the number of members stays what it was
    file.move("elsewhere", "logits")


def soft_link_to_external_link(file, pipe):
    del file["logits"], file["embedding"]
    file["logits"] = h5py.ExternalLink(str(pipe), "/")
    file["embedding"] = h5py.SoftLink("/logits/embedding")


def external_storage(file, pipe):
    shape = file["embedding"].shape
    del file["embedding"]
    file.create_dataset("embedding", shape, "<f2", external=[(str(pipe), 0, h5py.h5f.UNLIMITED)])


def virtual(file, pipe):
    shape = file["embedding"].shape
    del file["embedding"]
    layout = h5py.VirtualLayout(shape, "<f2")
    layout[:] = h5py.VirtualSource(str(pipe), "embedding", shape)
    file.create_virtual_dataset("embedding", layout)


def bomb(file, pipe):
    del file["embedding"]
    file.create_dataset("embedding", (700, 2**34), "<f2", chunks=(256, 2**10), fletcher32=True)


def gzip_bomb(file, pipe):
    del file["embedding"]
    file.create_dataset(
        "embedding", data=np.zeros((700, 2**14), "<f2"), chunks=(256, 2**14), compression="gzip", fletcher32=True
    )


def unknown_filter(file, pipe):
    del file["present"]
    creation = h5p.create(h5p.DATASET_CREATE)
    creation.set_chunk((700,))
    creation.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (1,))
    kind = h5t.py_create(np.dtype(bool), logical=True)
    h5d.create(file.id, b"present", kind, h5s.create_simple((700,)), creation)
    file["present"][...] = True


def objects(file, pipe):
    del file["product_id"]
    file.create_dataset("product_id", data=[f"é{number}" for number in range(700)], dtype=h5py.string_dtype(), chunks=True)


def references(file, pipe):
    del file["label"]
    file.create_dataset("label", data=np.array([file.ref] * 700, h5py.ref_dtype), dtype=h5py.ref_dtype, chunks=True)


def compound(file, pipe):
    replace(file, "label", np.zeros(700, [("a", "<i4"), ("b", "<i4")]))


def group(file, pipe):
    del file["embedding"]
    file.create_group("embedding")


def text(name, value):
    return lambda file, pipe: put(file, name, value)


def variable_text(file, pipe):
    del file.attrs["recipe"]
    file.attrs.create("recipe", "{}", dtype=h5py.string_dtype())


def several_texts(file, pipe):
    file.attrs.create("recipe", np.array([b"{}", b"{}"]))


def version(file, pipe):
    file.attrs.create("format_version", np.int64(2))


def contiguous(file, pipe):
    replace(file, "label", file["label"][...], chunks=None, fletcher32=False)


def more(file, pipe):
    file["payload"] = np.zeros(3)


def less(file, pipe):
    del file["present"]


def same_twice(file, pipe):
    del file["label"]
    file["label"] = file["split"]


FAULTS = {
    "external link": (external_link, "'embedding' is a link to another file"),
    "soft link": (soft_link, "'embedding' is a soft link"),
    "soft link through an external link": (soft_link_to_external_link, "'embedding' is a soft link"),
    "external storage": (external_storage, "'embedding' is stored in another file"),
    "virtual dataset": (virtual, "'embedding' is a virtual dataset"),
    "shape bomb": (bomb, "'embedding' claims 24051816857600 bytes of data in a file of"),
    "gzip bomb": (gzip_bomb, "'embedding' is not stored in chunks of"),
    "unknown filter": (unknown_filter, "'present' needs the unknown filter 32015"),
    "objects": (objects, "'product_id' holds object, not plain numbers"),
    "references": (references, "'label' holds object, not plain numbers"),
    "compound type": (compound, "'label' holds"),
    "group for a dataset": (group, "'embedding' is not a dataset"),
    "one dataset under two names": (same_twice, "'label' has the type uint8"),
    "contiguous storage": (contiguous, "'label' is not stored in chunks"),
    "another dataset": (more, "it holds embedding, .* payload"),
    "a dataset less": (less, "it holds embedding,"),
    "NaN": (changed("embedding", lambda array: array.__setitem__((300, 2), np.nan)), "product 'é300' holds NaN or infinity"),
    "infinity in logits": (changed("logits", lambda array: array.__setitem__((3, 2), -np.inf)), "the logits of product 'é3' "),
    "vectors of absent products": (
        changed("embedding", lambda array: array.fill(1)),
        "is absent, but its embedding is not zero",
    ),
    "big-endian": (lambda file, pipe: replace(file, "label", file["label"][...].astype(">i4")), "'label' has the type >i4"),
    "double precision": (
        lambda file, pipe: replace(file, "logits", file["logits"][...].astype("<f8")),
        "'logits' has the type float64",
    ),
    "rows that do not match": (lambda file, pipe: replace(file, "label", file["label"][:-1]), "'label' has the shape"),
    "an id twice": (changed("product_id", lambda array: array.__setitem__(1, array[0])), "a product id occurs twice"),
    "a label without a class": (changed("label", lambda array: array.__setitem__(1, 3)), "a label lies outside of -1 ... 2"),
    "a code without a part": (changed("split", lambda array: array.__setitem__(1, 4)), "a split code is neither"),
    "foreign piece digests": (changed("embedding_digest", lambda array: array.fill(0)), "'embedding_digest' does not belong"),
    "another format": (text("format", "anndata"), "it calls itself 'anndata'"),
    "a later version": (version, "it has version 2, this fusecat reads version 1"),
    "another name": (text("feature", "b.title"), "it holds the feature 'b.title'"),
    "classes that are no texts": (text("classes", "[1, 2, [3]]"), "are not lists of texts"),
    "classes that are no list": (text("classes", '"abc"'), "are not lists of texts"),
    "an attribute more": (text("command", "rm"), "its attributes are classes, command"),
    "variable text": (variable_text, "'recipe' is not a text of fixed length"),
    "several texts": (several_texts, "'recipe' is not a single value"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_hostile_file_is_refused_in_one_line(cache, rows, tmp_path, fault):
    path = write_feature(cache, "a.title", rows)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    change, words = FAULTS[fault]
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        change(file, pipe)
        sign(file)
    with pytest.raises(ForeignFile, match=words) as refusal:
        cache.table()
    assert refusal.value.exit_code == 4
    message = str(refusal.value)
    assert message.startswith(str(path)) and "\n" not in message
    with pytest.raises(ForeignFile), SealedFile(path, "a.title") as file:
        file.check()
    assert cache.explain("a.title", {"network": "a.title"}).state == "damaged"
    if fault != "infinity in logits":  # which a stream does not read
        with pytest.raises(ForeignFile), cache.stream() as stream:
            list(stream.batches(np.arange(700), 100))


def test_a_signed_file_without_a_fault_is_read(cache, rows):
    """The proof that the tests above refuse the fault and not the signature."""
    path = write_feature(cache, "a.title", rows)
    before = cache.table().features["a.title"].embedding
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        sign(file)
    assert np.array_equal(cache.table().features["a.title"].embedding, before)


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n" + bytes(5000)])
def test_what_is_not_hdf5_is_damage(cache, content):
    cache.folder.mkdir(parents=True)
    cache.path("a.title").write_bytes(content)
    with pytest.raises(DamagedFeature, match=r"a.title.h5 is damaged"):
        cache.table()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_not_a_file_is_not_opened(cache, make):
    cache.folder.mkdir(parents=True)
    make(cache.path("a.title"))
    with pytest.raises(CacheError):
        cache.table()
    assert cache.explain("a.title", {}).state == "damaged"


def test_a_file_behind_a_user_block_is_not_read(cache, rows):
    path = write_feature(cache, "a.title", rows)
    path.write_bytes(bytes(512) + path.read_bytes())
    with pytest.raises(DamagedFeature, match="does not begin as an HDF5 file"):
        cache.table()


@pytest.mark.parametrize("component", ["folder", "folder/inner", "folder/inner/vectors"])
@pytest.mark.parametrize("link", ["soft", "external"])
def test_no_component_of_a_path_may_be_a_link(tmp_path, component, link):
    path, pipe = tmp_path / "mine.h5", tmp_path / "pipe"
    os.mkfifo(pipe)
    with h5py.File(path, "w") as file:
        file["folder/inner/vectors"] = np.zeros((3, 2), np.float32)
        file.move(component, "moved")
        file[component] = h5py.SoftLink("/moved") if link == "soft" else h5py.ExternalLink(str(pipe), "/")
    with h5py.File(path) as file, pytest.raises(ForeignFile, match=f"'{component.split('/')[-1]}' is a"):
        dataset_at(file, "folder/inner/vectors", path)
    with h5py.File(path) as file:
        inner = component.removeprefix("folder").removeprefix("/inner")
        location = {"folder": "moved/inner/vectors", "folder/inner": "moved/vectors"}.get(component, "moved")
        assert dataset_at(file, location, path).shape == (3, 2), inner


def test_a_path_that_leads_nowhere_names_what_is_missing(tmp_path):
    path = tmp_path / "mine.h5"
    with h5py.File(path, "w") as file:
        file["folder/vectors"] = np.zeros((3, 2), np.float32)
    with h5py.File(path) as file:
        with pytest.raises(ForeignFile, match="has no 'others' in '/folder'"):
            dataset_at(file, "folder/others", path)
        with pytest.raises(ForeignFile, match="'folder' is not a dataset"):
            dataset_at(file, "folder", path)
        with pytest.raises(ForeignFile, match="'vectors' in 'folder/vectors/deeper' is not a group"):
            dataset_at(file, "folder/vectors/deeper", path)
