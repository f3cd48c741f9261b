"""The folder of one fine-tuned network, `encoders/<feature>/`: made once, then read.

It holds the tokenizer's files, `backbone/config.json` (texts), `network.safetensors`, and `learning.json`, which is written
last: without it, or with another recipe in it, the network is fine-tuned again.
"""

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fusecat.cache.fingerprint import digest
from fusecat.cache.publish import publish
from fusecat.cache.records import digests, write_record
from fusecat.stages.extraction.build_network import save_network
from fusecat.stages.extraction.dataset import Study
from fusecat.stages.extraction.devices import processes
from fusecat.stages.extraction.encoder import Encoder
from fusecat.stages.extraction.fit_tfidf import fit_tfidf
from fusecat.stages.extraction.frozen import trainable_part
from fusecat.stages.extraction.inputs import Inputs, StoredVectors
from fusecat.stages.extraction.low_rank import merge_adapters
from fusecat.stages.extraction.memory import MemoryPlan, read_memory_plan, retry_on_oom
from fusecat.stages.extraction.networks import AnyNetwork, Classifier, ImageNetwork, TextNetwork
from fusecat.stages.extraction.tfidf import TfidfNetwork
from fusecat.stages.extraction.train_network import Teaching, TrainingResult, train_network
from fusecat.stages.extraction.trainer import TrainingData
from fusecat.stages.extraction.training_record import RECORD, read_learning
from fusecat.stages.extraction.weights import tensors_digest
from fusecat.stages.extraction.zero_shot import ZeroShotEncoder
from fusecat.stages.vocabulary import Part

MEMORY = "economy.json"
"""What was given up because memory ran out before."""
BEGUN = "recipe"
"""Names the recipe for which the tokenizer and the checkpoints in a folder were made."""
TEMPORARY = (RECORD, MEMORY, BEGUN, "checkpoints")
"""What of the folder is not the network."""


def fine_tune(
    encoder: Encoder, study: Study, recipe: Mapping[str, Any], folder: Path, teaching: Teaching, like: Inputs | None = None
) -> tuple[AnyNetwork, Inputs, dict[str, Any]]:
    """The fine-tuned network, its inputs, and its `learning.json`; fine-tunes where the folder does not hold it.

    Of inputs that are vectors already, the network is its classifier alone. `like`: see `Encoder.inputs`.
    """
    state = processes()
    key = digest({part: value for part, value in recipe.items() if part not in ("extraction", "folds")})
    record = read_learning(folder)
    if record is None or record["recipe"] != key:
        with state.main_process_first():
            inputs = _begin(encoder, study, folder, key, like)
        _fine_tune(encoder, study, inputs, folder, key, str(recipe["precision"]), teaching)
        state.wait_for_everyone()
        record = read_learning(folder)
        assert record is not None, "rank 0 has just written it"
    else:
        inputs = encoder.inputs(study, folder, saved=True, like=like)
    network = encoder.rebuild(len(study.catalogue.classes), folder)
    if isinstance(inputs, StoredVectors) and not isinstance(network, TfidfNetwork | Classifier):
        network = Classifier(network)
    return network, inputs, record


def _begin(encoder: Encoder, study: Study, folder: Path, key: str, like: Inputs | None) -> Inputs:
    """Tokenizer and inputs; what another recipe left in the folder is removed, what an interruption left is kept."""
    marker = folder / BEGUN
    begun = marker.exists() and marker.read_text(encoding="utf-8") == key
    if not begun:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    inputs = encoder.inputs(study, folder, saved=begun, like=like)
    publish(marker, key)
    return inputs


def _fine_tune(
    encoder: Encoder, study: Study, inputs: Inputs, folder: Path, key: str, precision: str, teaching: Teaching
) -> None:
    """Fine-tune, then keep the network; where a GPU's memory runs out, with a memory plan that is remembered in the folder."""
    present, training, progress = study.present(encoder.field), encoder.network.training, teaching.progress
    name = teaching.name or encoder.feature
    train, validation = (study.labelled(part, present) for part in (Part.TRAIN, Part.VALIDATION))
    training_data = TrainingData(name, inputs, study.rows.labels, len(study.catalogue.classes), train, validation)
    if not encoder.takes_steps:
        if processes().is_main_process and isinstance(encoder, ZeroShotEncoder):
            *_, asked = made = encoder.fit(study, training_data, precision, progress)
            _keep(made[0], made[1], encoder, folder, key, MemoryPlan(), asked)
        elif processes().is_main_process:
            _keep(*fit_tfidf(encoder.network, training_data, progress), encoder, folder, key, MemoryPlan())
        return
    first = MemoryPlan(gradient_checkpointing=training.gradient_checkpointing)

    def attempt(network: TextNetwork | ImageNetwork, memory_plan: MemoryPlan) -> TrainingResult:
        trainable, seen, workers = trainable_part(network, encoder, training_data, precision, progress)
        learning = train_network(
            trainable, seen, training, folder, teaching, precision=precision, workers=workers, memory_plan=memory_plan
        )
        if training.lora:
            merge_adapters(network.backbone)
        return learning

    def on_retry(memory_plan: MemoryPlan) -> None:
        progress(name, f"memory ran out; going on with {memory_plan}", 0, 0)
        write_record(folder / MEMORY, asdict(memory_plan))  # a later run then keeps the checkpoints of this one
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)

    network, learning, memory_plan = retry_on_oom(
        lambda: encoder.build(training_data.classes, folder),
        attempt,
        read_memory_plan(folder / MEMORY, first),
        training.batch,
        on_retry,
    )
    if processes().is_main_process:
        _keep(network, learning, encoder, folder, key, memory_plan)


def _keep(
    network: AnyNetwork,
    learning: TrainingResult,
    encoder: Encoder,
    folder: Path,
    key: str,
    memory_plan: MemoryPlan,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """`more`: what the record tells besides."""
    state = save_network(network, folder)
    record = {"recipe": key, "weights": tensors_digest(state)} | asdict(memory_plan) | asdict(learning)
    record["gradient_checkpointing"] = (
        memory_plan.gradient_checkpointing
        and not isinstance(network, TfidfNetwork)
        and not encoder.network.learns_from_vectors
        and network.recompute()
    )
    if encoder.network.training.lora:
        record["lora"] = {"rank": encoder.network.training.lora, "kept": "merged"}
    record["parameters"] = sum(parameter.numel() for parameter in network.parameters())
    record |= {"settings": asdict(encoder.network), "feature": encoder.feature} | dict(more)
    write_record(folder / RECORD, record | {"files": digests(folder, TEMPORARY)})
    (folder / MEMORY).unlink(missing_ok=True)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
