"""A model folder and a catalogue in, codes out: three lines of Python for who needs no more."""

import tempfile
from collections.abc import Collection
from pathlib import Path

from fusecat.stages.catalogue.data_model import ReadingOptions
from fusecat.stages.catalogue.read import read_catalogue
from fusecat.stages.errors import refusing
from fusecat.stages.prediction.answer import as_in_study, predict
from fusecat.stages.prediction.model_folder import load_model


@refusing
def classify(folder: Path, catalogue: Path, *, merges: Collection[str] = ()) -> list[tuple[str, str, float]]:
    """Id, type code and probability of every product of a catalogue, by the model in `folder`; keeps nothing.

    `merges`: the merges of one's own, `package.module:Class`, that the model may use: no code is run that is not named here.
    """
    model = load_model(folder, merges=merges)
    with tempfile.TemporaryDirectory() as store:
        options = ReadingOptions(labels=False, picture_store=Path(store) / "pictures")
        read = read_catalogue(Path(catalogue), as_in_study(Path(catalogue), model.reading, options))
        return [
            (product.id, model.classes[row.argmax()], float(row.max()))
            for answers in predict(model, read, Path(store))
            for product, row in zip(answers.products, answers.probabilities, strict=True)
        ]
