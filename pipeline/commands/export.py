"""`fusecat export`: the chosen strategy as a folder that classifies without the workspace."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusecat.pipeline.console import console, merges_option, print_json, quoted, safe, select_metric_option, study_options
from fusecat.stages.extraction.settings import NEW
from fusecat.stages.fields import parts_of, words
from fusecat.stages.fusion.wiring import canonical, field_of
from fusecat.stages.metrics import METRICS, Metric
from fusecat.stages.study_record import StudyRecord, read_study
from fusecat.stages.workspace import Workspace

if TYPE_CHECKING:
    from fusecat.stages.prediction import Model


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--strategy", help="Another strategy than the one that the report chose on validation.")
@click.option("--run", "seed", type=int, metavar="SEED", help="One run instead of all seeds.")
@click.option("--refit", is_flag=True, help="The heads that 'fusecat refit' fitted on all labelled products.")
@select_metric_option
@merges_option
@study_options
def command(
    folder: Path,
    workspace: Path,
    *,
    metric: Metric | None,
    strategy: str | None,
    seed: int | None,
    refit: bool,
    merges: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write networks, heads, tokenizers, class names and a model card into FOLDER.

    'fusecat predict --model FOLDER' gives the same probabilities, on any machine. safetensors and JSON only.
    """
    from fusecat.stages.extraction.quiet import quieten
    from fusecat.stages.prediction import save_model
    from fusecat.stages.prediction.chosen import chosen_model

    quieten()
    model = chosen_model(Workspace(workspace), strategy=strategy, seed=seed, metric=metric, refit=refit, merges=merges)
    facts = gather(Workspace(workspace), model, refit=refit)
    save_model(replace(model, card=facts), folder, card(model, facts))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if as_json:
        print_json({"folder": str(folder), "strategy": model.strategy, "seeds": list(model.predictors), "bytes": size} | facts)
        return
    screen = console()
    screen.print(f"{model.strategy}, {model.drawn}: {size / 1e6:.1f} MB", markup=False)
    named = "".join(f" --merge {quoted(merge)}" for merge in merges)
    screen.print(f"{safe(str(folder))}; next: fusecat predict CATALOG --model {quoted(folder)}{named}", markup=False)


def gather(place: Workspace, model: "Model", *, refit: bool) -> dict[str, Any]:
    """What the card tells: scores of what is exported on validation and test, and the catalogue in numbers."""
    from fusecat.stages.calibration import tempered_blocks
    from fusecat.stages.fusion.predictions import Mean, outcome_of_blocks
    from fusecat.stages.fusion.runs import Runs
    from fusecat.stages.scores import scores_of

    runs, study = Runs(place.runs), read_study(place) or StudyRecord()
    products = runs.products()
    found: dict[str, Any] = {}
    held = [run.probabilities for seed in model.predictors if (run := runs.read(model.strategy, seed))]
    for part in () if refit else ("validation", "test"):
        if part in products.parts and len(rows := products.rows(part)):
            labels = products.labels[rows]
            blocks = tempered_blocks(Mean([each[part] for each in held]), model.temperature)
            found[part] = scores_of(outcome_of_blocks(blocks, labels))
    kept = ("layout", "products", "labelled", "missing_descriptions", "missing_images", "preset")
    return {
        "refit": refit,
        "scores": found,
        "study": {name: value for name, value in study.flat().items() if name in kept},
        "split": {name: study.split.get(name) for name in ("protocol", "seed", "counts")},
        "versions": study.versions,
    }


def card(model: "Model", facts: dict[str, Any]) -> str:
    """The model card, in Markdown."""
    study, split = facts["study"], facts["split"]
    read = [name for each in model.predictors.values() for name in each.features]
    parts = dict.fromkeys(part for name in sorted(read, key=canonical(read).index) for part in parts_of(field_of(name)))
    described = {name: fine_tuned.description["settings"] for name, fine_tuned in sorted(model.fine_tuned.items())}
    networks = [
        f"* `{name}`: {each['model']}, "
        + ("new, trained on this data alone" if each["weights"] == NEW else f"started from `{Path(each['weights']).name}`")
        for name, each in described.items()
    ]
    networks += [
        f"* `{name}`: vectors of another encoder, {shape.width} numbers each; it is not in this folder: pass those of new "
        f"products (`fusecat predict --model FOLDER --vectors {name}=FILE`)"
        for name, shape in sorted(model.shapes.items())
        if name not in model.fine_tuned and name not in model.attributes
    ]
    networks += [
        f"* `{name}`: {', '.join(column.told for column in made.columns)} of a table: pass that of new products "
        f"(`fusecat predict --model FOLDER --vectors {name}=TABLE`)"
        for name, made in sorted(model.attributes.items())
    ]
    scored = [
        f"| {part} | " + " | ".join(f"{values[metric.key]:.4f}" for metric in METRICS.values()) + " |"
        for part, values in facts["scores"].items()
    ]
    counts = ", ".join(f"{part} {count:,}" for part, count in (split["counts"] or {}).items())
    fitted = " and ".join(model.fitted_on) or "nothing (it has no trained head)"
    data = (
        f"{study.get('products', 0):,} products ({study.get('missing_descriptions', 0):,} without description, "
        f"{study.get('missing_images', 0):,} without image), layout {study.get('layout', 'of its own')}, preset "
        f"{study.get('preset', 'none')}. Split {split['protocol']}, seed {split['seed']}: {counts}. "
        f"The networks were fitted on train, the heads on {fitted}."
    )
    tested = "Validation chooses among strategies, so its figures flatter; "
    tested += (
        "only test is a measurement." if "test" in facts["scores"] else "there is no test, so nothing here is a measurement."
    )
    shown = " | ".join(metric.shown for metric in METRICS.values())
    table = [f"| part | {shown} |", "|---" * (len(METRICS) + 1) + "|", *scored, "", tested]
    if facts["refit"]:
        table = ["None: these heads were fitted on all labelled products, test included; nothing is left to test them on."]
    lines = [
        f"# Product classifier: {model.strategy}",
        "",
        f"{words('+'.join(parts)).capitalize()} of a product in, one of {len(model.classes)} type codes out. Made by fusecat "
        f"{facts['versions'].get('fusecat', '')}".rstrip()
        + f"; {model.drawn}.",
        "",
        "```python",
        "from pathlib import Path",
        "from fusecat import classify",
        'print(classify(Path("this folder"), Path("a catalogue")))',
        "```",
        "or `fusecat predict CATALOG --model FOLDER`.",
        "",
        "## Networks",
        *networks,
        "",
        "## Data",
        data,
        "",
        "## Scores",
        *table,
        "",
        "## Limits",
        "* It knows the type codes below and no other; a product of another kind gets one of them all the same.",
        "* The scores hold for products like those of the catalogue above: same language, same shop, same mix of codes.",
        f"* Probabilities have the temperature {model.temperature:.2f}, fitted on validation; other products may differ.",
        "* A missing field is masked; a product with nothing in it gets the shares of the codes in training.",
        "",
        "## Licence",
        "The code is MIT. The weights derive from the networks and the data named above, and are bound by their licences.",
        "",
        "## Type codes",
        *[f"* {code}{f': {model.class_names[code]}' if code in model.class_names else ''}" for code in model.classes],
    ]
    return "\n".join(lines) + "\n"
