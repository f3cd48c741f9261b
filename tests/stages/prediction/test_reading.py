"""New tables are read as the study's catalogue was, its catalogue.toml included."""

from dataclasses import replace
from pathlib import Path

from fusecat.stages.catalogue.data_model import PLACES, ImageUse, ReadingOptions
from fusecat.stages.catalogue.read import read_catalogue
from fusecat.stages.prediction.answer import as_in_study
from fusecat.stages.prediction.model import odd_reading
from tests.stages.catalogue.forms import csv_text, draw, rows

SETTINGS = """
separator = "|"
label_level = 1
image_prefix = "C:\\\\shop\\\\"
[columns]
id = "sku"
title = "nom"
label = "rayon"
image = "photo"
"""


def test_a_new_table_is_read_by_the_mapping_of_the_studys_settings(tmp_path: Path) -> None:
    table = rows()
    study, new = tmp_path / "study", tmp_path / "new"
    for folder in (study, new):
        draw(folder, [row["image"] for row in table])
        made = [
            {
                "sku": row["id"],
                "nom": row["title"],
                "rayon": f"{row['label']} > x",
                "photo": "C:\\shop\\" + row["image"].replace("/", "\\"),
            }
            for row in table
        ]
        if folder is new:
            for row in made:
                del row["rayon"]
        (folder / "p.csv").write_text(csv_text(made, delimiter="|"), encoding="utf-8")
    (study / "catalogue.toml").write_text(SETTINGS)
    taught = read_catalogue(study, ReadingOptions(images=ImageUse.MEAN, image_folder=study))
    assert taught.classes == ("Cuisine", "Jardin", "Jouets", "Livres")
    record = taught.options.record
    assert odd_reading(record) is None
    assert ReadingOptions.of(record) == replace(taught.options, image_folder=study.absolute())
    options = as_in_study(new / "p.csv", record, ReadingOptions(labels=False))
    assert not any(getattr(options, name) for name in PLACES)
    read = read_catalogue(new / "p.csv", options)
    assert [(p.id, p.title, p.images[0].read_bytes()) for p in read.products] == [
        (p.id, p.title, p.images[0].read_bytes()) for p in taught.products
    ]
    assert read.image_use is ImageUse.MEAN
    assert not read.findings
