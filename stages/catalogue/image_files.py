"""Where the pictures of products lie: folders listed once, and no way out of the catalogue."""

import glob
import os
import re
import unicodedata
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NoReturn
from urllib.parse import unquote

from fusecat.stages.catalogue.messages import fail, shorten

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
"""Endings that are looked for, in this order and in either case. What a file holds is read from its content."""
DEEPEST = 4
MOST_FOLDERS = 10_000
"""How far below the picture folder a picture is looked for: the catalogue may lie in somebody's home."""

_GLOB = frozenset("*?[")
_ABSOLUTE = re.compile(r"/|[a-zA-Z]:[/\\]|\\\\|[a-zA-Z][a-zA-Z0-9+.-]+://")
_ASKED = re.compile(r"(.+\.(?:jpe?g|png|webp|gif|bmp|tiff?|avif))\?", re.IGNORECASE)
"""A name as an address has it, before its question: `0.jpg?w=300`."""


class UnsafeNameError(ValueError):
    """A cell that must not become part of a path; the text says why."""


class ElsewhereError(UnsafeNameError):
    """A path that begins outside of the catalogue: of another machine, or an address on the web."""


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
        self.files: dict[str, None] = {}
        self.stems: dict[str, str] = {}
        ranks: dict[str, tuple[int, str]] = {}
        with os.scandir(folder) as entries:
            for entry in entries:
                self.files[entry.name] = None
                if entry.is_symlink():
                    self._links.add(entry.name)
                stem, dot, suffix = entry.name.rpartition(".")
                suffix = dot + suffix.lower()
                if suffix in SUFFIXES:
                    rank = (SUFFIXES.index(suffix), entry.name)
                    if rank < ranks.get(stem, (len(SUFFIXES), "")):
                        ranks[stem], self.stems[stem] = rank, entry.name

    def find(self, name: str) -> Path | None:
        """The picture of that name, with or without its ending; another ending or case of the ending will do.

        Failing that, the only one whose name is the same in another case, or with its accents spelt another way (NFC, NFD).
        """
        found = name if name in self.files else self.stems.get(name) or self.stems.get(_stem(name))
        if found is None:
            alike = self._alike.get(_alike(name)) or self._alike.get(_alike(_stem(name)))
            found = alike[0] if alike and len(alike) == 1 else None
        return None if found is None else self.folder / found

    @cached_property
    def _alike(self) -> dict[str, list[str]]:
        """Names and stems in one spelling -> the files of that name."""
        found: dict[str, list[str]] = {}
        for key, name in (*((name, name) for name in self.files), *self.stems.items()):
            found.setdefault(_alike(key), []).append(name)
        return found

    def match(self, pattern: str) -> list[Path]:
        """All pictures that a glob pattern fits, by name."""
        return [self.folder / name for name in sorted(self.files) if fnmatchcase(name, pattern)]

    def refused(self, path: Path) -> bool:
        """True for a link that leads out of the catalogue (unless links are followed)."""
        return path.name in self._links and self._leaves(path)

    def _leaves(self, path: Path) -> bool:
        return not self._follow and not Path(os.path.realpath(path)).is_relative_to(self._inside)


def _stem(name: str) -> str:
    """The name without the ending of a picture."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot + suffix.lower() in SUFFIXES else name


def _alike(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


class PictureTree:
    """Pictures by path or glob, in a folder and those below it; each is listed once, when it is first asked for."""

    def __init__(self, base: Path, root: Path, *, follow_symlinks: bool, prefix: str = "") -> None:
        """`prefix`: what stands before the paths in the table and is not there on this machine."""
        self.base, self._root, self._follow = base, root, follow_symlinks
        self._prefix = prefix.replace("\\", "/")
        self._folders: dict[str, PictureFolder | None] = {}
        self._folders["."] = PictureFolder(base, root, follow_symlinks=follow_symlinks)

    def find(self, name: str) -> list[Path]:
        """The pictures that a path or glob names; none where there are none.

        A path that the folder itself has not is looked for in the folders below, and so is one with backslashes or `%20` in it.
        Raises: UnsafeNameError for a name that leads out, or that two folders have; ElsewhereError.
        """
        if self._prefix and name.replace("\\", "/").startswith(self._prefix):
            name = name.replace("\\", "/")[len(self._prefix) :].lstrip("/")
        relative = safe_path(self._inside(name))
        found = self._in(str(relative.parent), relative.name) or self._below(relative)
        if not found and "%" in name and (plain := unquote(name)) != name:
            return self.find(plain)
        if not found and (asked := _ASKED.match(name)):
            return self.find(asked[1])
        return found

    def _inside(self, name: str) -> str:
        """The name relative to the picture folder, with `/` between its parts, unless a file has backslashes in its name."""
        if "\\" in name and self._in(".", name):
            return name
        slashed = name.replace("\\", "/")
        if not _ABSOLUTE.match(name):
            return slashed
        for folder in dict.fromkeys((self.base.absolute(), self._root.absolute(), *map(Path.resolve, (self.base, self._root)))):
            if slashed.startswith(f"{folder.as_posix()}/"):
                path = PurePosixPath(slashed)
                if path.is_relative_to(self.base.absolute().as_posix()):
                    return str(path.relative_to(self.base.absolute().as_posix()))
                return str(path.relative_to(folder.as_posix()))
        raise ElsewhereError(f"{shorten(name, 80)!r}: a path inside of the picture folder is expected")

    def suffix(self, name: str) -> tuple[str, str] | None:
        """Of a path of another machine what stands before the part that is here, and that part; None where nothing is."""
        parts = name.replace("\\", "/").split("/")
        for start in range(1, len(parts)):
            rest = "/".join(parts[start:])
            try:
                if parts[start] and self.find(rest):
                    return "/".join(parts[:start]) + "/", rest
            except UnsafeNameError:
                continue
        return None

    def _in(self, folder_name: str, name: str) -> list[Path]:
        folder = self._folder(folder_name)
        if folder is None:
            return []
        exact = folder.find(name)
        if exact is not None:
            return [exact]
        return folder.match(name) if _GLOB & set(name) else []

    def _below(self, relative: PurePosixPath) -> list[Path]:
        """The pictures of the one folder below that has them under this path."""
        parent, name = str(relative.parent), relative.name
        places = (
            self.below
            if _GLOB & set(name)
            else {*self._places.get(_alike(name), ()), *self._places.get(_alike(_stem(name)), ())}
        )
        ending = "" if parent == "." else f"/{parent}"
        hits = [hit for place in sorted(places) if f"/{place}".endswith(ending) and (hit := self._in(place, name))]
        if len(hits) > 1:
            both = " and in ".join(str(hit[0].parent.relative_to(self.base)) for hit in hits[:2])
            _unsafe(str(relative), f"in {both}: name the folder too")
        return hits[0] if hits else []

    @cached_property
    def below(self) -> list[str]:
        """The folders below, relative; not those that are links or hidden."""
        return list(self._walk("", 0))[:MOST_FOLDERS]

    def _walk(self, start: str, depth: int) -> Iterator[str]:
        try:
            with os.scandir(self.base / start) as entries:
                names = sorted(e.name for e in entries if e.name[0] != "." and e.is_dir(follow_symlinks=self._follow))
        except OSError:  # a folder that may not be listed
            return
        for name in names:
            path = f"{start}/{name}" if start else name
            yield path
            if depth + 1 < DEEPEST:
                yield from self._walk(path, depth + 1)

    @cached_property
    def _places(self) -> dict[str, set[str]]:
        """Names and stems in one spelling -> the folders below that have such a file."""
        found: dict[str, set[str]] = {}
        for place in self.below:
            folder = self._folder(place)
            for name in (*folder.files, *folder.stems) if folder else ():
                found.setdefault(_alike(name), set()).add(place)
        return found

    def pictures(self) -> Iterator[str]:
        """Every file that is called as a picture is, relative to the folder; what lies deepest comes last."""
        for place in (".", *self.below):
            folder = self._folder(place)
            for name in sorted(folder.stems.values()) if folder else ():
                yield name if place == "." else f"{place}/{name}"

    def refused(self, path: Path) -> bool:
        """True for a link that leads out of the catalogue."""
        if not path.is_relative_to(self.base):
            return False  # one that was written out of a table
        folder = self._folder(str(path.parent.relative_to(self.base)))
        return folder is None or folder.refused(path)

    def _folder(self, name: str) -> PictureFolder | None:
        if name not in self._folders:
            path = self.base / name
            there = path.is_dir() and os.access(path, os.R_OK | os.X_OK)
            self._folders[name] = PictureFolder(path, self._root, follow_symlinks=self._follow) if there else None
        return self._folders[name]


def safe_path(name: str) -> PurePosixPath:
    """The name as a relative path that goes down only. Raises UnsafeNameError with the reason."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\x00" in name:
        _unsafe(name, "a path inside of the picture folder is expected (no '..', no '/' first)")
    if len(name) > 1000 or any(len(part.encode()) > 255 for part in path.parts):  # what file systems allow
        _unsafe(name, "too long for the name of a file")
    if not path.name:
        _unsafe(name, "a file name, or a glob in the last part of a path, is expected")
    return path


def plain_token(cell: str) -> str:
    """A cell that may be filled into a path. Raises UnsafeNameError for whatever could change where the path leads."""
    if not re.fullmatch(r"[^/\\*?\[\]\x00-\x1f\x7f]{1,200}", cell) or ".." in cell:
        _unsafe(cell, "no '/', '\\', '..', '*', '?' or brackets may stand in a picture's name that is put together from cells")
    return cell


def _unsafe(name: str, reason: str) -> NoReturn:
    raise UnsafeNameError(f"{shorten(name, 40)!r}: {reason}")
