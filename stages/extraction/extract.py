"""STAGE ONE: fine-tune each network on its own field, then store what it sees of every product.

`extract` can be interrupted anywhere and called again: sealed features are kept, fine-tuning goes on from the last complete
epoch, extraction from the last durable block. Under `torchrun` every process calls it; they share the work and rank 0 seals.
"""

import difflib
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fusecat.cache.publish import set_aside
from fusecat.cache.space import forecast
from fusecat.cache.store import FeatureCache, Verdict
from fusecat.cache.trouble import disk_trouble
from fusecat.stages.errors import UsageError
from fusecat.stages.extraction.classical import encoder_of
from fusecat.stages.extraction.dataset import Study
from fusecat.stages.extraction.devices import processes
from fusecat.stages.extraction.disk import disk_needed
from fusecat.stages.extraction.earlier import taught_wrong
from fusecat.stages.extraction.embed import Inference, embed
from fusecat.stages.extraction.encoder import Encoder
from fusecat.stages.extraction.fine_tune import fine_tune
from fusecat.stages.extraction.inputs import StoredVectors
from fusecat.stages.extraction.memory import Peak
from fusecat.stages.extraction.out_of_fold import out_of_fold
from fusecat.stages.extraction.progress import Progress, silent
from fusecat.stages.extraction.settings import Extraction, Network, Precision
from fusecat.stages.extraction.train_network import Teaching
from fusecat.stages.extraction.training_record import RECORD, read_learning
from fusecat.stages.extraction.trial import try_out
from fusecat.stages.extraction.versions import versions
from fusecat.stages.fields import TEXTS, Field
from fusecat.stages.metrics import MACRO_F1, Metric
from fusecat.stages.progress import remark
from fusecat.stages.scores import scores
from fusecat.stages.tracking import Tracker, Tracking
from fusecat.stages.vocabulary import Part
from fusecat.stages.workspace import Workspace

SHARED = "of another split: nothing that gives them has learnt from these products"
"""In the recipe of a feature whose vectors were taken over."""


@dataclass(frozen=True)
class Outcome:
    """What became of one feature: `state` is `hit`, `extracted` or `left out` (with a reason); `learning` as kept on disk."""

    feature: str
    state: str
    path: Path | None = None
    seconds: float = 0.0
    computed: int = 0
    """Rows computed in this call."""
    learning: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    out_of_fold: dict[str, float] = field(default_factory=dict)
    """Scores of the out-of-fold logits on train; empty without folds."""
    memory: int = 0
    """Most resident bytes of this process while it was at the feature; 0 where nothing was computed."""
    device_memory: int = 0
    """Most bytes of tensors on the GPU; 0 without one."""


def encoders(
    networks: Sequence[Network], extraction: Extraction, fields: Sequence[Field] = (), texts: Collection[str] = TEXTS
) -> list[Encoder]:
    """One encoder per network and field, in the order of the preset; `fields` narrows them. `texts`: those of the catalogue.

    Raises: UsageError for a field that no network has, or whose text the catalogue does not have.
    """
    read = dict.fromkeys(seen for network in networks for seen in network.fields)
    for wanted in fields:
        if wanted not in read:
            raise UsageError(f"--fields {wanted}: no network looks at it, but at {', '.join(read)}; name it in its 'fields'")
    for network in networks:
        for part in (part for seen in network.fields if not seen.is_image for part in seen.parts):
            if part not in (*TEXTS, *texts):
                near = difflib.get_close_matches(part, (*TEXTS, *texts, Field.TITLE_DESCRIPTION), 1)
                meant = f"did you mean '{near[0]}'? Or " if near else ""
                way = f"{meant}map a column to it, as in --columns title=name,{part}=COLUMN, or take it out of 'fields'"
                raise UsageError(f"networks.{network.name}: fields: the catalogue has no text '{part}': {way}")
    return [
        encoder_of(network, seen, extraction) for network in networks for seen in network.fields if not fields or seen in fields
    ]


def unread(networks: Sequence[Network], texts: Collection[str]) -> list[str]:
    """Those of these texts that none of the networks looks at."""
    read = {part for network in networks for seen in network.fields for part in seen.parts}
    return [text for text in texts if text not in read]


def explain(
    study: Study, chosen: Sequence[Encoder], workspace: Workspace, metric: Metric, *, vectors_of: Workspace | None = None
) -> dict[str, Verdict]:
    """Feature -> hit, missing, stale (with the parts of the recipe that changed) or damaged. `vectors_of`: see `extract`."""
    cache, found = FeatureCache(workspace.features), {}
    for encoder in chosen:
        recipe = _recipe(encoder, study, metric, vectors_of)
        verdict = cache.explain(encoder.feature, recipe)
        if verdict.state == "hit" and (reason := _taught_wrong(encoder, cache, workspace)):
            verdict = Verdict("stale", reason=reason)
        found[encoder.feature] = verdict
    return found


def _recipe(encoder: Encoder, study: Study, metric: Metric, vectors_of: Workspace | None) -> dict[str, Any]:
    """Everything that decides the feature; vectors that were taken over are rounded as they were stored, so that is told."""
    recipe = encoder.recipe(study, metric, device_precision(encoder.extraction.precision))
    return recipe | ({"vectors": SHARED} if vectors_of and encoder.independent else {})


def _put_aside(encoder: Encoder, cache: FeatureCache, workspace: Workspace) -> None:
    """The network counts as not fine-tuned, then the feature as not there: so an interruption forgets neither."""
    shutil.rmtree(workspace.folds / encoder.feature, ignore_errors=True)
    (workspace.encoders / encoder.feature / RECORD).unlink(missing_ok=True)
    set_aside(cache.path(encoder.feature))


def _taught_wrong(encoder: Encoder, cache: FeatureCache, workspace: Workspace) -> str:
    feature = encoder.feature
    return taught_wrong(encoder, cache.header(feature), cache.path(feature), workspace.encoders / feature)


def extract(
    study: Study,
    chosen: Sequence[Encoder],
    workspace: Workspace,
    *,
    metric: Metric = MACRO_F1,
    vectors_of: Workspace | None = None,
    wait: bool = True,
    tracker: Tracker | None = None,
    progress: Progress = silent,
    finished: Callable[[Outcome], None] = lambda _: None,
    damaged: Callable[[str], None] = lambda _: None,
) -> list[Outcome]:
    """Fine-tune and store every feature that the cache does not hold, one after the other.

    All networks are tried before the first of them learns (see `trial`). `vectors_of`: the workspace of the same products on
    another split; vectors that know nothing of a split come from there, and only a classification layer learns. `wait`: wait
    for another process that is at the same feature, else raise BusyFeature. `tracker`: gets the curves of fine-tuning.
    `finished` is called per feature, `damaged` is told in a line of each feature that is not as it was sealed, which is then
    made anew.
    """
    cache = FeatureCache(workspace.features)
    if (needed := disk_needed(study, chosen, workspace)) and processes().is_main_process:
        remark(forecast(workspace.features, needed))
    outcomes, recipes = [], [_recipe(encoder, study, metric, vectors_of) for encoder in chosen]
    todo = [one for one, recipe in zip(chosen, recipes, strict=True) if cache.explain(one.feature, recipe).state != "hit"]
    if vectors_of is None:  # else they have been through it on the first split
        try_out([encoder for encoder in todo[1:] if not encoder.left_out(study)], progress)
    for encoder, recipe in zip(chosen, recipes, strict=True):
        with _only_writer(cache, encoder.feature, progress, wait=wait):
            held = cache.holds(encoder.feature, recipe)
            if not held and (verdict := cache.explain(encoder.feature, recipe)).state == "damaged":
                damaged(f"{verdict.reason.partition(';')[0]}; made anew")
            wrong = _taught_wrong(encoder, cache, workspace) if held else ""
            processes().wait_for_everyone()
            if wrong:
                held = False
                damaged(f"{encoder.feature}: {wrong}; made anew")
                if processes().is_main_process:
                    _put_aside(encoder, cache, workspace)
                processes().wait_for_everyone()
            if held:
                folder = workspace.encoders / encoder.feature
                learning = read_learning(folder, encoder.feature) or {}
                if learning and learning["weights"] != cache.header(encoder.feature).weights:
                    damaged(f"{folder} holds another network than the one that made {encoder.feature}; its vectors are kept")
                    learning = {}
                outcome = Outcome(encoder.feature, "hit", cache.path(encoder.feature), learning=learning)
            else:
                logs = Tracking(tracker, workspace.root / tracker, encoder.feature) if tracker else None
                stored = _stored(encoder, vectors_of) if vectors_of and encoder.independent else None
                outcome = _extract(encoder, study, recipe, workspace, Teaching(metric, progress, logs), stored)
        finished(outcome)
        outcomes.append(outcome)
    return outcomes


def _stored(encoder: Encoder, workspace: Workspace) -> StoredVectors | None:
    """The vectors of a feature as another split has them; None where it has left the feature out."""
    cache = FeatureCache(workspace.features)
    if not cache.path(encoder.feature).exists():
        return None
    with cache.open(encoder.feature) as file:
        vectors = file.vectors("embedding", file.columns())
    return StoredVectors(np.arange(len(vectors)), vectors)


def _extract(
    encoder: Encoder, study: Study, recipe: dict[str, Any], workspace: Workspace, teaching: Teaching, like: StoredVectors | None
) -> Outcome:
    """One feature: learn, embed, seal."""
    begin, state, present = time.monotonic(), processes(), study.present(encoder.field)
    cache, peak = FeatureCache(workspace.features), Peak(teaching.progress)
    if reason := encoder.left_out(study):
        return Outcome(encoder.feature, "left out", reason=reason)
    folder, teaching = workspace.encoders / encoder.feature, replace(teaching, progress=peak)
    with disk_trouble(folder):
        network, inputs, learning = fine_tune(encoder, study, recipe, folder, teaching, like)
    inference = Inference.of(encoder, len(study.catalogue.classes), recipe["precision"], peak, shared=True)
    writer = cache.writer(encoder.feature, recipe, study.rows, block=encoder.extraction.block, weights=learning["weights"])
    computed = embed(network, inputs, present, writer, inference)
    del network  # its memory is the fold networks' now
    state.wait_for_everyone()
    unseen, scored = None, {}
    if encoder.folds(study):
        place, logs = workspace.folds / encoder.feature, teaching.logs and teaching.logs.named(f"{teaching.logs.name}-folds")
        with disk_trouble(place):
            folded = out_of_fold(encoder, study, place, inference, replace(teaching, logs=logs), inputs)
        train = study.labelled(Part.TRAIN, present)
        scored = scores(study.rows.labels[train], torch.from_numpy(folded[train]).softmax(1).numpy())
        unseen = writer.logits()  # of all other products the network itself has not seen the labels
        assert unseen is not None, "stage one's networks classify"
        unseen[train] = folded[train]
    if state.is_main_process:
        weights, storage = learning["weights"], encoder.extraction.storage
        writer.seal(weights=weights, fitted_on=encoder.fitted_on, versions=versions(), dtype=storage, logits_oof=unseen)
    state.wait_for_everyone()
    seconds = time.monotonic() - begin
    return Outcome(
        encoder.feature,
        "extracted",
        cache.path(encoder.feature),
        seconds,
        computed,
        learning,
        out_of_fold=scored,
        memory=peak.process,
        device_memory=peak.device,
    )


def device_precision(precision: Precision) -> str:
    """The arithmetic that `precision` means on this machine: part of every recipe."""
    if precision is Precision.AUTO:
        return "bf16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "fp32"
    return precision.value


@contextmanager
def _only_writer(cache: FeatureCache, feature: str, progress: Progress, *, wait: bool) -> Iterator[None]:
    """Rank 0 locks the feature for all ranks."""
    state = processes()
    if not state.is_main_process:
        yield
        return
    with cache.lock(feature, wait=wait, waiting=lambda: progress(feature, "waiting for another process", 0, 1)):
        yield
