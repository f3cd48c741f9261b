"""Zero-shot: a joint network (CLIP, SigLIP, SigLIP2) asked which class's name fits an image best. No product teaches it.

After Radford et al. 2021 (CLIP, arXiv 2103.00020, 3.1): a class is the mean of its prompts' text vectors, of length one,
and its logit the scaled cosine between that and the image's vector. That is an image network with a classification layer
which is said instead of learnt, so it is kept, exported and read back like any other.

Shapes: C classes, D width of the vector.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from fusecat.cache.fingerprint import digest
from fusecat.stages.errors import UsageError
from fusecat.stages.extraction.build_network import build_image_network, build_text_network, build_tokenizer
from fusecat.stages.extraction.dataset import Study
from fusecat.stages.extraction.devices import processes
from fusecat.stages.extraction.dry_run import pad_of
from fusecat.stages.extraction.embed import Inference, encode
from fusecat.stages.extraction.encoder import Encoder
from fusecat.stages.extraction.hub import read_config
from fusecat.stages.extraction.inputs import StoredVectors, collate_tokens
from fusecat.stages.extraction.networks import Classifier, ImageNetwork
from fusecat.stages.extraction.progress import Progress
from fusecat.stages.extraction.settings import NEW, Library, Network, Tower
from fusecat.stages.extraction.text_backbones import TextTower
from fusecat.stages.extraction.tokenising import seen_by
from fusecat.stages.extraction.weights import hub_source, unavailable
from fusecat.stages.metrics import Metric
from fusecat.stages.progress import scratch
from fusecat.stages.scores import scores

if TYPE_CHECKING:
    from fusecat.stages.extraction.train_network import TrainingResult
    from fusecat.stages.extraction.trainer import TrainingData

AT_ONCE = 64
"""Prompts that the text half reads together: SigLIP pads each to 64 tokens."""


@dataclass(frozen=True)
class ZeroShotEncoder(Encoder):
    """A joint network on images, its classification layer made of the names of the classes."""

    def __post_init__(self) -> None:
        """Raise UsageError for settings that mean nothing here."""
        super().__post_init__()
        name, network = f"networks.{self.network.name}", self.network
        if network.library is not Library.TRANSFORMERS or network.tower is not Tower.IMAGE or not network.reference:
            raise UsageError(
                f'{name}: prompts make a reference of a joint network; set library = "transformers", tower = "image" and '
                "reference = true"
            )
        if network.weights == NEW:
            raise UsageError(f"{name}: an untaught network has nothing to say; name weights, or leave 'prompts' out")
        if wrong := [prompt for prompt in network.prompts if prompt.count("{}") != 1]:
            raise UsageError(f"{name}: the prompt {wrong[0]!r:.60} needs {{}} once, where the name of a class goes")

    fitted_on: ClassVar[tuple[str, ...]] = ()
    takes_steps: ClassVar[bool] = False

    @property
    def independent(self) -> bool:
        """No product teaches it."""
        return True

    def folds(self, study: Study) -> int:  # noqa: ARG002
        """It has seen no label, so its logits of train are already those of a stranger."""
        return 0

    def recipe(self, study: Study, metric: Metric, precision: str) -> dict[str, Any]:
        """As of any network, with the prompts in place of what decides training."""
        prompts = {"classes": digest(class_names(study)), "prompts": list(self.network.prompts)}
        return super().recipe(study, metric, precision) | {"training": prompts}

    def left_out(self, study: Study) -> str:
        """Why it cannot say anything of these classes; empty where it can."""
        names = class_names(study)
        numbers = [code for code, name in names.items() if not any(map(str.isalpha, name))]
        if numbers:
            return (
                f"{len(numbers)} of {len(names)} classes have no name that could be asked for (the first: '{numbers[0]:.40}'); "
                "a catalogue gives names in its taxonomy, or as labels"
            )
        first: dict[str, str] = {}
        for code, name in names.items():
            if (other := first.setdefault(name.casefold(), code)) != code:
                return f"the classes '{other:.40}' and '{code:.40}' have one name, '{name:.60}'"
        return super().left_out(study)

    def fit(
        self, study: Study, data: "TrainingData", precision: str, progress: Progress
    ) -> tuple[ImageNetwork, "TrainingResult", dict[str, Any]]:
        """The network, what validation says of it, and its prompts as the record keeps them.

        Raises: ModelError or UsageError where the checkpoint cannot be had whole, or a prompt is longer than it reads.
        """
        from fusecat.stages.extraction.train_network import TrainingResult  # transformers' trainer: prediction does without

        begin, names = time.monotonic(), class_names(study)
        prompts = {code: [prompt.replace("{}", name) for prompt in self.network.prompts] for code, name in names.items()}
        network = build_image_network(self.network, len(names))
        vectors, scale, bias = class_vectors(self.network, prompts)
        with torch.no_grad():
            network.classifier.weight.copy_(scale * vectors)
            network.classifier.bias.fill_(bias)
        inference = replace(Inference.of(self, len(names), precision, progress), feature=data.feature)
        seen = Classifier(network) if isinstance(data.inputs, StoredVectors) else network
        _, logits = encode(seen, data.inputs, data.validation.tolist(), inference, "validation")
        validation = scores(data.labels[data.validation], torch.from_numpy(logits).softmax(1).numpy())
        return network, TrainingResult(0, 0, time.monotonic() - begin, (), validation), {"prompts": prompts}


def class_names(study: Study) -> dict[str, str]:
    """Class -> what it is called: by the catalogue, else by itself."""
    return {code: study.catalogue.class_names.get(code) or code for code in study.catalogue.classes}


def class_vectors(network: Network, prompts: dict[str, list[str]]) -> tuple[Tensor, float, float]:
    """Class -> its prompts, as float vectors (C, D) of length one; and the scale and bias of a cosine's logit.

    Raises: as `ZeroShotEncoder.fit`.
    """
    try:
        config = read_config(hub_source(network), revision=network.revision or "main")
    except (OSError, ValueError) as error:
        raise unavailable(network, error) from error
    length = int(config.get_text_config().max_position_embeddings)
    settings = replace(network, tower=Tower.TEXT, fields=(), pooling=None, prefix="", length=length)
    with scratch() as folder:
        tokenizer = build_tokenizer(settings, (), folder)
    rows = {code: [tokenizer(seen_by(settings, each))["input_ids"] for each in asked] for code, asked in prompts.items()}
    first: dict[str, str] = {}
    for code, found in rows.items():
        if (other := first.setdefault(str(found), code)) != code:
            raise UsageError(
                f"networks.{network.name}: its tokenizer reads the names of the classes '{other:.40}' and '{code:.40}' alike; "
                "give them names in a script and a language that it knows, or leave the network out (--networks)"
            )
        if (most := max(map(len, found))) > length:
            raise UsageError(
                f"networks.{network.name}: a prompt of the class '{code:.40}' has {most} tokens, the network reads {length}; "
                "shorten 'prompts' or the name, or leave the network out (--networks)"
            )
    device = processes().device
    text = build_text_network(settings, tokenizer, 1).eval().to(device)
    assert isinstance(text.backbone, TextTower), "of every joint network"
    scale, bias = text.backbone.model.similarity
    flat = [torch.tensor(row).numpy() for found in rows.values() for row in found]
    vectors = [
        _unit(text, flat[start : start + AT_ONCE], pad_of(tokenizer) or 0, length, device)
        for start in range(0, len(flat), AT_ONCE)
    ]
    each = torch.cat(vectors).view(len(rows), len(network.prompts), -1)
    return F.normalize(each.mean(1)), math.exp(scale), bias


@torch.inference_mode()
def _unit(text: Any, rows: Sequence[Any], pad: int, length: int, device: torch.device) -> Tensor:
    """Vectors (B, D) of length one of these rows of tokens."""
    batch = {name: tensor.to(device) for name, tensor in collate_tokens(rows, pad, 0, length).items()}
    return F.normalize(text.encode(**batch)[0].float()).cpu()
