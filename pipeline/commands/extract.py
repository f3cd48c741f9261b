"""`fusecat extract`: read, split, fine-tune, store. Stage one on the command line."""

import dataclasses
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusecat.pipeline.commands._catalogue_options import catalogue_options, reading_options
from fusecat.pipeline.commands._extraction_display import show_catalogue_report, show_done, show_next, show_summary
from fusecat.pipeline.commands._progress import Ticker
from fusecat.pipeline.commands._repeats import forecast_all, look, repeats
from fusecat.pipeline.console import (
    catalogue_argument,
    choice,
    command_line,
    console,
    metric_option,
    print_json,
    protocol_option,
    study_options,
    warn,
)
from fusecat.pipeline.places import may_write, remembering
from fusecat.pipeline.presets.preset import Preset, load_preset
from fusecat.pipeline.study import validate_catalogue, write_study
from fusecat.stages.errors import UsageError
from fusecat.stages.extraction.settings import Pooling, Precision, fitting_workers
from fusecat.stages.fields import Field
from fusecat.stages.metrics import MACRO_F1
from fusecat.stages.tracking import Tracker
from fusecat.stages.workspace import Workspace

if TYPE_CHECKING:
    from fusecat.stages.extraction.extract import Outcome


def _fields(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[Field, ...]:
    """Refuse what can be no field."""
    try:
        return tuple(map(Field, values))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command()
@catalogue_argument
@click.option("--preset", default="tiny", help="light, modern, strong, thesis, tiny, or a TOML file.")
@click.option("--networks", multiple=True, help="Only these networks of the preset (repeat, or separate by commas).")
@click.option(
    "--fields",
    multiple=True,
    metavar="FIELD",
    callback=_fields,
    help="Only these fields of the networks: title, image, a text of your own (repeat for more).",
)
@protocol_option("How the products are parted.")
@click.option("--split-seed", default=2020, help="Seed of the split.")
@click.option(
    "--head-share",
    type=click.FloatRange(0, 0.9),
    default=0.0,
    help="Share of train kept from the networks, for heads.",
)
@click.option(
    "--folds",
    type=click.IntRange(min=2),
    metavar="K",
    help="Also fine-tune K networks on K-1 folds of train each; late fusion learns from their logits of the fold left out.",
)
@click.option(
    "--subset",
    type=click.Choice(["all", "described"]),
    help="described: only products with a description, as the thesis did (default: the preset's).",
)
@metric_option(
    "What chooses the networks' epochs, and strategies until 'fusecat fuse --metric' names another.", default=MACRO_F1
)
@click.option("--seed", type=int, help="Seed of the networks (default: the preset's).")
@click.option(
    "--network-seeds",
    type=click.IntRange(min=1),
    metavar="N",
    default=1,
    help="Repeat with N seeds: the others go to DIR-network-seed-2, ...; 'fusecat report --pool' says how far they matter.",
)
@click.option(
    "--splits",
    type=click.IntRange(min=1),
    metavar="N",
    default=1,
    help="Also on N - 1 further splits (the next seeds), in DIR/splits/2, ...; 'fusecat fuse --splits N' compares over all.",
)
@click.option("--precision", type=choice(Precision), help="Arithmetic of the networks (default: the preset's).")
@click.option("--device", type=click.Choice(["auto", "cpu"]), default="auto", help="auto: the GPU where there is one.")
@click.option("--pooling", type=choice(Pooling), help="How token states become a vector, for all text networks.")
@click.option("--epochs", type=click.IntRange(min=1), help="Epochs of fine-tuning, for all networks.")
@click.option("--freeze", is_flag=True, help="Do not fine-tune: vectors of the given weights, only the classifier learns.")
@click.option("--weights", multiple=True, metavar="NETWORK=PATH", help="Folder or file with a network's weights.")
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    help="Processes that tokenise and decode (default: the preset's; up to 4 for large catalogues).",
)
@click.option("--limit", type=click.IntRange(min=1), help="Only the first products, for a quick look.")
@click.option("--dry-run", is_flag=True, help="Try each network, print the plan and stop.")
@click.option("--probe", is_flag=True, help="With --dry-run: time 20 steps of each network, print hours.")
@click.option("--explain", is_flag=True, help="Print per feature whether it is a hit or stale and what changed, and stop.")
@click.option(
    "--tracker",
    type=choice(Tracker),
    help="Send the curves of fine-tuning there; in DIR/TRACKER unless the tracker's own variables say another place.",
)
@click.option("--tensorboard", "tracker", flag_value="tensorboard", type=choice(Tracker), hidden=True)
@click.option("--no-wait", is_flag=True, help="Fail at once where another process writes the same feature.")
@catalogue_options
@study_options
def command(catalogue: Path, workspace: Path, *, as_json: bool, **options: Any) -> None:
    """Stage one: split the catalogue, fine-tune each network on its own field, store vectors and logits of every product.

    Resumes by itself: what is there and still fits is kept.
    """
    from fusecat.stages.extraction.quiet import quieten

    _check(options)
    quieten()
    if options["device"] == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    preset, place = _preset(options), Workspace(workspace)
    reading = reading_options(options, workspace)
    looking = options["dry_run"] or options["explain"]  # a plan needs no workspace that may be written
    with remembering(place, scratch=options["probe"] or (looking and not may_write(place.image_memory))) as memory:
        found = validate_catalogue(catalogue, memory, reading, options | {"subset": _subset(preset, options)})
    preset = _staffed(preset, options["workers"], len(found.catalogue.products))

    from fusecat.stages.extraction.devices import leave, processes
    from fusecat.stages.extraction.extract import extract, unread

    leading, metric = processes().is_main_process, options["metric"]  # of several processes, one speaks and writes
    screen = console(quiet=as_json or not leading)
    show_catalogue_report(screen, found)
    for text in unread(preset.networks, found.catalogue.further):
        warn(f"no network looks at '{text}': add it to the 'fields' of one in your preset, or leave it out of the mapping")
    counts = {"network_seeds": options["network_seeds"], "splits": options["splits"]}
    planned = repeats(preset, place, found, options["fields"], max_pixels=options["max_image_pixels"], **counts)
    if looking:
        told = look(screen, planned, metric, counted=options["dry_run"], probing=options["probe"])
    else:
        told = {}
        if len(planned) > 1 and leading:
            forecast_all(planned)
        for number, each in enumerate(planned):
            if each.title:
                screen.print(each.title, markup=False)
            if leading:
                each.study.split.write(each.place.split)
            begin = time.monotonic()
            with Ticker(screen) as ticker:
                outcomes = extract(
                    each.study,
                    each.encoders,
                    each.place,
                    metric=metric,
                    vectors_of=each.vectors_of,
                    wait=not options["no_wait"],
                    tracker=options["tracker"],
                    progress=ticker,
                    finished=ticker.finished,
                    damaged=warn,
                )
            if leading:
                pixels = each.study.max_pixels
                write_study(each.place, each.found, each.preset, metric, outcomes, command_line(), max_pixels=pixels)
            told[str(each.place.root)] = {outcome.feature: _told(outcome) for outcome in outcomes}
            seconds = time.monotonic() - begin
            show_summary(screen, outcomes)
            show_done(screen, each.place, outcomes, seconds, len(planned) - number - 1)
    if as_json and leading:
        print_json(told if len(planned) > 1 else told[str(place.root)])
    if not looking:
        show_next(screen, [each.place.root for each in planned if each.vectors_of is None], options["splits"])
        leave()


def _told(outcome: "Outcome") -> dict[str, Any]:
    """What `--json` says of a feature; a network that was there already tells how it was fine-tuned."""
    told: dict[str, Any] = {"state": outcome.state, "seconds": outcome.seconds, "reason": outcome.reason}
    if outcome.learning:
        told |= {name: outcome.learning[name] for name in ("epochs", "best_epoch", "validation")}
    if outcome.memory:
        told |= {"memory": outcome.memory, "device_memory": outcome.device_memory}
    return told


def _check(options: dict[str, Any]) -> None:
    """Refuse what can be refused before anything is loaded."""
    if options["probe"] and not options["dry_run"]:
        raise UsageError("--probe: goes with --dry-run only; add --dry-run")
    given = [f"--{name.replace('_', '-')}" for name in ("split_column", "split_file") if options[name]]
    if options["splits"] > 1 and given:
        raise UsageError(
            f"--splits {options['splits']}: {given[0]} says which product is in which part; leave one of the two out"
        )
    if options["tracker"]:
        options["tracker"].check()


def _subset(preset: Preset, options: dict[str, Any]) -> str | None:
    """What `validate` is to part: the flag's products, else the preset's; None are all."""
    chosen = options["subset"] or preset.subset.value
    return None if chosen == "all" else chosen


def _staffed(preset: Preset, workers: int | None, products: int) -> Preset:
    """The preset with the worker processes of the flag, else its own, else as many as suit the catalogue."""
    if workers is None:
        workers = preset.extraction.workers or fitting_workers(products)
    return dataclasses.replace(preset, extraction=dataclasses.replace(preset.extraction, workers=workers))


def _preset(options: dict[str, Any]) -> Preset:
    """The preset with what the command line changes."""
    weights = {}
    for pair in options["weights"]:
        name, sign, path = pair.partition("=")
        if not sign or not path:
            raise UsageError(f"--weights {pair}: NETWORK=PATH is needed")
        weights[name] = path
    names = [name for value in options["networks"] for name in value.split(",")]
    preset = load_preset(options["preset"]).select(names)
    training, networks = ({name: options[name] for name in of if options[name]} for of in (("epochs", "freeze"), ("pooling",)))
    preset = preset.override(seed=options["seed"], weights=weights, networks=networks, training=training)
    changed = {name: options[name] for name in ("precision", "folds") if options[name]}
    return dataclasses.replace(preset, extraction=dataclasses.replace(preset.extraction, **changed))
