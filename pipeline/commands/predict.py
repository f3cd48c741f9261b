"""`fusecat predict`: classify new products with the strategy that validation chose."""

import contextlib
import errno
import sys
from pathlib import Path
from typing import Any

import click

from fusecat.pipeline.commands._catalogue_options import catalogue_options, reading_options
from fusecat.pipeline.commands._prediction_display import Tally, judged_before, show
from fusecat.pipeline.commands._prediction_display import joined as what_joined
from fusecat.pipeline.commands._vectors_options import external_files, vectors_options, with_attributes
from fusecat.pipeline.console import (
    catalogue_argument,
    console,
    merges_option,
    print_json,
    safe,
    select_metric_option,
    study_options,
)
from fusecat.pipeline.places import keeping, may_write
from fusecat.stages.errors import UsageError
from fusecat.stages.metrics import Metric
from fusecat.stages.workspace import Workspace

DEFAULT = click.core.ParameterSource.DEFAULT
FORMATS = ("csv", "parquet", "sigir", "ens")
"""The values of `stages.prediction.formats.Format`; that module imports torch, and help must be instant."""
ENGINES = ("local", "ray")
ON_RAY = frozenset(
    (
        "engine",
        "source",
        "output",
        "folder",
        "merges",
        "columns",
        "image_folder",
        "top",
        "threshold",
        "reasons",
        "workers",
        "as_json",
    )
)
"""What --engine ray takes."""


def on_ray(source: str | None, output: str | None, folder: Path | None, options: dict[str, Any]) -> None:
    """`--engine ray`: see the command."""
    context = click.get_current_context()
    for parameter in context.command.params:
        name = parameter.name or ""
        if name not in ON_RAY and context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise UsageError(f"{parameter.opts[-1]} is not for --engine ray; leave it out")
    if not (source and output and folder):
        raise UsageError("--engine ray needs --input, --output and --model; 'fusecat export FOLDER' writes the model")
    try:
        from fusecat.stages.prediction.on_ray import Job, run
    except ImportError as error:
        raise UsageError(f"--engine ray needs {error.name}: pip install 'fusecat[ray]'") from error
    from fusecat.stages.catalogue.columns import parse_columns
    from fusecat.stages.prediction.formats import Format, Layout

    source, output = (name if "://" in name else str(Path(name).absolute()) for name in (source, output))
    beside = source.rpartition("/")[0] if source.lower().endswith(".parquet") else source
    job = Job(
        model=folder.absolute(),
        source=source,
        target=output,
        layout=Layout(Format.PARQUET, options["top"], options["threshold"], reasons=options["reasons"]),
        columns=parse_columns(options["columns"]) if options["columns"] else {},
        pictures=str(options["image_folder"].absolute()) if options["image_folder"] else beside,
        merges=options["merges"],
        actors=options["workers"],
    )
    with contextlib.redirect_stdout(sys.stderr):  # where Ray says what it has to say
        result = run(job) | {"input": source, "output": output}
    if options["as_json"]:
        print_json(result)
        return
    read = ", ".join(f"{field}={column}" for field, column in result["columns"].items())
    flagged = ", ".join(f"{count:,} {name}" for name, count in result["flagged"].items()) or "nothing"
    for line in (
        f"{source}: {result['products']:,} products, {result['strategy']}, {result['actors']} models at once; columns {read}",
        f"flagged: {flagged}",
        f"{output}: {result['files']} files",
    ):
        console().print(safe(line), markup=False)


@click.command()
@catalogue_argument
@click.option("--strategy", help="Another strategy than the one that the report chose on validation.")
@click.option("--run", "seed", type=int, metavar="SEED", help="One run instead of the mean over all seeds.")
@click.option(
    "--model", "folder", type=click.Path(file_okay=False, path_type=Path), help="A folder that 'fusecat export' wrote."
)
@click.option("--refit", is_flag=True, help="The heads that 'fusecat refit' fitted on all labelled products.")
@select_metric_option
@merges_option
@click.option("--format", "kind", type=click.Choice(FORMATS), default="csv", help="How the file looks.")
@click.option("--output", metavar="FILE", help="The file [WORKSPACE/predictions/CATALOG.FORMAT]; a folder with --engine ray.")
@click.option("--top", type=click.IntRange(1), default=3, help="Codes per product, most probable first.")
@click.option("--threshold", type=click.FloatRange(0, 1), default=0.0, help="Probability below which no code is given.")
@click.option("--reasons", is_flag=True, help="Say what text and image answer alone, and what each field adds.")
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=0,
    help="Processes that tokenise and decode; with --engine ray, models that work at once.",
)
@click.option(
    "--engine",
    type=click.Choice(ENGINES),
    default="local",
    help="ray: Parquet files of any size, by --model, on this machine or a Ray cluster.",
)
@click.option(
    "--input", "source", metavar="PATH|ADDRESS", help="With --engine ray: a Parquet file, a folder, s3://bucket/folder."
)
@vectors_options
@catalogue_options
@study_options
def command(
    catalogue: Path,
    workspace: Path,
    *,
    folder: Path | None,
    metric: Metric | None,
    strategy: str | None,
    seed: int | None,
    refit: bool,
    merges: tuple[str, ...],
    kind: str,
    output: str | None,
    engine: str,
    source: str | None,
    reasons: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Classify the products of CATALOG, labelled or not.

    What is encoded is kept by content in WORKSPACE/predictions, if that may be written: the same products are never encoded
    twice.

    A product that lacks a field is answered from the others, and the column 'missing' names what it lacks. One that has nothing
    that the strategy looks at is flagged 'unseen'; one with nothing but an id gets the shares of the classes in training, and
    the flag 'empty'. Refused, with the line, is only a row without an id or with one that occurs twice.

    --images, --max-images, --max-image-pixels, --columns and --encoding are those of the study's catalogue where they are not
    given here.

    --engine ray answers the rows of Parquet files into the folder --output, with the columns of --format parquet and row_hash.
    Pictures are bytes in a column, or names relative to --image-folder or the input. The same command goes on after an
    interruption, answers what is new, and answers nothing twice. It joins the cluster of RAY_ADDRESS, or starts Ray here. An
    address holds its key as it is written; endpoint, region and keys of a store are AWS_ENDPOINT_URL, AWS_REGION,
    AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, on every machine of a cluster.
    """
    from fusecat.stages.extraction.quiet import quieten

    quieten()
    if engine == "ray":
        on_ray(source, output, folder, options | {"reasons": reasons, "merges": merges, "as_json": as_json})
        return
    if source is not None:
        raise UsageError("--input belongs to --engine ray; name CATALOG")
    from fusecat.pipeline.commands._progress import Ticker
    from fusecat.stages.catalogue.data_model import READING, ReadingOptions
    from fusecat.stages.catalogue.read import read_catalogue
    from fusecat.stages.prediction import load_model, predict
    from fusecat.stages.prediction.answer import as_in_study, predict_with_reasons
    from fusecat.stages.prediction.chosen import chosen_model
    from fusecat.stages.prediction.external_chunks import products_of
    from fusecat.stages.prediction.formats import Format, Layout, check, formulas, write

    if folder and (strategy or refit or metric or seed is not None):
        raise UsageError("--model: an exported model is one strategy; leave out --strategy, --metric, --run and --refit")
    external = external_files(options)
    model = (
        load_model(folder, merges=merges)
        if folder
        else chosen_model(
            Workspace(workspace), strategy=strategy, seed=seed, metric=metric, refit=refit, external=external, merges=merges
        )
    )
    external = with_attributes(external, model.attributes)
    reading = ReadingOptions()
    given = click.get_current_context().get_parameter_source
    if external and given("catalogue") is DEFAULT:
        read = products_of(external)
    else:
        told = [name for name in READING if given(name) is not DEFAULT]
        reading = as_in_study(catalogue, model.reading, reading_options(options, workspace, labels=False), told)
        read = read_catalogue(catalogue, reading)
    layout = Layout(Format(kind), options["top"], options["threshold"], reading.encoding, reasons)
    check(read, layout)
    path = Path(output) if output else workspace / "predictions" / f"{read.source.resolve().stem}{layout.format.suffix}"
    if (path.exists() and not path.is_file()) or path.absolute().parent == Path("/dev"):
        raise UsageError(f"--output {path}: a folder, device or pipe, which a whole file cannot take the place of; name a file")
    if not may_write(path):
        raise PermissionError(errno.EACCES, "may not be written: name another file with --output FILE", str(path))
    screen, encoded, joined = console(quiet=as_json), dict[str, int](), dict[str, dict[str, Any]]()
    tally = Tally(model, read, judged_before(workspace, folder, read, external, refit=refit))
    with keeping(workspace / "predictions") as store, Ticker(screen) as ticker:
        answers = (predict_with_reasons if reasons else predict)(
            model,
            read,
            store,
            external=external,
            max_pixels=None if given("max_image_pixels") is DEFAULT else options["max_image_pixels"],
            workers=options["workers"],
            progress=ticker,
            encoded=encoded.__setitem__,
            damaged=lambda line: click.echo(f"warning: {safe(line)}", err=True),
            joined=lambda name, found: joined.update({name: what_joined(found, read)}),
        )
        write(path, layout, model, read, tally.watch(answers, options["threshold"]))
    result = {
        "catalogue": str(read.source),
        "strategy": model.strategy,
        "seeds": list(model.predictors),
        "format": kind,
        "output": str(path),
        "encoded": encoded,
        "vectors": joined,
        "formulas": formulas(read, layout, model),
        **tally.record(),
    }
    if as_json:
        print_json(result)
        return
    show(screen, result)
