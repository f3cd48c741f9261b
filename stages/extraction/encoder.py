"""A network and the field it looks at: what stage one trains and what a feature file holds."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch

from fusecat.cache.fingerprint import digest
from fusecat.stages.catalogue.cleaning import CLEANING_VERSION
from fusecat.stages.catalogue.image_index import DECODING_VERSION
from fusecat.stages.extraction import weights
from fusecat.stages.extraction.build_network import (
    build_image_network,
    build_text_network,
    build_tokenizer,
    load_tokenizer,
    settled,
)
from fusecat.stages.extraction.dataset import Dataset, Study
from fusecat.stages.extraction.dry_run import LONG, SHORT, pad_of
from fusecat.stages.extraction.inputs import Images, Inputs, StoredVectors, Texts
from fusecat.stages.extraction.low_rank import add_adapters
from fusecat.stages.extraction.networks import AnyNetwork, ImageNetwork, TextNetwork
from fusecat.stages.extraction.pixels import IMAGENET, KEYS
from fusecat.stages.extraction.settings import NEW, Extraction, Library, Network, Pooling
from fusecat.stages.extraction.tokenising import seen_by, tokenise
from fusecat.stages.fields import Field
from fusecat.stages.metrics import Metric
from fusecat.stages.vocabulary import Part

RECIPE_VERSION = 2
"""Raised whenever the code changes what a feature holds."""
VERSIONS = {Library.TIMM: 3}  # whose own pooling and pixel settings are taken since
GPU_TOKENS = 32
"""Times the CPU's tokens per extraction batch: 32k fill an 80 GB card's matrix units."""
GPU_IMAGES = 16


@dataclass(frozen=True)
class Encoder:
    """One network on one field."""

    network: Network
    field: Field
    extraction: Extraction
    fitted_on: ClassVar[tuple[str, ...]] = (Part.TRAIN.value,)
    """The parts whose labels it sees; validation's choose its epoch."""
    takes_steps: ClassVar[bool] = True
    """Whether it is fine-tuned, and not made in one go."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "network", settled(self.network))

    @property
    def feature(self) -> str:
        """`camembert.title`."""
        return self.network.feature(self.field)

    @property
    def independent(self) -> bool:
        """Whether its vectors are those of every split: nothing that gives them learns here, and neither does a tokenizer."""
        return self.network.learns_from_vectors and self.network.weights != NEW

    @property
    def reading_workers(self) -> int:
        """Processes that prepare batches of fine-tuning: tokens lie ready in memory, only images are worth them."""
        return self.extraction.workers if self.network.is_image else 0

    def budget(self, device: torch.device) -> int:
        """Tokens or images per extraction batch on this device."""
        on_gpu = device.type == "cuda"
        if self.network.is_image:
            return self.extraction.images * (GPU_IMAGES if on_gpu else 1)
        return self.extraction.tokens * (GPU_TOKENS if on_gpu else 1)

    def recipe(self, study: Study, metric: Metric, precision: str) -> dict[str, Any]:
        """Everything that decides the feature, known before anything is computed.

        Left out on purpose: paths, times, the number of workers, fields that the network does not see.
        """
        network = _read_settings(self.network)
        network["weights"] = weights.identity(self.network)
        training = asdict(self.network.training) | {"metric": metric.name}
        if not training["lora"]:
            del training["lora"]  # as before there was any
        if self.network.learns_from_vectors:
            training["sees"] = "vectors"  # and not, as before there were any, texts and augmented pictures in every epoch
            del training["token_dropout"]
            network.pop("augment", None)
        return {
            "version": VERSIONS.get(self.network.library, RECIPE_VERSION),
            "products": study.fingerprint,
            "field": str(self.field),
            "content": study.content(self.field),
            "reading": CLEANING_VERSION if not self.network.is_image else DECODING_VERSION,
            "network": network,
            "training": training,
            "precision": precision,
            "extraction": {
                "storage": self.extraction.storage,
                "block": self.extraction.block,
                "batch": self.extraction.images if self.network.is_image else self.extraction.tokens,
            },
        } | self._folds(study)

    def left_out(self, study: Study) -> str:
        """Why the study has nothing for it; empty where it has."""
        present = study.present(self.field)
        empty = [part for part in (Part.TRAIN, Part.VALIDATION) if not len(study.labelled(part, present))]
        return f"no product of the part '{empty[0]}' has the field '{self.field}'" if empty else ""

    def folds(self, study: Study) -> int:  # noqa: ARG002
        """Parts of train for out-of-fold logits; 0 = none."""
        return self.extraction.folds

    def without_folds(self) -> "Encoder":
        """What learns, of each fold, from the others: nothing but its logits is wanted."""
        return replace(self, extraction=replace(self.extraction, folds=0))

    def _folds(self, study: Study) -> dict[str, Any]:
        """The recipe's part on out-of-fold logits; none where there are none."""
        count = self.folds(study)
        return {"folds": {"count": count, "products": digest(study.folds(count).tolist())}} if count else {}

    def inputs(self, data: Dataset, folder: Path, *, saved: bool, like: Inputs | None = None, tokenizer: Any = None) -> Inputs:
        """The field's tokens or pixels; `saved` takes the tokenizer that fine-tuning left in `folder`, or `tokenizer`.

        `like`: inputs of the same field whose tokens are taken over where the tokenizer was not learnt from the training texts,
        or vectors that stand for them.
        """
        if isinstance(like, StoredVectors):
            if not self.network.is_image and not saved:
                build_tokenizer(self.network, (), folder)  # for products to come
            return like
        if self.network.is_image:
            network = self.network
            assert network.size and network.resize and network.crop and network.interpolation, "settled"
            return Images(
                data.pictures(),
                network.size,
                network.resize,
                network.augment,
                data.max_pixels,
                network.crop,
                network.interpolation,
            )
        texts = data.texts(self.field)
        if saved:
            tokenizer = tokenizer or load_tokenizer(folder)
        else:
            assert isinstance(data, Study), "a new tokenizer learns from the training texts"
            train = data.labelled(Part.TRAIN, data.present(self.field))
            tokenizer = build_tokenizer(self.network, [seen_by(self.network, texts[row] or "") for row in train], folder)
        return Texts(
            tokens=like.tokens
            if isinstance(like, Texts) and self.network.weights != NEW
            else tokenise(tokenizer, self.network, texts, self.extraction.workers),
            pad=pad_of(tokenizer) or 0,
            unknown=-1 if tokenizer.unk_token_id is None else int(tokenizer.unk_token_id),
            special=frozenset(tokenizer.all_special_ids),
            dropout=self.network.training.token_dropout,
            room=1 if self.network.pooling is Pooling.FLATTEN else 0,
            length=self.network.length,
        )

    def tokenizer(self, folder: Path) -> Any:
        """The tokenizer that fine-tuning left in `folder`; None of an image network."""
        return None if self.network.is_image else load_tokenizer(folder)

    def build(self, classes: int, folder: Path) -> TextNetwork | ImageNetwork:
        """The network before fine-tuning, with its pretrained or new weights; the tokenizer is in `folder` already."""
        if self.network.is_image:
            return build_image_network(self.network, classes)
        return build_text_network(self.network, load_tokenizer(folder), classes)

    def try_out(self, folder: Path, *, load: bool) -> None:
        """Build it in an empty folder as fine-tuning will, from a tokenizer of two texts where one is to be learnt.

        Without `load`, only an image network that its library builds by name, and that without its weights.

        Raises: ModelError, UsageError, for whatever of it cannot work.
        """
        if not load:
            if self.network.library.images:
                build_image_network(self.network, 2, load=False)
            return
        if not self.network.is_image:
            build_tokenizer(self.network, (SHORT, LONG), folder)
        network, training = self.build(2, folder), self.network.training
        if training.lora:
            add_adapters(network.backbone, training.lora, training.seed)

    def rebuild(self, classes: int, folder: Path) -> AnyNetwork:
        """The network as fine-tuning left it in `folder`; settings that ask for far more than its weights are refused."""
        state = weights.read_state(folder / "network.safetensors")
        with weights.no_larger_than(state):
            if self.network.is_image:
                network: TextNetwork | ImageNetwork = build_image_network(
                    self.network, classes, load=False, config=folder / "backbone"
                )
            else:
                network = build_text_network(self.network, load_tokenizer(folder), classes, config=folder / "backbone")
            network.load_state_dict(state)
        # Trainer cannot save weights in this layout, so fine-tuning goes without it.
        return network.eval().to(memory_format=torch.channels_last)


def _read_settings(network: Network) -> dict[str, Any]:
    """The settings that decide the vector, as a recipe has them.

    What was added since recipes are written stands in them only where it is not what it was before there was a choice: so a
    feature that was right stays what it is.
    """
    found = asdict(network)
    reads = ["library", "model", "shape"]
    reads += (
        ["size", "resize", "augment"]
        if network.is_image
        else ["vocabulary", "pooling", "width", "length", "lowercase", "prefix"]
    )
    if not network.is_image:
        found["pooling"] = network.pooling or Pooling.MEAN
    reads += [key for key in KEYS if network.is_image and found[key] != IMAGENET[key]]
    reads += ["tower"] if network.tower else []
    return {key: found[key] for key in dict.fromkeys(reads)}
