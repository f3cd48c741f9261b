"""A fine-tuned network, found again without the products that it was fine-tuned on."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import TypeAdapter

from fusecat.cache.fingerprint import digest
from fusecat.cache.records import check_digests
from fusecat.cache.store import FeatureCache
from fusecat.stages.catalogue.image_index import DECODING_VERSION
from fusecat.stages.errors import ModelError, UsageError
from fusecat.stages.extraction.classical import encoder_of
from fusecat.stages.extraction.encoder import Encoder
from fusecat.stages.extraction.image_sources import with_pixels
from fusecat.stages.extraction.networks import AnyNetwork
from fusecat.stages.extraction.pixels import IMAGENET, KEYS
from fusecat.stages.extraction.settings import Extraction, Library, Network
from fusecat.stages.extraction.training_record import WAY_OUT, read_learning
from fusecat.stages.extraction.weights import tensors_digest
from fusecat.stages.fields import Field
from fusecat.stages.workspace import Workspace

STORAGE = {name: name for name in ("float16", "float32")}
"""How vectors may be kept."""
MOST = 2**24
"""Larger than any block, batch or vector that makes sense."""


@dataclass(frozen=True)
class FineTunedEncoder:
    """One network on one field, its files in `folder`; `description` is all else that decides its vectors, as JSON.

    `description`: `settings` of the network, `extraction` (block, batch, storage), `precision`, `weights` (their digest),
    `width` D of a vector; of a model folder also `files`, a digest of what lies beside the weights.
    """

    encoder: Encoder
    folder: Path
    description: Mapping[str, Any]
    classes: tuple[str, ...]
    files: Mapping[str, str] = field(default_factory=dict)
    """Name within the folder -> SHA-256; empty where an earlier version did not record it."""

    @classmethod
    def of(
        cls,
        feature: str,
        folder: Path,
        description: Mapping[str, Any],
        classes: tuple[str, ...],
        files: Mapping[str, str] = MappingProxyType({}),
    ) -> "FineTunedEncoder":
        """From what a workspace or a model folder says of it. Raises ModelError where that makes no sense."""
        try:
            network, kept = _network(description["settings"]), description["extraction"]
            batch: dict[str, Any] = {"images" if network.is_image else "tokens": _count(kept["batch"])}
            extraction = Extraction(storage=STORAGE[kept["storage"]], block=_count(kept["block"]), **batch)
            encoder = encoder_of(network, Field(feature.rpartition(".")[2]), extraction)
            if encoder.feature != feature:  # it names folders in which vectors are kept
                raise ValueError(f"they are those of {encoder.feature}, not of {feature}")
            _count(description["width"])
            digest(dict(description))
        except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
            raise _unreadable(folder, error) from error
        return cls(encoder, folder, description, classes, files)

    @classmethod
    def in_workspace(cls, place: Workspace, feature: str, classes: tuple[str, ...]) -> "FineTunedEncoder | None":
        """The network that made a feature of this workspace; None where the feature was imported.

        Raises: ModelError where the network was fine-tuned again since.
        """
        folder = place.encoders / feature
        header = FeatureCache(place.features).header(feature)
        if not header.weights:
            return None
        record = read_learning(folder, feature)
        if record is None:
            raise ModelError(
                f"{folder} holds no network; run 'fusecat extract' again, or bring the vectors (--vectors {feature}=FILE)"
            )
        recipe: Any = header.recipe
        try:
            made_by = record["weights"]
            description = {
                "settings": record["settings"],
                "extraction": recipe["extraction"] | {"storage": header.storage},
                "precision": recipe["precision"],
                "weights": header.weights,
                "width": header.width,
            }
        except (KeyError, TypeError) as error:
            raise _unreadable(folder, error) from error
        if header.weights != made_by:
            raise ModelError(
                f"{folder} holds another network than the one that made {feature}; run 'fusecat extract' again, then 'fuse'"
            )
        return cls.of(feature, folder, description, classes, record.get("files", {}))

    @property
    def feature(self) -> str:
        """`camembert.title`."""
        return self.encoder.feature

    @property
    def field(self) -> Field:
        """What it looks at."""
        return self.encoder.field

    @property
    def width(self) -> int:
        """D."""
        return int(self.description["width"])

    @property
    def identity(self) -> str:
        """Digest of everything that decides the vector of a given content.

        What a model folder says of its weights and its tokenizer may be made up, to be taken for another network: so its
        vectors are never those of a workspace, and its files count.
        """
        known: Any = {name: self.description[name] for name in ("extraction", "precision", "weights")}
        known |= {name: self.description[name] for name in ("files",) if name in self.description}
        settings = self.description["settings"]
        seen = {name: settings.get(name) for name in ("length", "prefix", "lowercase", "size", "resize")}
        seen |= {name: settings[name] for name in KEYS if name not in seen and settings.get(name)}
        return digest(known | {"seen": seen, "decoding": DECODING_VERSION, "classes": list(self.classes)})

    def check(self) -> None:
        """Raise DamagedFile where a file of the network is not as fine-tuning, or the export, left it."""
        check_digests(self.folder, self.files, WAY_OUT.format(feature=self.feature, folder=self.folder))

    def load(self) -> AnyNetwork:
        """The network, ready to encode.

        Raises: ModelError where its files are not those that made the features, DamagedFile where one is not as it was left.
        """
        self.check()
        try:
            network = self.encoder.rebuild(len(self.classes), self.folder)
            found = tensors_digest(network.state_dict())
        except Exception as error:  # a configuration that was made up can fail anywhere in the libraries that believe it
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
            raise ModelError(
                f"{self.folder}: the network cannot be loaded ({reason}); run 'fusecat extract' or 'export' again"
            ) from error
        if found != self.description["weights"] or network.width != self.width:
            path = self.folder / "network.safetensors"
            raise ModelError(
                f"{path} does not hold the weights that it was saved with; run 'fusecat extract' or 'export' again"
            )
        return network


def _unreadable(folder: Path, error: Exception) -> ModelError:
    reason = f"{type(error).__name__}: {error}"
    return ModelError(
        f"{folder}: the network's settings cannot be read ({reason:.200}); run 'fusecat extract' or 'export' again"
    )


def _count(value: Any) -> int:
    """A number of products, tokens or columns. Raises ValueError for one that cannot be."""
    if not isinstance(value, int) or not 1 <= value <= MOST:
        raise ValueError(f"{value!r:.40} is no number from 1 to {MOST}")
    return value


def _network(settings: Mapping[str, Any]) -> Network:
    """Settings as JSON has them -> settings with the members of their enums.

    Raises: ValueError for what cannot be, and for an image network of an earlier version whose vectors were others.
    """
    if unknown := sorted(set(settings) - {each.name for each in dataclasses.fields(Network)}):
        raise ValueError(f"there is no setting '{unknown[0]:.40}'")
    network: Network = TypeAdapter(Network).validate_python(dict(settings))
    if not network.is_image:
        return dataclasses.replace(network, prefix=network.prefix or "")
    if "mean" not in settings:
        own = with_pixels(dataclasses.replace(network, mean=None)) if network.library is Library.PRETRAINEDMODELS else network
        if own.mean != IMAGENET["mean"]:
            raise ValueError(f"{network.model} was read with other pixels and pooling by the version that taught it")
        network = dataclasses.replace(network, **{key: getattr(network, key) or value for key, value in IMAGENET.items()})
    if any(getattr(network, key) is None for key in KEYS):  # nothing is looked up for a stranger's model
        raise ValueError(f"{network.name} does not say how its images are read")
    return network
