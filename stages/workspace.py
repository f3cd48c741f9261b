"""Where things live in the folder of one study. Nothing here reads or writes."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Workspace:
    """The folder of one study (`--workspace`)."""

    root: Path

    @property
    def study(self) -> Path:
        """JSON: what was read and how it is to be judged (catalogue, counts, warnings, preset, metric)."""
        return self.root / "study.json"

    @property
    def split(self) -> Path:
        """JSON: protocol, seed, groups, and the part of every product."""
        return self.root / "split.json"

    @property
    def contents(self) -> Path:
        """JSON: digests of the texts and pictures of every product, by which `predict` knows what the study saw."""
        return self.root / "contents.json"

    @property
    def image_memory(self) -> Path:
        """What was learnt of each image file, remembered by path, size and mtime."""
        return self.root / "images.sqlite"

    @property
    def pictures(self) -> Path:
        """Pictures that lay inside of a table, one file each, by the digest of their bytes."""
        return self.root / "pictures"

    @property
    def encoders(self) -> Path:
        """One folder per feature: the fine-tuned network in safetensors, its tokenizer, its training log."""
        return self.root / "encoders"

    @property
    def attributes(self) -> Path:
        """One JSON file per imported feature of attributes: how a table becomes its vectors."""
        return self.root / "attributes"

    @property
    def folds(self) -> Path:
        """One folder per feature: the logits of each finished fold (see `stages.extraction.out_of_fold`)."""
        return self.root / "folds"

    @property
    def features(self) -> Path:
        """One HDF5 file per feature (see cache/FORMAT.md)."""
        return self.root / "features"

    @property
    def runs(self) -> Path:
        """One folder per strategy and seed (see `stages.fusion.runs`)."""
        return self.root / "runs"

    def on_split(self, number: int) -> "Workspace":
        """The study on its split of this number, from 1: the first is this folder's own, with runs to be pooled with others."""
        return Workspace(self.root / "splits" / str(number))

    @property
    def report(self) -> Path:
        """The comparison as HTML, Markdown, CSV, TeX and JSON."""
        return self.root / "report"
