"""`fusecat refit`: the chosen strategy, fitted on all labelled products."""

from pathlib import Path

import click

from fusecat.pipeline.console import console, merges_option, print_json, quoted, safe, select_metric_option, study_options
from fusecat.stages.metrics import Metric
from fusecat.stages.study_record import StudyRecord, read_study
from fusecat.stages.workspace import Workspace


@click.command()
@click.option("--strategy", help="Another strategy than the one that the report chose on validation.")
@select_metric_option
@merges_option
@study_options
def command(workspace: Path, *, metric: Metric | None, strategy: str | None, merges: tuple[str, ...], as_json: bool) -> None:
    """Fit the strategy again on train, head, validation and test, with the epochs and settings of the compared runs.

    For a submission: 'fusecat predict --refit' and 'fusecat export --refit' use it. It has no test score: nothing is left to
    test it on. The networks stay fitted on train.

    Late fusion learns again from the products that no network was fitted on, and from train where there are out-of-fold logits
    ('extract --folds'); of vote and selection the members are fitted again, the weights stay. Where nothing but the shares of
    the classes is learnt (uni-modal rows, mean, product, maximum), only products without the fields are answered differently.
    """
    from fusecat.stages.fusion.runs import Runs
    from fusecat.stages.fusion.select import select
    from fusecat.stages.prediction.refit import read_refit, refit

    place = Workspace(workspace)
    chosen = select(Runs(place.runs), metric or (read_study(place) or StudyRecord()).selects, strategy)
    folder = refit(place, chosen.strategy, chosen.seeds, merges=merges)
    record = read_refit(place) | {"folder": str(folder)}
    if as_json:
        print_json(record)
        return
    more = record["products"] / record["compared_on"] - 1
    screen = console()
    parts = " + ".join(record["fitted_on"])
    what = f"{len(record['runs'])} fitted" if record["learns"] else "it learns nothing but the shares of the classes, counted"
    screen.print(
        f"{record['strategy']}: {what} on {record['products']:,} products ({parts}), {more:+.0%} "
        "against the runs that were compared; networks unchanged",
        markup=False,
    )
    screen.print("it has no test score: no labelled product is left to test it on", markup=False)
    named = "".join(f" --merge {quoted(merge)}" for merge in merges)
    where = f"--workspace {quoted(workspace)}{named}"
    screen.print(f"{safe(str(folder))}; next: fusecat predict CATALOG --refit {where}", markup=False)
