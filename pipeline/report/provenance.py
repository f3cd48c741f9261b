"""How a comparison was made: enough to repeat it, and to see what it rests on."""

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusecat.pipeline.report.comparison import Comparison


def facts(comparison: "Comparison") -> list[tuple[str, str]]:
    """(name, value) of the catalogue, the split, the networks and the heads; what nobody recorded is left out."""
    study, info = comparison.study, comparison.study.info
    split = info.split
    groups: Mapping[str, Any] = split.get("groups") or {}
    counts = split.get("counts") or {}
    chosen = comparison.chosen.candidate
    seeds = sorted({seed for row in comparison.rows for seed in row.candidate.seeds if seed})
    found = [
        ("catalogue", info.catalogue),
        ("layout", info.layout),
        ("products", _count(len(study.products.ids) if info.products is None else info.products)),
        ("labelled", _count(int((study.products.labels >= 0).sum()) if info.labelled is None else info.labelled)),
        ("type codes", _count(len(study.products.classes))),
        ("missing descriptions", _count(info.counts.get("missing_descriptions"))),
        ("missing images", _count(info.counts.get("missing_images"))),
        ("split", _split(split)),
        ("parts", ", ".join(f"{part} {count:,}" for part, count in counts.items()) or None),
        ("duplicate groups", _groups(groups)),
        ("preset", info.preset),
        ("metric that chooses", comparison.metric.name),
        ("metric of the networks' epochs", info.metric if info.features else None),
        ("seeds of heads", ", ".join(str(seed) for seed in seeds) or None),
        ("heads fitted on", ", ".join(chosen.fitted_on) or None),
        ("fingerprint of products, split and classes", study.products.fingerprint or None),
        ("digest of all runs", runs_digest(comparison)),
    ]
    return [(name, str(value)) for name, value in found if value not in (None, "")]


def runs_digest(comparison: "Comparison") -> str:
    """One digest of everything that decided the compared runs: equal digests, equal inputs."""
    keys = {row.strategy: [run.key for run in row.candidate.runs] for row in comparison.rows}
    return hashlib.sha256(json.dumps(keys, sort_keys=True).encode()).hexdigest()[:16]


def head_settings(comparison: "Comparison") -> list[tuple[str, str]]:
    """Hyperparameters of the chosen strategy's first run."""
    return [(name.replace("_", " "), _plain(value)) for name, value in comparison.chosen.candidate.runs[0].settings.items()]


def network_lines(comparison: "Comparison") -> list[dict[str, Any]]:
    """One line per feature of the study: its network, field, epochs, seconds, parameters and validation score."""
    metric, lines = comparison.metric.key, []
    for feature, of in sorted(comparison.study.info.features.items()):
        validation = (of.get("scores") or {}).get("validation") or {}
        lines.append(
            {
                "feature": feature,
                "prompts": (of.get("settings") or {}).get("prompts") or (),
                "epochs": of.get("epochs"),
                "best_epoch": of.get("best_epoch"),
                "seconds": of.get("seconds"),
                "parameters": of.get("parameters"),
                "validation": validation.get(metric),
            }
        )
    return lines


def network_curves(comparison: "Comparison") -> dict[str, list[tuple[float, float]]]:
    """Feature -> (epoch, validation metric) while its network was fine-tuned; what was not recorded is left out."""
    metric = comparison.metric.key
    curves = {}
    for feature, of in sorted(comparison.study.info.features.items()):
        points = _points(of.get("curve") or [], metric)
        if points:
            curves[feature] = points
    return curves


def head_curves(comparison: "Comparison") -> dict[str, list[tuple[float, float]]]:
    """`seed n` -> (epoch, validation metric) of the chosen strategy's heads."""
    metric = comparison.metric.key
    curves = {f"seed {run.seed}": _points(run.curve, metric) for run in comparison.chosen.candidate.runs}
    return {name: points for name, points in curves.items() if points}


def _points(curve: Any, metric: str) -> list[tuple[float, float]]:
    points = []
    for number, of in enumerate(curve, start=1):
        value = of.get(metric, (of.get("validation") or {}).get(metric) if isinstance(of.get("validation"), Mapping) else None)
        if isinstance(value, int | float):
            points.append((float(of.get("epoch", number)), float(value)))
    return points


def _split(split: Mapping[str, Any]) -> str | None:
    """Who parted the products, and how; the catalogue's own split has neither protocol nor seed."""
    if split.get("own"):
        return _words("given with the catalogue", split.get("subset"))
    head = f"{split['head_share']:.0%} kept from the networks for heads" if split.get("head_share") else None
    return _words(split.get("protocol"), f"seed {split['seed']}" if "seed" in split else None, head, split.get("subset"))


def _groups(groups: Mapping[str, Any]) -> str | None:
    if not groups.get("count"):
        return None
    return f"{groups['count']:,} groups of {groups.get('products', 0):,} products, each kept on one side of the split"


def _count(value: Any) -> str | None:
    return f"{value:,}" if isinstance(value, int) else None


def _words(*words: Any) -> str | None:
    return ", ".join(str(word) for word in words if word not in (None, "")) or None


def _plain(value: Any) -> str:
    if isinstance(value, Mapping | list):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
