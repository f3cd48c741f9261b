"""The features of one workspace: what is there, is it what was asked for, and how to write what is missing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fusecat.cache.blocks import Blocks, discard
from fusecat.cache.disk import locked
from fusecat.cache.errors import BusyFeature, CacheError, MissingFeature
from fusecat.cache.fingerprint import JSON, canonical, changes, digest
from fusecat.cache.layout import SUFFIX, Header, check_name
from fusecat.cache.loading import load
from fusecat.cache.reading import SealedFile
from fusecat.cache.sealing import sidecar, write_sidecar
from fusecat.cache.stream import FeatureStream
from fusecat.cache.table import FeatureTable
from fusecat.cache.writing import FeatureWriter, Rows

__all__ = ["FeatureCache", "FeatureWriter", "Rows", "Verdict"]


@dataclass(frozen=True)
class Verdict:
    """Whether a sealed feature can serve. `changed`: dotted names of the recipe's parts that differ; `reason`: of damage."""

    state: Literal["hit", "missing", "stale", "damaged"]
    changed: tuple[str, ...] = ()
    reason: str = ""


class FeatureCache:
    """The folder `workspace/features`: one `<feature>.h5` and `<feature>.h5.sha256` each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, feature: str) -> Path:
        """The file of a feature, whether it exists or not."""
        return self.folder / (check_name(feature) + SUFFIX)

    def names(self) -> list[str]:
        """All sealed features, sorted."""
        return sorted(path.name.removesuffix(SUFFIX) for path in self.folder.glob(f"[!.]*{SUFFIX}"))

    def explain(self, feature: str, recipe: Mapping[str, JSON]) -> Verdict:
        """Compare the sealed feature with the recipe that is asked for; reads and checks the whole file."""
        path = self.path(feature)
        if not path.exists():
            return Verdict("missing")
        try:
            with SealedFile(path, feature) as file:
                changed = changes(file.header.recipe, recipe)
                if not changed:
                    file.check()
        except CacheError as error:
            return Verdict("damaged", reason=str(error))
        return Verdict("stale", changed) if changed else Verdict("hit")

    def holds(self, feature: str, recipe: Mapping[str, JSON]) -> bool:
        """Whether the feature can be used as it is. Ends what a crash right after the sealing left undone."""
        if self.explain(feature, recipe).state != "hit":
            return False
        if self._leftovers(feature, recipe):
            try:
                with self.lock(feature, wait=False):
                    self._tidy(feature, recipe)
            except BusyFeature:  # somebody is at it
                return True
        return True

    @contextmanager
    def lock(self, feature: str, *, wait: bool = True, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Be the only writer of a feature. The same thread may nest it; a process that dies gives it back.

        `waiting` is called once before waiting for another writer. Raises BusyFeature at once where `wait` is false.
        """
        place = self.folder / ".locks" / f"{check_name(feature)}.lock"
        with ExitStack() as held:
            try:
                held.enter_context(locked(place, wait=wait, waiting=waiting))
            except BlockingIOError as error:
                raise BusyFeature(
                    f"{self.path(feature)} is being written by another process; wait for it, or run without --no-wait"
                ) from error
            yield

    def writer(
        self, feature: str, recipe: Mapping[str, JSON], rows: Rows, *, block: int = 256, weights: str = ""
    ) -> FeatureWriter:
        """Collect the rows of a feature in blocks of `block` rows.

        Blocks are found again only for the same recipe, rows, block size and `weights`: pass the digest of the network that
        makes them, so that vectors of two networks never meet in one file.
        """
        shared: dict[str, JSON] = {name: digest(array.tobytes()) for name, array in rows.columns().items()}
        key: JSON = shared | {"classes": rows.classes, "parts": rows.parts, "block": block, "weights": weights}
        folder = self._blocks(feature) / f"{_short(recipe)}-{_short(key)}"
        header = Header(check_name(feature), rows.classes, rows.parts, recipe, weights, None, {}, {})
        return FeatureWriter(self.path(feature), header, rows, Blocks(folder, len(rows.ids), block), lambda: self.lock(feature))

    def recipe(self, feature: str) -> Mapping[str, JSON]:
        """The recipe of a sealed feature. Raises MissingFeature."""
        return self.header(feature).recipe

    def header(self, feature: str) -> Header:
        """What a sealed feature says of itself. Raises MissingFeature, DamagedFeature, ForeignFile."""
        with self.open(feature) as file:
            return file.header

    def open(self, feature: str) -> SealedFile:
        """Open a sealed feature to read parts of it; to be closed. Raises MissingFeature, DamagedFeature, ForeignFile."""
        return SealedFile(self._existing(feature), feature)

    def table(self, features: Sequence[str] | None = None) -> FeatureTable:
        """These features (all by default) side by side, every byte checked.

        Raises MissingFeature, MismatchedFeatures (naming both), DamagedFeature, ForeignFile.
        """
        return load(self._paths(features))

    def stream(self, features: Sequence[str] | None = None) -> FeatureStream:
        """Open these features (all by default) without loading their vectors; to be closed. Raises as `table` does."""
        return FeatureStream(self._paths(features))

    @contextmanager
    def opened(self, features: Sequence[str] | None = None, *, streamed: bool | None = None) -> Iterator[FeatureTable]:
        """These features (all by default), their vectors in memory or, `streamed`, on disk; read them only within.

        None: on disk where they and their standardised copy would take more than half of the memory that is free. Raises as
        `table` does.
        """
        if streamed is None:
            from psutil import virtual_memory

            size = sum(path.stat().st_size for path in self._paths(features).values())
            streamed = 2 * size > virtual_memory().available / 2
        if not streamed:
            yield self.table(features)
            return
        with self.stream(features) as stream:
            yield stream.table()

    def _paths(self, features: Sequence[str] | None) -> dict[str, Path]:
        names = self.names() if features is None else list(dict.fromkeys(features))
        if not names:
            raise MissingFeature(f"{self.folder} holds no features; run 'fusecat extract' or 'fusecat import' first")
        return {name: self._existing(name) for name in names}

    def _existing(self, feature: str) -> Path:
        path = self.path(feature)
        if not path.is_file():
            there = ", ".join(self.names()) or "none"
            raise MissingFeature(
                f"{path} does not exist (features there: {there}); run 'fusecat extract' or 'fusecat import' first"
            )
        return path

    def _blocks(self, feature: str) -> Path:
        return self.folder / f"{check_name(feature)}.blocks"

    def _leftovers(self, feature: str, recipe: Mapping[str, JSON]) -> list[Path]:
        """Blocks of a feature that is sealed by this very recipe, and what the removal of blocks left."""
        blocks = self._blocks(feature)
        done = blocks.with_name(blocks.name + ".done")
        return [*blocks.glob(f"{_short(recipe)}-*"), *([done] if done.exists() else [])]

    def _tidy(self, feature: str, recipe: Mapping[str, JSON]) -> None:
        if self.explain(feature, recipe).state == "hit":
            path = self.path(feature)
            sha256 = digest(path)
            if not sidecar(path).is_file() or sidecar(path).read_text("utf-8").split()[:1] != [sha256]:
                write_sidecar(path, sha256)
            discard(self._blocks(feature))


def _short(value: JSON) -> str:
    return digest(canonical(value))[:16]
