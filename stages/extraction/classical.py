"""The classical network on one field: what an `Encoder` is, with scikit-learn in place of fine-tuning."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fusecat.stages.catalogue.cleaning import CLEANING_VERSION
from fusecat.stages.errors import UsageError
from fusecat.stages.extraction import weights
from fusecat.stages.extraction.dataset import Dataset, Study
from fusecat.stages.extraction.encoder import Encoder
from fusecat.stages.extraction.inputs import Inputs
from fusecat.stages.extraction.settings import NEW, Extraction, Library, Network
from fusecat.stages.extraction.tfidf import TextBytes, TfidfNetwork, TfidfShape
from fusecat.stages.extraction.zero_shot import ZeroShotEncoder
from fusecat.stages.fields import Field
from fusecat.stages.metrics import Metric
from fusecat.stages.vocabulary import Part

RECIPE_VERSION = 3
"""Raised where the same texts and labels give another network: 3, since the regression is fitted to its end on any texts."""
FOLDS = 5
"""For out-of-fold logits where the study has no folds: here they cost seconds."""


def encoder_of(network: Network, field: Field, extraction: Extraction) -> Encoder:
    """One network on one field. Raises UsageError where the network cannot look at it."""
    if network.library is Library.SCIKIT_LEARN:
        return TfidfEncoder(network, field, replace(extraction, folds=extraction.folds or FOLDS))
    return (ZeroShotEncoder if network.prompts else Encoder)(network, field, extraction)


@dataclass(frozen=True)
class TfidfEncoder(Encoder):
    """TF-IDF and logistic regression on one text field."""

    takes_steps: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Raise UsageError for settings that mean nothing here."""
        network = self.network
        if network.model != "tfidf" or network.weights != NEW or self.field.is_image:
            raise UsageError(f"networks.{network.name}: scikit-learn's one model is 'tfidf', on texts, and takes no weights")
        if min(network.vocabulary, network.width) < 1:
            raise UsageError(f"networks.{network.name}: vocabulary and width are numbers from 1 on")
        TfidfShape.of(network)

    def recipe(self, study: Study, metric: Metric, precision: str) -> dict[str, Any]:  # noqa: ARG002
        """As of any network; neither the metric nor the device decides anything here."""
        network, extraction = self.network, self.extraction
        return {
            "version": RECIPE_VERSION,
            "products": study.fingerprint,
            "field": str(self.field),
            "content": study.content(self.field),
            "reading": CLEANING_VERSION,
            "network": {name: getattr(network, name) for name in ("library", "model", "vocabulary", "width", "lowercase")}
            | {"shape": asdict(TfidfShape.of(network))},
            "training": {name: getattr(network.training, name) for name in ("balance", "seed")},
            "precision": "fp32",
            "extraction": {"storage": extraction.storage, "block": extraction.block, "batch": extraction.tokens},
        } | self._folds(study)

    def folds(self, study: Study) -> int:
        """The study's, else five, or none where the products with the field are too few for these."""
        count = self.extraction.folds
        if not 0 < count <= FOLDS:
            return count
        count = min(count, len(study.labelled(Part.TRAIN, np.ones(len(study.rows.ids), bool))))
        train = study.labelled(Part.TRAIN, study.present(self.field))
        return count if count > 1 and len(np.unique(study.folds(count)[train])) > 1 else 0

    def without_folds(self) -> "Encoder":
        """Nor with vectors: a fold gives logits only."""
        narrow = replace(self.network, width=1)
        return replace(self, network=narrow, extraction=replace(self.extraction, folds=0))

    def tokenizer(self, folder: Path) -> None:
        """The network itself knows its terms."""

    def inputs(
        self,
        data: Dataset,
        folder: Path,  # noqa: ARG002
        *,
        saved: bool,  # noqa: ARG002
        like: Inputs | None = None,  # noqa: ARG002
        tokenizer: Any = None,  # noqa: ARG002
    ) -> Inputs:
        """The texts themselves."""
        return TextBytes(data.texts(self.field))

    def try_out(self, folder: Path, *, load: bool) -> None:
        """Nothing but its settings can be wrong."""

    def rebuild(self, classes: int, folder: Path) -> TfidfNetwork:
        """The network as it was fitted. Raises ValueError where its tensors do not go together."""
        network = TfidfNetwork(weights.read_state(folder / "network.safetensors"), lowercase=self.network.lowercase)
        if len(network.intercept) != classes:
            raise ValueError(f"it tells {len(network.intercept)} classes, not {classes}")
        return network.eval()
