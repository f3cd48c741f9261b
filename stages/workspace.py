"""Where things live in the folder of one study. Nothing here reads or writes."""

from dataclasses import dataclass
from pathlib import Path


class _Below:
    """A path below the folder of a workspace."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, place: "Workspace", _: type) -> Path:
        return place.root / self.name


@dataclass(frozen=True)
class Workspace:
    """The folder of one study (`--workspace`)."""

    root: Path

    study = _Below("study.json")
    """JSON: what was read and how it is to be judged (catalogue, counts, warnings, preset, metric)."""
    split = _Below("split.json")
    """JSON: protocol, seed, groups, and the part of every product."""
    contents = _Below("contents.json")
    """JSON: digests of the texts and pictures of every product, by which `predict` knows what the study saw."""
    image_memory = _Below("images.sqlite")
    """What was learnt of each image file, remembered by path, size and mtime."""
    pictures = _Below("pictures")
    """Pictures that lay inside of a table, one file each, by the digest of their bytes."""
    encoders = _Below("encoders")
    """One folder per feature: the fine-tuned network in safetensors, its tokenizer, its training log."""
    attributes = _Below("attributes")
    """One JSON file per imported feature of attributes: how a table becomes its vectors."""
    folds = _Below("folds")
    """One folder per feature: the logits of each finished fold (see `stages.extraction.out_of_fold`)."""
    features = _Below("features")
    """One HDF5 file per feature (see cache/FORMAT.md)."""
    runs = _Below("runs")
    """One folder per strategy and seed (see `stages.fusion.runs`)."""
    report = _Below("report")
    """The comparison as HTML, Markdown, CSV, TeX and JSON."""

    def on_split(self, number: int) -> "Workspace":
        """The study on its split of this number, from 1: the first is this folder's own, with runs to be pooled with others."""
        return Workspace(self.root / "splits" / str(number))
