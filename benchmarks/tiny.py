"""How the values of preset `tiny` were chosen: variants of one network, fine-tuned on the shipped sample, scored on validation.

    python -m benchmarks.tiny camembert title_description 'epochs=12' 'epochs=12 label_smoothing=0.1' ...

A variant is a list of NAME=VALUE: fields of the training, of the network (vocabulary, pooling, size, ...) or of its shape
(shape.hidden_size=192). Each is run on three splits; printed are the validation macro-F1 of the splits and their mean. The test
part is never looked at.
"""

import ast
import dataclasses
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from fusecat.pipeline.console import default_catalogue
from fusecat.pipeline.presets.preset import load_preset
from fusecat.stages.extraction.quiet import quieten

quieten()

SPLITS = (2020, 2021, 2022)


def variant(network, changes: str):
    """The network with these fields changed."""
    training, fields, shape = {}, {}, dict(network.shape)
    for change in changes.split():
        name, _, text = change.partition("=")
        try:
            value = ast.literal_eval(text)
        except ValueError:
            value = text
        if name.startswith("shape."):
            shape[name.removeprefix("shape.")] = value
        elif name in {field.name for field in dataclasses.fields(network.training)}:
            training[name] = value
        else:
            fields[name] = value
    adjusted = dataclasses.replace(network.training, **training)
    return dataclasses.replace(network, training=adjusted, shape=shape, **fields)


def main() -> None:
    from fusecat.stages.catalogue.data_model import ReadingOptions
    from fusecat.stages.catalogue.validate import validate
    from fusecat.stages.extraction.classical import encoder_of
    from fusecat.stages.extraction.dataset import Study
    from fusecat.stages.extraction.fine_tune import fine_tune
    from fusecat.stages.extraction.train_network import Teaching
    from fusecat.stages.fields import Field
    from fusecat.stages.metrics import MACRO_F1

    name, field, *variants = sys.argv[1:]
    preset = load_preset("tiny").select([name])
    with tempfile.TemporaryDirectory() as scratch:
        memory = Path(scratch) / "images.sqlite"
        studies = []
        for seed in SPLITS:
            found = validate(default_catalogue(), ReadingOptions(), memory, seed=seed)
            studies.append(Study(found.catalogue, found.images, found.split))
        for changes in variants:
            encoder = encoder_of(variant(preset.networks[0], changes), Field(field), preset.extraction)
            scores, epochs, begin = [], [], time.process_time()
            for number, study in enumerate(studies):
                recipe = encoder.recipe(study, MACRO_F1, "fp32")
                folder = Path(scratch) / f"{hash(changes)}-{number}"
                _, _, record = fine_tune(encoder, study, recipe, folder, Teaching(MACRO_F1))
                scores.append(record["validation"]["macro_f1"])
                epochs.append(record["best_epoch"])
            seconds = (time.process_time() - begin) / len(SPLITS)
            told = " ".join(f"{score:.3f}" for score in scores)
            print(
                f"{np.mean(scores):.3f} ({told}), best epochs {epochs}, {seconds:.0f} CPU s: {name}.{field} {changes}",
                flush=True,
            )


if __name__ == "__main__":
    main()
