"""Where the pictures of products lie: a folder listed once, and no way out of it."""

import os
from pathlib import Path

from stages.catalogue.refusal import refuse

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
"""Endings that are looked for, in this order and in either case. What a file holds is read from its content."""


class PictureFolder:
    """The files of one folder by name. A path is only ever one that the listing holds, so no id can lead out of it."""

    def __init__(self, folder: Path, root: Path, *, follow_symlinks: bool) -> None:
        """Raises DataError where the folder is missing, is no folder, or is a link out of the catalogue."""
        if not folder.is_dir():
            what = "is not a folder" if folder.exists() else "does not exist"
            refuse(f"{folder} {what}: put the pictures there, or pass --images none to go without")
        self.folder = folder
        self._inside = root.resolve()
        self._follow = follow_symlinks
        if self._leaves(folder):
            refuse(f"{folder} is a link out of the catalogue: move the pictures in, or pass --follow-symlinks")
        self._links: set[str] = set()
        self._names: dict[str, str] = {}
        ranks: dict[str, tuple[int, str]] = {}
        with os.scandir(folder) as entries:
            for entry in entries:
                stem, dot, suffix = entry.name.rpartition(".")
                suffix = dot + suffix.lower()
                if suffix not in SUFFIXES:
                    continue
                rank = (SUFFIXES.index(suffix), entry.name)
                if rank < ranks.get(stem, (len(SUFFIXES), "")):
                    ranks[stem], self._names[stem] = rank, entry.name
                if entry.is_symlink():
                    self._links.add(entry.name)

    def find(self, stem: str) -> Path | None:
        """The picture of that name without its ending, or None."""
        name = self._names.get(stem)
        return None if name is None else self.folder / name

    def refused(self, path: Path) -> bool:
        """True for a link that leads out of the catalogue (unless links are followed)."""
        return path.name in self._links and self._leaves(path)

    def _leaves(self, path: Path) -> bool:
        return not self._follow and not path.resolve().is_relative_to(self._inside)
