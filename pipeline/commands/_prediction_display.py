"""What a person sees of a prediction: counts as the answers pass, scores of what can be judged, a few lines at the end."""

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusecat.pipeline.console import safe
from fusecat.stages.metrics import METRICS
from fusecat.stages.vocabulary import Part
from fusecat.stages.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fusecat.stages.catalogue.data_model import Catalogue
    from fusecat.stages.external.vectors import ExternalVectors, Files
    from fusecat.stages.prediction import Answers, Model
    from fusecat.stages.prediction.seen import Seen
    from fusecat.stages.scores import Outcome

TOLD = ("absent_columns", "rows_as_ids")
"""Findings of a catalogue that change what is predicted, or under which id."""


class Tally:
    """Counts the answers as they pass, and scores those that can be judged.

    A product that the study of the workspace fitted on or chose with is no test of anything: it is left out of the scores.
    """

    def __init__(self, model: "Model", catalogue: "Catalogue", seen: "Seen") -> None:
        self.model, self.seen, self.names = model, seen, {code: at for at, code in enumerate(model.classes)}
        self.findings = [finding for finding in catalogue.findings if finding.kind in TOLD]
        self.restarted = sum(map(seen.is_other, catalogue.products))
        self.products, self.abstained, self.left_out, self.foreign = len(catalogue.products), 0, 0, 0
        fields = (f"without_{name}" for name in (*model.texts, "image"))
        self.flagged = Counter(dict.fromkeys((*fields, "unseen", "empty"), 0))
        self.judged: list[Outcome] = []
        self.begin = self.first = time.monotonic()

    def watch(self, answers: "Iterator[Answers]", threshold: float) -> "Iterator[Answers]":
        """Pass the answers on; of a labelled one five numbers are kept, not its C probabilities."""
        import numpy as np

        from fusecat.stages.scores import Outcome

        for batch in answers:
            self.abstained += int((batch.probabilities.max(1) < threshold).sum())
            self.flagged["unseen"] += int(batch.unseen.sum())
            self.flagged["empty"] += int(batch.empty.sum())
            kept, labels = [], []
            for number, product in enumerate(batch.products):
                for field in batch.absent[number]:
                    self.flagged[f"without_{field}"] += 1
                if product.code is None:
                    continue
                if product in self.seen:
                    self.left_out += 1
                elif product.code not in self.names:
                    self.foreign += 1
                else:
                    kept.append(number)
                    labels.append(self.names[product.code])
            if kept:
                self.judged.append(Outcome.of(batch.probabilities[kept], np.array(labels)))
            yield batch

    def record(self) -> dict[str, Any]:
        """Everything counted, as JSON values."""
        from fusecat.stages.scores import Outcome, scores_of

        judged = Outcome.joined(self.judged) if self.judged else None
        return {
            "products": self.products,
            "flagged": self.flagged,
            "abstained": self.abstained,
            "scored": len(judged.labels) if judged else 0,
            "left_out_of_scores": self.left_out,
            "left_out_by": "id and label" if self.seen.texts is None and self.seen.same is None else "content",
            "ids_of_other_products": self.restarted,
            "warnings": [vars(finding) for finding in self.findings],
            "unknown_codes": self.foreign,
            "scores": scores_of(judged) if judged else None,
            "seconds": time.monotonic() - self.begin,
        }


def judged_before(
    workspace: Path, folder: Path | None, catalogue: "Catalogue", external: "Mapping[str, Files]", *, refit: bool
) -> "Seen":
    """The products that networks and heads were fitted on, or that chose among them.

    A study that kept no texts and pictures knows those of `catalogue` by their vectors in `external`, if it imported such.
    """
    from fusecat.cache.store import FeatureCache
    from fusecat.stages.prediction.seen import Seen
    from fusecat.stages.prediction.seen_vectors import same_vectors

    if folder is not None:
        return Seen()
    from fusecat.stages.fusion.runs import Runs

    place = Workspace(workspace)
    products = Runs(place.runs).products()
    parts = [part for part in Part if part in products.parts and (refit or part is not Part.TEST)]
    codes = {str(products.ids[row]): products.classes[products.labels[row]] for part in parts for row in products.rows(part)}
    seen, cache = Seen.of(place.contents, codes), FeatureCache(place.features)
    labelled = any(product.code is not None for product in catalogue.products)
    if seen.texts is None and labelled and external and external.keys() <= set(cache.names()):
        ids = [product.id for product in catalogue.products]
        return replace(seen, same=same_vectors(cache, external, codes, ids, products.classes))
    return seen


def joined(found: "ExternalVectors", catalogue: "Catalogue") -> dict[str, Any]:
    """What was found in files of external vectors, as JSON values."""
    lacking = (~found.present).nonzero()[0]
    first = catalogue.products[lacking[0]].id if len(lacking) else ""
    unknown = {"unknown": len(found.unknown), "first_unknown": found.unknown[0] if found.unknown else ""}
    return {"joined": int(found.present.sum()), "absent": len(lacking), "first_absent": first} | unknown


def show(screen: Any, result: dict[str, Any]) -> None:
    from fusecat.stages.fusion.runs import DETERMINISTIC

    encoded = ", ".join(f"{name} {count:,}" for name, count in result["encoded"].items()) or "nothing"
    seeds = [seed for seed in result["seeds"] if seed != DETERMINISTIC]
    drawn = f" (mean of {len(seeds)} seeds)" if len(seeds) > 1 else f" (seed {seeds[0]})" if seeds else ""
    lines = [
        f"{safe(result['catalogue'])}: {result['products']:,} products, {result['strategy']}{drawn}",
        f"newly encoded: {encoded}; {result['seconds']:.1f} s in all",
    ]
    for name, found in result["vectors"].items():
        lines.append(f"vectors of {name}: {found['joined']:,} products have one")
        if found["absent"]:
            lines.append(f"{found['absent']:,} have none and count as lacking the field; first: '{found['first_absent']}'")
        if found["unknown"]:
            lines.append(f"{found['unknown']:,} vectors belong to no product; first: '{found['first_unknown']}'")
    lines += [f"{each['first']}: {each['treatment']}" for each in result["warnings"]]
    flagged = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in result["flagged"].items() if count)
    lines += [f"flagged: {flagged}"] if flagged else []
    lines += [f"abstained: {result['abstained']:,} below the threshold"] if result["abstained"] else []
    if result["left_out_of_scores"]:
        told = "" if result["left_out_by"] == "content" else ", by id and label: this workspace keeps no contents"
        lines.append(f"not scored: {result['left_out_of_scores']:,} products that the study fitted on or chose with{told}")
    if result["ids_of_other_products"]:
        lines.append(f"{result['ids_of_other_products']:,} ids are those of other products of the study: told apart by content")
    if result["unknown_codes"]:
        lines.append(f"not scored: {result['unknown_codes']:,} products with a type code that the model does not know")
    if result["scores"]:
        scores = ", ".join(f"{metric.shown} {result['scores'][metric.key]:.4f}" for metric in METRICS.values())
        lines.append(f"scores on {result['scored']:,} labelled products: {scores}")
    for line in [*lines, *result["formulas"], result["output"]]:
        screen.print(safe(line), markup=False)
