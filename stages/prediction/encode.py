"""Vectors of new products, kept by content: what was encoded once, for whatever catalogue, is not encoded again.

The products are cut into chunks, so that memory does not grow with their number. A chunk of which nothing is known is encoded
as it stands, in the very blocks and batches of stage one: the vectors are then those of stage one to the last bit. Of a chunk
of which another catalogue gave some, only the rest is encoded.

Shapes: N products, n of them in a chunk, D width, C classes.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.errors import CacheError
from fusecat.cache.fingerprint import digest
from fusecat.cache.sealing import sidecar
from fusecat.cache.store import FeatureCache, Rows
from fusecat.cache.table import NO_PART, Feature, FeatureTable
from fusecat.stages.extraction.dataset import Dataset
from fusecat.stages.extraction.embed import Inference, embed
from fusecat.stages.extraction.networks import AnyNetwork
from fusecat.stages.extraction.progress import Progress, silent
from fusecat.stages.extraction.versions import versions
from fusecat.stages.fields import Field
from fusecat.stages.prediction.fine_tuned_encoder import FineTunedEncoder
from fusecat.stages.prediction.vector_index import ReusedVectors, VectorIndex

CHUNK = 32_768
"""Products; whoever encodes rounds it to whole blocks. 32,768 vectors of 2,048 halves are 128 MiB."""
ATTEMPTS = 3
"""Times that a damaged file is made anew; a disk that damages everything is left to the error of the last."""
KEY = 32
"""Hexadecimal digits of a content's digest: 128 bits."""


class _Lost(Exception):
    """A stored file was damaged, and has been removed."""


class Encoding:
    """One network's vectors of one catalogue.

    They lie in `root/<feature>/<digest of the network>/`, a feature file per chunk. Its product ids are
    `<digest of the content>-<n>`, n counting the products of the chunk that have the same content.
    """

    def __init__(
        self,
        fine_tuned: FineTunedEncoder,
        data: Dataset,
        root: Path,
        *,
        chunk: int,
        damaged: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.fine_tuned, self.data, self._damaged = fine_tuned, data, damaged
        self._with: tuple[Progress, int] = silent, 0
        self.cache = FeatureCache(root / fine_tuned.feature / fine_tuned.identity[:16])
        self.keys = content_keys(data, fine_tuned.field)
        self.mark = digest(self.keys.tobytes())[:16]
        self.chunks = [range(start, min(start + chunk, len(self.keys))) for start in range(0, len(self.keys), chunk)]
        self._network: AnyNetwork | None = None
        self._lent: list[NDArray[np.intp]] = [np.empty(0, np.intp)] * len(self.chunks)
        self._reused: ReusedVectors | None = None

    def complete(self, progress: Progress, workers: int = 0) -> int:
        """Encode what is not there yet, durably, block by block; returns how many products that were.

        A file that is not as it was written is only a memory of work: it is told, removed, and its products encoded again.
        """
        self._with = progress, workers
        computed = 0
        for attempt in range(ATTEMPTS):
            computed += sum(self._encode(number, progress, workers) for number in range(len(self.chunks)))
            try:
                self._reuse()
                break
            except _Lost:
                if attempt == ATTEMPTS - 1:
                    raise
        self._network = None
        return computed

    def chunk(self, number: int) -> Feature:
        """The vectors and logits of one chunk, row for row. `complete` has to come first; of damaged files as there."""
        for _ in range(ATTEMPTS):
            try:
                return self._assembled(number)
            except _Lost:
                self.complete(*self._with)
        return self._assembled(number)

    def close(self) -> None:
        """Give back what lies on disk only for this call."""
        if self._reused is not None:
            self._reused.close()
        self._reused = None

    def _reuse(self) -> None:
        """Bring what other catalogues left into the order of this one."""
        self.close()
        rows = np.concatenate([np.empty(0, np.intp), *self._lent])
        if not len(rows):
            return
        self._reused = ReusedVectors(self.cache.folder, len(rows), self.fine_tuned.width, len(self.fine_tuned.classes))
        files, sources = self._others.find(self.keys[rows])
        for file in np.unique(files).tolist():
            (feature,) = self._table(self._others.files[file]).features.values()
            places = np.flatnonzero(files == file)
            self._reused.put(feature, sources[places], places)

    def _assembled(self, number: int) -> Feature:
        rows = self.chunks[number]
        names = _names(self.keys[rows.start : rows.stop])
        files = [self._table(file) for file in self._own(number)]
        if len(files) == 1 and files[0].ids.tolist() == names:
            (found,) = files[0].features.values()
            return replace(found, name=self.fine_tuned.feature)
        present = self.keys[rows.start : rows.stop] != b""
        embedding = np.zeros((len(rows), self.fine_tuned.width), np.float32)
        logits = np.zeros((len(rows), len(self.fine_tuned.classes)), np.float32)
        place, halves = {name: row for row, name in enumerate(names)}, True
        for table in files:
            (feature,) = table.features.values()
            ids = table.ids.tolist()
            sources = [row for row, name in enumerate(ids) if name in place]  # chunks may have been cut elsewhere then
            targets = [place[ids[row]] for row in sources]
            halves &= feature.embedding.dtype == np.float16
            assert feature.logits is not None, "embed writes logits"
            embedding[targets], logits[targets] = feature.embedding[sources], feature.logits[np.array(sources, np.intp)]
        if len(lent := self._lent[number]) and self._reused is not None:
            first = sum(map(len, self._lent[:number]))
            targets = (lent - rows.start).tolist()
            embedding[targets], logits[targets] = self._reused.read(range(first, first + len(lent)))
            halves &= self._reused.halves
        vectors = embedding.astype(np.float16) if halves else embedding
        return Feature(self.fine_tuned.feature, vectors, present, logits, fitted_on=None)

    def _encode(self, number: int, progress: Progress, workers: int) -> int:
        """One chunk; returns how many products were computed."""
        rows = self.chunks[number]
        keys = self.keys[rows.start : rows.stop]
        names = _names(keys)
        held = {name for file in self._own(number) for name in self._ids(file).astype(np.str_).tolist()}
        present = np.flatnonzero(keys != b"")
        missing = np.array([place for place in present.tolist() if names[place] not in held], np.intp)
        if not len(missing):
            self._lent[number] = missing
            return 0
        files, _ = self._others.find(keys[missing])
        unknown = missing[files < 0]
        wanted = rows if len(unknown) == len(present) else (unknown + rows.start).tolist()
        self._lent[number] = missing[files >= 0] + rows.start
        if not len(unknown):
            return 0
        ids = [names[row - rows.start] for row in wanted]
        file = f"{self.mark}.{number:05d}.{digest(ids)[:16]}"
        fine_tuned, count = self.fine_tuned, len(wanted)
        nowhere = np.full(count, NO_PART, np.uint8)
        shared = Rows(ids, np.full(count, -1, np.int32), nowhere, fine_tuned.classes, ())
        with self.cache.lock(file, waiting=lambda: progress(fine_tuned.feature, "waiting for another process", 0, 1)):
            if self.cache.path(file).exists():  # another process was faster
                return 0
            self._network = self._network or fine_tuned.load()
            part = replace(self.data.catalogue, products=tuple(self.data.catalogue.products[row] for row in wanted))
            weights, block = str(fine_tuned.description["weights"]), fine_tuned.encoder.extraction.block
            recipe = {"network": fine_tuned.identity, "content": digest(ids)}
            writer = self.cache.writer(file, recipe, shared, block=block, weights=weights)
            inputs = fine_tuned.encoder.inputs(replace(self.data, catalogue=part), fine_tuned.folder, saved=True)
            precision = str(fine_tuned.description["precision"])
            inference = Inference.of(fine_tuned.encoder, len(fine_tuned.classes), precision, progress)
            embed(self._network, inputs, self.keys[list(wanted)] != b"", writer, replace(inference, workers=workers))
            writer.seal(weights=weights, fitted_on=None, versions=versions(), dtype=fine_tuned.encoder.extraction.storage)
        return len(unknown)

    def _own(self, number: int) -> list[str]:
        """The files that were made for this chunk of this very catalogue."""
        return [name for name in self.cache.names() if name.startswith(f"{self.mark}.{number:05d}.")]

    def _ids(self, file: str) -> NDArray[np.bytes_]:
        try:
            with self.cache.open(file) as sealed:
                ids: NDArray[np.bytes_] = sealed.columns()["product_id"]
        except CacheError as error:
            self._forget(file, error)
            return np.empty(0, "S1")
        return ids

    def _table(self, file: str) -> FeatureTable:
        """A whole file, every byte checked. Raises _Lost where it was damaged: it is gone then."""
        try:
            return self.cache.table([file])
        except CacheError as error:
            self._forget(file, error)
            raise _Lost from error

    def _forget(self, file: str, error: CacheError) -> None:
        path = self.cache.path(file)
        self._damaged(f"{path} is damaged ({error}); its products are encoded again")
        path.unlink(missing_ok=True)
        sidecar(path).unlink(missing_ok=True)
        self.__dict__.pop("_others", None)

    @cached_property
    def _others(self) -> VectorIndex:
        """Where other catalogues left vectors of this one's content."""
        known = VectorIndex(self.keys)
        for file in self.cache.names():
            if not file.startswith(f"{self.mark}."):
                known.add(file, self._ids(file))
        return known


def content_keys(data: Dataset, field: Field) -> NDArray[np.bytes_]:
    """(N,) per product the digest of what a network of this field sees of it, b"" where the field is absent."""
    keys = np.empty(len(data.catalogue.products), f"S{KEY}")
    for start in range(0, len(keys), CHUNK):  # so that no more than a chunk's joined texts are held
        products = data.catalogue.products[start : start + CHUNK]
        part = replace(data, catalogue=replace(data.catalogue, products=products))
        if field.is_image:
            seen: Any = [[data.images.digest(path) for path in paths] for paths in part.pictures()]
        else:
            seen = part.texts(field)
        keys[start : start + CHUNK] = [digest(each)[:KEY].encode() if each else b"" for each in seen]
    return keys


def _names(keys: NDArray[np.bytes_]) -> list[str]:
    """A name of its own for each row of a chunk."""
    seen: Counter[str] = Counter()
    names = []
    for key in keys.astype(np.str_).tolist():
        seen[key] += 1
        names.append(f"{key or 'absent'}-{seen[key]}")
    return names
