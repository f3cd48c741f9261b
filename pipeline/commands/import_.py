"""`fusecat import`: vectors of one's own, from any encoder, as a feature."""

import difflib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from fusecat.cache.records import write_record
from fusecat.pipeline.console import command_line, console, print_json, protocol_option, safe, study_options
from fusecat.pipeline.study import imported, put_damaged_aside, remember_split, with_command
from fusecat.stages.errors import UsageError
from fusecat.stages.fields import ATTRIBUTES, KNOWN, Field
from fusecat.stages.study_record import StudyRecord, change_study, read_study
from fusecat.stages.vocabulary import Part
from fusecat.stages.workspace import Workspace

if TYPE_CHECKING:
    from fusecat.cache.store import Rows
    from fusecat.stages.catalogue.data_model import Catalogue
    from fusecat.stages.catalogue.split import Split
    from fusecat.stages.external.import_vectors import Imported, Request

FIELDS = (*KNOWN, ATTRIBUTES)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--name", required=True, help="NETWORK.FIELD, such as mine.title; or the network, with --field.")
@click.option(
    "--attributes",
    metavar="COLUMNS",
    help="--vectors is a table (CSV, Parquet), and these of its columns become the vectors: price,brand,year=category.",
)
@click.option(
    "--field",
    metavar="FIELD",
    help=f"What of a product the vectors describe: {', '.join(KNOWN)}, attributes, or a name of your own, such as brand.",
)
@click.option("--vectors", type=_FILE, required=True, help="A row per vector: .npy, .npz, .parquet, .h5, .safetensors.")
@click.option("--key", help="The array, column or dataset with the vectors, where the file holds several.")
@click.option("--columns", metavar="PATTERNS", help="Of a Parquet file with a column per dimension: 'emb_*'.")
@click.option(
    "--ids",
    type=_FILE,
    help="CSV, text, .npy or .parquet: an id per vector, in their order. Not needed where the vectors' file has ids.",
)
@click.option("--id-column", metavar="NAME", help="The column of the ids [id, ids, product_id, or pandas' index].")
@click.option("--logits", type=_FILE, help="Class logits, a row per vector, a column per class in sorted order.")
@click.option("--labels", type=_FILE, help="CSV with id and label: the products, where the workspace has no catalogue yet.")
@click.option(
    "--fitted-on",
    metavar="PARTS|FILE",
    help="Parts whose labels the encoder has seen (train,head; none), or a file with the ids of its training rows.",
)
@protocol_option("Of a new split.")
@click.option("--head-share", type=click.FloatRange(0, 0.9), default=0.0, help="Of a new split.")
@click.option("--split-seed", default=2020, help="Of a new split.")
@click.option("--group-by", metavar="COLUMN", help="Of --labels: products of one value stay in one part of a new split.")
@click.option("--split-column", metavar="COLUMN", help="Of --labels: the part of each product, instead of a new split.")
@click.option(
    "--splits",
    type=click.IntRange(min=1),
    metavar="N",
    help="Measure --attributes on N splits, for 'fusecat fuse --splits N' [as many as 'fusecat extract --splits' made].",
)
@click.option("--dtype", type=click.Choice(["float16", "float32"]), default="float16", help="Stored as.")
@study_options
def command(name: str, field: str | None, labels: Path | None, workspace: Path, *, as_json: bool, **options: Any) -> None:
    """Bring vectors of your own as a feature, joined by id.

    They need no texts or images. Products without a vector count as lacking the field.
    """
    from fusecat.cache.store import FeatureCache
    from fusecat.stages.catalogue.data_model import Findings
    from fusecat.stages.external.array_doubts import doubt
    from fusecat.stages.external.import_vectors import Request, import_vectors
    from fusecat.stages.fusion.near import straddling

    place = Workspace(workspace)
    feature = _feature(name, ATTRIBUTES if options["attributes"] and not field and "." not in name else field)
    rows, drawn = _rows(place, labels, options)
    keys = ("vectors", "ids", "logits", "key", "columns", "id_column", "fitted_on", "dtype")
    if options["key"] and options["columns"]:
        raise UsageError("--key names one column of lists, --columns a column per dimension: pass one of the two")
    request = Request(feature, **{key: options[key] for key in keys})
    if options["attributes"]:
        if options["key"] or options["columns"] or options["ids"]:
            raise UsageError("--attributes: the table has its ids and columns; leave out --key, --columns and --ids")
        request = _measured(request, options["attributes"], rows)
    elif options["splits"]:
        raise UsageError(
            "--splits measures --attributes on each split; vectors serve on every split with --fitted-on none, and those of a "
            f"network that learnt from one are imported into it: --workspace {place.on_split(2).root}"
        )
    cache = FeatureCache(place.features)
    done = import_vectors(request, rows, cache)
    if request.attributes:
        write_record(place.attributes / f"{feature}.json", request.attributes.record)
    else:
        (place.attributes / f"{feature}.json").unlink(missing_ok=True)
    if drawn is not None:
        _begin(place, *drawn)
    _remember(place, rows, done, options["vectors"])
    others = _on_splits(place, rows, request, options) if request.attributes else []
    told = drawn[1].findings if drawn is not None else ()
    findings = [f"{each.count:,} {each.kind.replace('_', ' ')}: {each.treatment}; first: {each.first}" for each in told]
    # attributes of two products are often the same
    if request.attributes is None:
        table, odd = cache.table([feature]), Findings()
        doubt(table, odd)
        findings += [f"{each.first}: {each.treatment}" for each in odd if each.kind != "rows_without_vectors"]  # told by _show
        if copies := straddling(table):
            findings.append(f"{copies.warning}; split by groups: --labels FILE --group-by COLUMN")
    if as_json:
        print_json(vars(done) | {"path": str(done.path), "warnings": findings, "splits": 1 + len(others)})
        return
    _show(done)
    if request.attributes:
        learnt = ", ".join(column.told for column in request.attributes.columns)
        console().print(f"learnt from train: {safe(learnt)}", markup=False)
    for other in others:
        _show(other)
    for line in findings:
        console().print(safe(line), style="yellow", markup=False)


def _measured(request: "Request", columns: str, rows: "Rows") -> "Request":
    """Attributes as the products of train have them."""
    from fusecat.stages.external.attributes import Attributes

    learnt = rows.parts.index(Part.TRAIN)
    products = zip(rows.ids, rows.labels.tolist(), rows.split, strict=True)
    train = {identity: label for identity, label, part in products if part == learnt}
    made = Attributes.fit(request.vectors, columns, train, request.id_column)
    return replace(request, attributes=made, fitted_on=request.fitted_on or "none")  # it sees no label


def _on_splits(place: Workspace, rows: "Rows", request: "Request", options: dict[str, Any]) -> "list[Imported]":
    """The same attributes, measured on the train of each further split."""
    from fusecat.cache.store import FeatureCache
    from fusecat.stages.external.import_vectors import import_vectors
    from fusecat.stages.fusion.resplit import parts_on, seed_of

    count, imported = options["splits"] or 1, []
    while options["splits"] is None and FeatureCache(place.on_split(count + 1).features).names():
        count += 1
    for number, parts in enumerate(parts_on(place, rows, count)[1:] if count > 1 else (), 2):
        own, there = place.on_split(number), replace(rows, split=parts)
        measured = _measured(replace(request, attributes=None), options["attributes"], there)
        imported.append(import_vectors(measured, there, FeatureCache(own.features)))
        assert measured.attributes is not None, "just measured"
        write_record(own.attributes / f"{request.feature}.json", measured.attributes.record)
        remember_split(place, own, number, seed_of(place) + number - 1, there)
        _remember(own, there, imported[-1], options["vectors"])
    return imported


def _feature(name: str, field: str | None) -> str:
    """The name of the feature: its last part is the field."""
    network, dot, last = name.rpartition(".")
    if field is None and last not in FIELDS:
        near = difflib.get_close_matches(last, FIELDS, 1, 0.75) if dot else ()
        end = f"did you mean {network}.{near[0]}?" if near else f"pass --field, or end the name with one: {name}.{Field.TITLE}"
        own = f"; for a field of your own: --name {network} --field {last}" if dot else ""
        raise UsageError(f"--name {name}: {end}{own}")
    if field is None or (dot and field == last):
        _check_field_name(name, last)
        return name
    if dot and last in FIELDS:
        raise UsageError(f"--name {name} speaks of the field {last}, --field of {field}; leave one of them out")
    _check_field_name(name, field)
    return f"{name}.{field}"


def _check_field_name(name: str, field: str) -> None:
    """Raise UsageError unless a field is a word, or words joined by +."""
    try:
        Field(field)
    except ValueError as error:
        raise UsageError(f"--name {name}: {error}") from error


def _rows(place: Workspace, labels: Path | None, options: dict[str, Any]) -> "tuple[Rows, tuple[Catalogue, Split] | None]":
    """The products of the workspace; or those of --labels, with them and their new split, which `_begin` keeps."""
    import numpy as np

    from fusecat.stages.catalogue.split import catalogue_rows
    from fusecat.stages.external.align import existing_rows, known_split, refuse_other_labels

    if labels is not None:
        put_damaged_aside(place)
    rows = existing_rows(place)
    if rows is not None:
        drawn = None
        if labels is not None:
            refuse_other_labels(labels, rows)
            drawn = known_split(place, labels)
        _refuse_another_split(place)
        own = next((name for name in ("split_column", "group_by") if options[name] is not None), None)
        if own and (labels is None or not np.array_equal(catalogue_rows(*_drawn(labels, options)).split, rows.split)):
            flag = f"--{own.replace('_', '-')}"
            raise UsageError(
                f"{flag} {options[own]}: {place.root} was split otherwise; leave {flag} out, or use another --workspace"
            )
        return rows, drawn
    if labels is None:
        raise UsageError(
            f"--labels: {place.root} knows no products yet; pass a CSV with id and label, or run 'fusecat extract' first"
        )
    catalogue, split = _drawn(labels, options)
    return catalogue_rows(catalogue, split), (catalogue, split)


def _drawn(labels: Path, options: dict[str, Any]) -> "tuple[Catalogue, Split]":
    """The products of --labels and their split, as the options ask for."""
    from fusecat.stages.external.align import new_split

    asked = {name: options[name] for name in ("head_share", "group_by", "split_column")}
    return new_split(labels, protocol=options["protocol"], seed=options["split_seed"], **asked)


def _refuse_another_split(place: Workspace) -> None:
    """Raise UsageError where the command line asks for another split than the one that the workspace has already."""
    held = (read_study(place) or StudyRecord()).split
    context = click.get_current_context()
    for option, name in (("protocol", "protocol"), ("head_share", "head_share"), ("split_seed", "seed")):
        value = context.params[option]
        if context.get_parameter_source(option) is not ParameterSource.DEFAULT and value != held.get(name):
            flag = f"--{option.replace('_', '-')}"
            known = f"with {flag} {held[name]}" if name in held else "already"
            raise UsageError(f"{flag} {value}: {place.root} was split {known}; leave {flag} out, or use another --workspace")


def _begin(place: Workspace, catalogue: "Catalogue", split: "Split") -> None:
    """Keep the products and the split of a new study, once its first feature is there: a failed import leaves none behind."""
    split.write(place.split)
    record = StudyRecord(
        catalogue=str(catalogue.source),
        layout=catalogue.layout,
        products=len(catalogue.products),
        labelled=int((catalogue.labels >= 0).sum()),
        split=split.record,
        features=imported(place),
    )
    change_study(place, lambda _: record)


def _remember(place: Workspace, rows: "Rows", done: "Imported", vectors: Path) -> None:
    """Add the feature and the command to study.json, so that the report and `cache verify` know of them."""
    network, _, field = done.feature.rpartition(".")
    feature = {"network": network, "field": field, "imported": vectors.name, "fitted_on": done.fitted_on}

    def added(known: StudyRecord | None) -> StudyRecord:
        known = known or StudyRecord(products=len(rows.ids))
        features = {**known.features, done.feature: feature}
        return replace(known, features=features, commands=with_command(known.commands, command_line()))

    change_study(place, added)


def _show(done: "Imported") -> None:
    screen = console()
    made = "was there already" if done.state == "hit" else "sealed"
    screen.print(
        f"{safe(str(done.path))} {made}: {done.width} numbers for {done.joined:,} of {done.products:,} products", markup=False
    )
    if done.absent:
        first = safe(done.first_absent)
        screen.print(f"{done.absent:,} products have no vector and count as lacking the field; first: '{first}'", markup=False)
    if done.unknown:
        screen.print(f"{done.unknown:,} vectors belong to no product; first: '{safe(done.first_unknown)}'", markup=False)
    if done.unknown_fitted:
        first = safe(done.first_unknown_fitted)
        screen.print(f"{done.unknown_fitted:,} ids of --fitted-on belong to no product; first: '{first}'", markup=False)
    if done.fitted_on is None:
        screen.print("Nobody said which rows the encoder was fitted on (--fitted-on): the report will warn of it.")
