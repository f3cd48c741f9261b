"""What a person sees of stage one: the catalogue in two lines, one progress line per network, one line per finished feature."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fusecat.pipeline.console import quoted, safe
from fusecat.stages.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console
    from rich.table import Table

    from fusecat.stages.catalogue.validate import CatalogueReport
    from fusecat.stages.extraction.extract import Outcome
    from fusecat.stages.extraction.plan import Estimate, ExtractionPlan


def show_catalogue_report(screen: "Console", found: "CatalogueReport") -> None:
    """Counts, split and every counted warning."""
    record, split = found.record, found.split
    assert split is not None
    lacking = {"description": record["missing_descriptions"], **record["missing_texts"], "image": record["missing_images"]}
    told = ", ".join(f"{count:,} without {name}" for name, count in lacking.items())
    screen.print(
        f"{safe(record['catalogue'])}: {record['products']:,} products, {record['classes']} classes, {told}", markup=False
    )
    parts = ", ".join(f"{part} {count:,}" for part, count in split.counts.items())
    largest = f", the largest: {safe(', '.join(split.groups.largest[:5]))}" if split.groups.count else ""
    screen.print(
        f"split {split.protocol}, seed {split.seed}: {parts}; {split.groups.count:,} groups of duplicates "
        f"({split.groups.products:,} products{largest}) each on one side",
        markup=False,
    )
    for finding in found.findings:
        kind = finding.kind.replace("_", " ")
        screen.print(
            f"warning: {finding.count:,} x {kind}: {safe(finding.treatment)}; first: {safe(finding.first)}", markup=False
        )


def show_plans(screen: "Console", plans: Sequence["ExtractionPlan"], *, work: bool) -> None:
    """One line per feature: hit, or why not; with `work` also what there is to do."""
    for plan in plans:
        verdict = plan.verdict
        why = f" ({', '.join(verdict.changed) or verdict.reason})" if verdict.changed or verdict.reason else ""
        todo = f": {plan.steps:,} steps on {plan.train:,} products, then {plan.products:,} encoded, {plan.disk / 1e6:,.1f} MB"
        screen.print(f"{plan.feature}: {verdict.state}{why}{todo if work and verdict.state != 'hit' else ''}", markup=False)
    if work:
        show_work(screen, plans)


def show_work(screen: "Console", plans: Sequence["ExtractionPlan"]) -> None:
    """All that there is to do, in one line."""
    waiting = [plan for plan in plans if plan.verdict.state != "hit"]
    disk = sum(plan.disk for plan in waiting) / 1e6
    screen.print(
        f"{len(waiting)} of {len(plans)} features to make, {sum(plan.steps for plan in waiting):,} steps, {disk:,.0f} MB"
    )


def show_estimates(screen: "Console", estimates: Sequence["Estimate"]) -> None:
    """One row per network that was timed, and the hours of all."""
    if not estimates:
        screen.print("nothing to probe: every feature is there already, or has no product to learn from")
        return
    graphics = any(each.timing.device_memory for each in estimates)
    sizes = ["GB", *(["GPU GB"] if graphics else [])]
    table = _table(screen, "feature", "s/step", "steps", "fine-tuning h", "extraction h", *sizes)
    for each in estimates:
        timing = each.timing
        hours = [_hours(each.fine_tuning), _hours(each.extraction)]
        sizes = [_gigabytes(timing.memory), *([_gigabytes(timing.device_memory)] if graphics else [])]
        table.add_row(safe(timing.feature), f"{timing.step:.3f}", f"{each.steps:,}", *hours, *sizes)
    screen.print(table)
    show_hours(screen, estimates)
    for each in estimates:
        if each.timing.economy:
            screen.print(f"{safe(each.timing.feature)}: memory ran out; timed with {each.timing.economy}", markup=False)


def show_hours(screen: "Console", estimates: Sequence["Estimate"]) -> None:
    """What all of these take together."""
    hours = sum(each.fine_tuning + each.extraction for each in estimates)
    screen.print(f"about {_hours(hours)} h in all, on this machine as it is now")


def show_summary(screen: "Console", outcomes: Sequence["Outcome"]) -> None:
    """One row per network: how it was fine-tuned, what validation says of it, what it took."""
    trained = [outcome for outcome in outcomes if outcome.learning]
    if not trained:
        return
    graphics = any(outcome.device_memory for outcome in trained)
    table = _table(screen, "feature", "epochs", "best", "macro-F1", "accuracy", "s", "GB", *(["GPU GB"] if graphics else []))
    for outcome in trained:
        learning = outcome.learning
        scores = [f"{learning['validation'][name]:.3f}" for name in ("macro_f1", "accuracy")]
        sizes = [_gigabytes(outcome.memory), *([_gigabytes(outcome.device_memory)] if graphics else [])]
        seconds = f"{outcome.seconds:,.0f}" if outcome.state == "extracted" else outcome.state
        table.add_row(safe(outcome.feature), str(learning["epochs"]), str(learning["best_epoch"]), *scores, seconds, *sizes)
    screen.print(table)
    screen.print("macro-F1 and accuracy: on validation, over the products that have the field", markup=False, highlight=False)


def _table(screen: "Console", first: str, *others: str) -> "Table":
    """A table of names and numbers; only names may be folded."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 1 if screen.width < 100 else 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f}" if size else "-"


def _hours(hours: float) -> str:
    if hours < 0.001:
        return "<0.001"
    return f"{hours:,.1f}" if hours >= 10 else f"{hours:.3f}"


def show_done(screen: "Console", place: Workspace, outcomes: Sequence["Outcome"], seconds: float, left: int) -> None:
    """Where the features of a workspace are, and, of several, what the `left` ones still take if they take as long."""
    computed = any(outcome.state == "extracted" for outcome in outcomes)
    more = f"; {left} more, about {left * seconds:.0f} s" if left and computed else ""
    screen.print(f"{safe(str(place.features))}: {len(outcomes)} features in {seconds:.0f} s{more}", markup=False)


def show_next(screen: "Console", places: Sequence["Path"], splits: int) -> None:
    """The commands that go on from here."""
    for place in places:
        over = f" --splits {splits}" if splits > 1 else ""
        screen.print(f"next: fusecat fuse{over} --workspace {quoted(place)}", markup=False)
    if len(places) > 1:
        screen.print(f"then: fusecat report --pool {quoted(*places)}", markup=False)
