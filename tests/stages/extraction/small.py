"""The smallest networks of the very classes, so that a test trains all three in seconds."""

from pathlib import Path

from fusecat.stages.catalogue.data_model import ReadingOptions
from fusecat.stages.catalogue.validate import validate
from fusecat.stages.extraction.dataset import Study
from fusecat.stages.extraction.settings import Extraction, Library, Network, Pooling, Training
from fusecat.stages.fields import Field

TEXTS = (Field.TITLE, Field.DESCRIPTION, Field.TITLE_DESCRIPTION)
TRAINING = Training(epochs=2, batch=32, learning_rate=2e-3, dropout=0.1, warmup=0.1)
EXTRACTION = Extraction(block=64, tokens=256, images=8)

CAMEMBERT = Network(
    name="camembert",
    library=Library.TRANSFORMERS,
    model="camembert",
    fields=TEXTS,
    vocabulary=300,
    length=24,
    shape={"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32},
    training=TRAINING,
)
FLAUBERT = Network(
    name="flaubert",
    library=Library.TRANSFORMERS,
    model="flaubert",
    fields=TEXTS,
    vocabulary=300,
    length=24,
    pooling=Pooling.FIRST,
    shape={"emb_dim": 32, "n_layers": 1, "n_heads": 2},
    training=TRAINING,
)
SE_RESNEXT50 = Network(
    name="se_resnext50",
    library=Library.PRETRAINEDMODELS,
    model="se_resnext50_32x4d",
    fields=(Field.IMAGE,),
    size=32,
    resize=36,
    shape={"layers": [1, 1, 1, 1], "groups": 2, "inplanes": 8},
    training=TRAINING,
)
NETWORKS = (CAMEMBERT, FLAUBERT, SE_RESNEXT50)


def open_study(catalogue: Path, memory: Path | None = None, *, seed: int = 2020, head_share: float = 0.0) -> Study:
    """Read, look at the images, split."""
    found = validate(catalogue, ReadingOptions(), memory, seed=seed, head_share=head_share)
    assert found.split is not None
    return Study(found.catalogue, found.images, found.split)
