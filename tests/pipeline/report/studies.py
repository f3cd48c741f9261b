"""Studies made of numbers: workspaces with runs that look like real ones, for tests and benchmarks of the report."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fusecat.cache.table import FeatureTable
from fusecat.stages.fusion.runs import Run, Runs
from fusecat.stages.scores import scores

THESIS = (
    *(f"baseline/{merge}" for merge in ("concatenation", "addition", "average")),
    *(f"flat/{merge}" for merge in ("concatenation", "addition", "average")),
    *(
        f"hierarchical/{a}/{b}"
        for a in ("concatenation", "addition", "average")
        for b in ("concatenation", "addition", "average")
    ),
    "late/mean",
    *(
        f"{kind}/{feature}"
        for kind in ("unimodal", "probe")
        for feature in ("camembert.title", "camembert.description", "camembert.title_description", "se_resnext50.image")
    ),
)
"""The strategies of one full study of the thesis's merges."""

SKILL = {"se_resnext50.image": 1.0, "camembert.description": 1.6, "camembert.title": 2.2, "camembert.title_description": 2.9}


def make_study(
    root: Path,
    *,
    strategies: Sequence[str] = THESIS,
    classes: int = 6,
    products: Mapping[str, int] | None = None,
    seeds: int = 3,
    skill: Mapping[str, float] | None = None,
    seed: int = 7,
    codes: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
    labels: Sequence[int] | None = None,
    features: Sequence[str] = tuple(SKILL),
    info: Mapping[str, Any] | None = None,
) -> Path:
    """Write a workspace whose runs have known skill: noise of text, image and its own, and `skill` at the truth.

    Products are numbered and labelled in turn; `codes`, `ids` and `labels` put others in their place. `features`: what fused
    strategies look at.
    """
    random = np.random.default_rng(seed)
    sizes = dict(products or {"train": 240, "validation": 90, "test": 120})
    total = sum(sizes.values())
    names = tuple(codes or [str(10 * (at + 1)) for at in range(classes)])
    turns = np.concatenate([np.arange(count) % classes for count in sizes.values()])
    split = np.repeat(np.arange(len(sizes)), list(sizes.values())).astype(np.uint8)
    known = np.array(ids if ids is not None else [f"p{at}" for at in range(total)])
    truth = np.array(turns if labels is None else labels).astype(np.int32)
    table = FeatureTable(known, truth, split, names, tuple(sizes), {}, fingerprint=f"study-{seed}")
    runs = Runs(root / "runs")
    runs.write_products(table)
    text, image = (random.normal(size=(total, len(names))).astype(np.float32) for _ in range(2))
    for strategy in strategies:
        level = dict(SKILL, **(skill or {})).get(strategy, SKILL.get(strategy.partition("/")[2], 3.2))
        noise = image if strategy.endswith(".image") else text if "." in strategy else 0.8 * text + 0.4 * image
        own = noise + 0.4 * random.normal(size=(total, len(names))).astype(np.float32)
        fixed = strategy.startswith(("unimodal", "late/mean"))
        for number in [0] if fixed else range(1, seeds + 1):
            runs.write(make_run(strategy, number, level, own, table, random, features))
    study = {
        "class_names": {name: f"class {name}" for name in names},
        "preset": "tiny",
        "split": {"protocol": "80-20", "seed": 2020, "head_share": 0, "counts": sizes},
        "metric": "macro-f1",
        **(info or {}),
    }
    (root / "study.json").write_text(json.dumps(study), encoding="utf-8")
    return root


def make_sample_study(root: Path, catalogue: Path, **options: Any) -> Path:
    """A workspace whose products are those of a catalogue on disk, so that cards have texts and pictures."""
    from fusecat.stages.catalogue.read import read_catalogue

    read = read_catalogue(catalogue)
    order = np.random.default_rng(0).permutation(len(read.products))
    held = len(order) // 5
    curve = [{"epoch": at, "macro_f1": 0.6 - 0.5 / at, "loss": 2 / at} for at in range(1, 9)]
    features = {
        name: {"epochs": 8, "best_epoch": 7, "seconds": 21.5, "parameters": 1234567, "curve": curve,
               "scores": {"validation": {"macro_f1": 0.53}}}
        for name in SKILL
    }  # fmt: skip
    info = {
        "catalogue": str(catalogue), "layout": read.layout, "products": len(order), "labelled": len(order),
        "class_names": dict(read.class_names), "top_level": dict(read.top_level), "features": features,
        "commands": ["fusecat extract --preset tiny", "fusecat fuse --fusion all"],
        "versions": {"torch": "2.11", "python": "3.12"},
        "warnings": [{"kind": "shared_images", "count": 2, "first": "id 3 and id 4", "treatment": "kept on one side"}],
    }  # fmt: skip
    return make_study(
        root,
        codes=read.classes,
        classes=len(read.classes),
        ids=[read.products[at].id for at in order],
        labels=read.labels[order],
        products={"train": len(order) - 2 * held, "validation": held, "test": held},
        info=info,
        **options,
    )


def make_run(
    strategy: str,
    number: int,
    level: float,
    own: np.ndarray,
    table: FeatureTable,
    random: np.random.Generator,
    features: Sequence[str] = tuple(SKILL),
) -> Run:
    """One run of that skill on the table's products."""
    architecture, _, rest = strategy.partition("/")
    first, _, final = rest.rpartition("/")
    single = architecture in ("unimodal", "probe")
    probabilities, figures = {}, {}
    for part in ("train", "validation", "test"):
        if part not in table.parts:
            continue
        rows = table.rows(part)
        lift = level + (1.0 if part == "train" else 0.0)
        logits = own[rows] + 0.3 * random.normal(size=own[rows].shape).astype(np.float32)
        logits[np.arange(len(rows)), table.labels[rows]] += lift
        chances = np.exp(1.5 * logits - (1.5 * logits).max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        figures["fit" if part == "train" else part] = scores(table.labels[rows], chances)
        if part != "train":
            probabilities[part] = chances.astype(np.float32)
    taken = [name for name in features if architecture != "text" or not name.endswith(".image")]
    controls = (
        {}
        if single
        else {
            name: {part: {k: v * 0.8 for k, v in figures[part].items()} for part in probabilities}
            for name in ("without image", "shuffled image", "without title_description")
        }
    )
    return Run(
        strategy,
        architecture,
        first or None,
        None if single else final,
        (rest,) if single else tuple(taken),
        number,
        () if architecture in ("unimodal", "late") else ("train",),
        0 if architecture == "unimodal" else 12345,
        0.5 + len(strategy) / 10,
        0.01,
        probabilities,
        figures,
        controls=controls,
        curve=tuple({"epoch": at + 1, "fit_loss": 2 / (at + 1), "macro_f1": 0.5 + 0.05 * at} for at in range(5)),
    )
