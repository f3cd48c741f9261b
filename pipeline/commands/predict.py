"""`fusecat predict`: classify new products with the strategy that validation chose."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.commands._catalogue_options import catalogue_options, reading_options
from pipeline.console import catalogue_argument, console, json_option, print_json, safe, workspace_option
from stages.errors import UsageError
from stages.workspace import Workspace

if TYPE_CHECKING:
    from stages.catalogue.reading import Catalogue
    from stages.prediction import Answers, Model

FORMATS = ("csv", "parquet", "sigir", "ens")
"""The values of `stages.prediction.formats.Format`; that module imports torch, and help must be instant."""


@click.command()
@catalogue_argument
@click.option("--strategy", help="Another strategy than the one that the report chose on validation.")
@click.option("--run", "seed", type=int, metavar="SEED", help="One run instead of the mean over all seeds.")
@click.option(
    "--model", "folder", type=click.Path(file_okay=False, path_type=Path), help="A folder that 'fusecat export' wrote."
)
@click.option("--refit", is_flag=True, help="The heads that 'fusecat refit' fitted on all labelled products.")
@click.option("--format", "kind", type=click.Choice(FORMATS), default="csv", show_default=True, help="How the file looks.")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="The file [WORKSPACE/predictions/CATALOG.FORMAT]."
)
@click.option("--top", type=click.IntRange(1), default=3, show_default=True, help="Codes per product, most probable first.")
@click.option(
    "--threshold", type=click.FloatRange(0, 1), default=0.0, show_default=True, help="Probability below which no code is given."
)
@click.option("--workers", type=click.IntRange(min=0), default=0, show_default=True, help="Processes that tokenise and decode.")
@catalogue_options
@workspace_option
@json_option
def command(
    catalogue: Path,
    workspace: Path,
    *,
    folder: Path | None,
    strategy: str | None,
    seed: int | None,
    refit: bool,
    kind: str,
    output: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Classify the products of CATALOG, labelled or not.

    What is encoded is kept by content in WORKSPACE/predictions: the same products are never encoded twice.
    """
    from stages.encoders.quiet import quieten

    quieten()
    from pipeline.commands._extraction_display import Ticker
    from stages.catalogue.reading import Catalogue
    from stages.prediction import load_model, predict
    from stages.prediction.formats import Format, Layout, check, write

    if folder and (strategy or refit or seed is not None):
        message = "--model: an exported model is one strategy; leave out --strategy, --run and --refit"
        raise UsageError(message)
    read = Catalogue.read(catalogue, reading_options(options, labels=False))
    layout = Layout(Format(kind), options["top"], options["threshold"], options["encoding"])
    check(read, layout)
    model = load_model(folder) if folder else open_model(workspace, strategy, seed, refit=refit)
    store = workspace / "predictions"
    path = output or store / f"{read.source.resolve().stem}{layout.format.suffix}"
    screen, encoded, tally = (
        console(quiet=as_json),
        dict[str, int](),
        Tally(model, read, _judged_before(workspace, folder, refit=refit)),
    )
    with Ticker(screen) as ticker:
        answers = predict(
            model,
            read,
            store,
            max_pixels=options["max_image_pixels"],
            workers=options["workers"],
            progress=ticker,
            encoded=encoded.__setitem__,
        )
        write(path, layout, model, read, tally.watch(answers, options["threshold"]))
    result = {
        "catalogue": str(read.source),
        "strategy": model.strategy,
        "seeds": list(model.predictors),
        "format": kind,
        "output": str(path),
        "encoded": encoded,
        **tally.record(),
    }
    if as_json:
        print_json(result)
        return
    _show(screen, result)


def open_model(workspace: Path, strategy: str | None, seed: int | None, *, refit: bool) -> "Model":
    """The chosen (or named) strategy of a workspace with the seeds that the report averages, or what was refitted."""
    from pipeline.study import read_study
    from stages.prediction import Model

    place = Workspace(workspace)
    names = read_study(place).get("class_names", {})
    if refit:
        from stages.prediction.refitting import refitted

        if strategy or seed is not None:
            message = "--refit: one strategy was refitted; leave out --strategy and --run, or run 'fusecat refit --strategy'"
            raise UsageError(message)
        return refitted(place, names)
    from pipeline.report.comparison import compare

    comparison = compare(workspace, resamples=20)  # only what validation chooses is wanted, no interval
    candidate = comparison.study.candidate(strategy) if strategy else comparison.chosen.candidate
    return Model.of_runs(place, candidate.strategy, candidate.seeds if seed is None else (seed,), class_names=names)


class Tally:
    """Counts the answers as they pass, and scores those that can be judged.

    A product that the study of the workspace taught with or chose on is no test of anything: it is left out of the scores.
    """

    def __init__(self, model: "Model", catalogue: "Catalogue", known: dict[str, str]) -> None:
        self.model, self.known, self.names = model, known, {code: at for at, code in enumerate(model.classes)}
        self.products, self.abstained, self.left_out, self.foreign = len(catalogue.products), 0, 0, 0
        self.flagged = dict.fromkeys(("without_title", "without_description", "without_image", "unseen", "empty"), 0)
        self.labels: list[int] = []
        self.judged: list[Any] = []
        self.begin = self.first = time.monotonic()

    def watch(self, answers: "Iterator[Answers]", threshold: float) -> "Iterator[Answers]":
        """Pass the answers on."""
        for batch in answers:
            self.abstained += int((batch.probabilities.max(1) < threshold).sum())
            self.flagged["unseen"] += int(batch.unseen.sum())
            self.flagged["empty"] += int(batch.empty.sum())
            kept = []
            for number, product in enumerate(batch.products):
                for field in batch.absent[number]:
                    self.flagged[f"without_{field}"] += 1
                if product.code is None:
                    continue
                if self.known.get(product.id) == product.code:
                    self.left_out += 1
                elif product.code not in self.names:
                    self.foreign += 1
                else:
                    kept.append(number)
                    self.labels.append(self.names[product.code])
            self.judged.append(batch.probabilities[kept])
            yield batch

    def record(self) -> dict[str, Any]:
        """Everything counted, as JSON values."""
        import numpy as np

        from stages.scores import scores

        judged = scores(np.array(self.labels), np.concatenate(self.judged)) if self.labels else None
        return {
            "products": self.products,
            "flagged": self.flagged,
            "abstained": self.abstained,
            "scored": len(self.labels),
            "left_out_of_scores": self.left_out,
            "unknown_codes": self.foreign,
            "scores": judged,
            "seconds": time.monotonic() - self.begin,
        }


def _judged_before(workspace: Path, folder: Path | None, *, refit: bool) -> dict[str, str]:
    """Id -> code of the products that networks and heads were fitted on, or that chose among them."""
    if folder is not None:
        return {}
    from stages.runs import Runs
    from stages.vocabulary import Part

    products = Runs(Workspace(workspace).runs).products()
    parts = [part for part in Part if part in products.parts and (refit or part is not Part.TEST)]
    return {str(products.ids[row]): products.classes[products.labels[row]] for part in parts for row in products.rows(part)}


def _show(screen: Any, result: dict[str, Any]) -> None:
    encoded = ", ".join(f"{name} {count:,}" for name, count in result["encoded"].items())
    seeds = f"mean of {len(result['seeds'])} seeds" if len(result["seeds"]) > 1 else f"seed {result['seeds'][0]}"
    lines = [
        f"{safe(result['catalogue'])}: {result['products']:,} products, {result['strategy']} ({seeds})",
        f"newly encoded: {encoded}; {result['seconds']:.1f} s in all",
    ]
    flagged = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in result["flagged"].items() if count)
    lines += [f"flagged: {flagged}"] if flagged else []
    lines += [f"abstained: {result['abstained']:,} below the threshold"] if result["abstained"] else []
    if result["left_out_of_scores"]:
        lines.append(f"not scored: {result['left_out_of_scores']:,} products that the study fitted on or chose with")
    if result["unknown_codes"]:
        lines.append(f"not scored: {result['unknown_codes']:,} products with a type code that the model does not know")
    if result["scores"]:
        scores = result["scores"]
        lines.append(
            f"scores on {result['scored']:,} labelled products: macro-F1 {scores['macro_f1']:.4f}, "
            f"accuracy {scores['accuracy']:.4f}, weighted F1 {scores['weighted_f1']:.4f}, log loss {scores['log_loss']:.4f}"
        )
    for line in [*lines, safe(result["output"])]:
        screen.print(line, markup=False)
