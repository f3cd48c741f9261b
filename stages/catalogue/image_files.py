"""Where the pictures of products lie: folders listed once, and no way out of the catalogue."""

import glob
import os
import re
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NoReturn

from fusecat.stages.catalogue.messages import fail, shorten

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
"""Endings that are looked for, in this order and in either case. What a file holds is read from its content."""

_GLOB = frozenset("*?[")


class UnsafeName(ValueError):
    """A cell that must not become part of a path; the text says why."""


class PictureFolder:
    """The files of one folder by name. A path is only ever one that the listing holds, so no id can lead out of it."""

    def __init__(self, folder: Path, root: Path, *, follow_symlinks: bool) -> None:
        """Raises DataError where the folder is missing, is no folder, or is a link out of the catalogue."""
        if not folder.is_dir():
            what = "is not a folder" if folder.exists() else "does not exist"
            packed = next(folder.parent.glob(glob.escape(folder.name) + ".*"), None)
            way = f"unpack {packed.name}" if packed is not None else "put the pictures there"
            fail(f"{folder} {what}: {way}, or pass --images none to go without")
        self.folder = folder
        self._inside = os.path.realpath(root)
        self._follow = follow_symlinks
        if self._leaves(folder):
            fail(f"{folder} is a link out of the catalogue: move the pictures in, or pass --follow-symlinks")
        self._links: set[str] = set()
        self._files: dict[str, str] = {}
        self._stems: dict[str, str] = {}
        ranks: dict[str, tuple[int, str]] = {}
        with os.scandir(folder) as entries:
            for entry in entries:
                self._files[entry.name] = entry.name
                if entry.is_symlink():
                    self._links.add(entry.name)
                stem, dot, suffix = entry.name.rpartition(".")
                suffix = dot + suffix.lower()
                if suffix in SUFFIXES:
                    rank = (SUFFIXES.index(suffix), entry.name)
                    if rank < ranks.get(stem, (len(SUFFIXES), "")):
                        ranks[stem], self._stems[stem] = rank, entry.name

    def find(self, name: str) -> Path | None:
        """The picture of that name, with or without its ending; another ending or case of the ending will do."""
        stem, dot, suffix = name.rpartition(".")
        found = self._files.get(name) or self._stems.get(name)
        if found is None and dot + suffix.lower() in SUFFIXES:
            found = self._stems.get(stem)
        return None if found is None else self.folder / found

    def match(self, pattern: str) -> list[Path]:
        """All pictures that a glob pattern fits, by name."""
        return [self.folder / name for name in sorted(self._files) if fnmatchcase(name, pattern)]

    def refused(self, path: Path) -> bool:
        """True for a link that leads out of the catalogue (unless links are followed)."""
        return path.name in self._links and self._leaves(path)

    def _leaves(self, path: Path) -> bool:
        return not self._follow and not Path(os.path.realpath(path)).is_relative_to(self._inside)


class PictureTree:
    """Pictures by relative path or glob, in a folder and its subfolders; each is listed once, when it is first asked for."""

    def __init__(self, base: Path, root: Path, *, follow_symlinks: bool) -> None:
        self._base, self._root, self._follow = base, root, follow_symlinks
        self._folders: dict[str, PictureFolder | None] = {}
        self._folders["."] = PictureFolder(base, root, follow_symlinks=follow_symlinks)

    def find(self, name: str) -> list[Path]:
        """The pictures that a relative path or glob names; none where there are none.

        A bare name that the folder itself has not is looked for in its subfolders.
        Raises: UnsafeName for a name that leads out, or that two subfolders have.
        """
        relative = safe_path(name)
        found = self._in(str(relative.parent), relative.name)
        if found or len(relative.parts) > 1:
            return found
        hits = [hit for hit in (self._in(folder, relative.name) for folder in self._subfolders) if hit]
        if len(hits) > 1:
            _unsafe(name, f"in {hits[0][0].parent.name} and in {hits[1][0].parent.name}: name the folder too")
        return hits[0] if hits else []

    def _in(self, folder_name: str, name: str) -> list[Path]:
        folder = self._folder(folder_name)
        if folder is None:
            return []
        exact = folder.find(name)
        if exact is not None:
            return [exact]
        return folder.match(name) if _GLOB & set(name) else []

    @cached_property
    def _subfolders(self) -> list[str]:
        """Folders right below; not those that are links or hidden."""
        with os.scandir(self._base) as entries:
            folders = [entry.name for entry in entries if entry.is_dir(follow_symlinks=self._follow)]
        return sorted(name for name in folders if not name.startswith("."))

    def refused(self, path: Path) -> bool:
        """True for a link that leads out of the catalogue."""
        folder = self._folder(str(path.parent.relative_to(self._base)))
        return folder is None or folder.refused(path)

    def _folder(self, name: str) -> PictureFolder | None:
        if name not in self._folders:
            path = self._base / name
            there = path.is_dir()
            self._folders[name] = PictureFolder(path, self._root, follow_symlinks=self._follow) if there else None
        return self._folders[name]


def safe_path(name: str) -> PurePosixPath:
    """The name as a relative path that goes down only. Raises UnsafeName with the reason."""
    path = PurePosixPath(name)
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", name):
        _unsafe(name, "an address on the web: download the pictures and name the files")
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\x00" in name:
        _unsafe(name, "a path inside of the picture folder is expected (no '..', no '/' first, no '\\')")
    if len(name) > 1000 or any(len(part.encode()) > 255 for part in path.parts):  # what file systems allow
        _unsafe(name, "too long for the name of a file")
    if not path.name or any(_GLOB & set(part) for part in path.parts[:-1]):
        _unsafe(name, "a file name, or a glob in the last part of a path, is expected")
    return path


def plain_token(cell: str) -> str:
    """A cell that may be filled into a path. Raises UnsafeName for whatever could change where the path leads."""
    if not re.fullmatch(r"[\w.+@-]{1,200}", cell) or ".." in cell:
        _unsafe(cell, "only letters, digits and . _ + @ - may stand in a picture's name that is put together from cells")
    return cell


def _unsafe(name: str, reason: str) -> NoReturn:
    message = f"{shorten(name, 40)!r}: {reason}"
    raise UnsafeName(message)
