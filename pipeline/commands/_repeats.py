"""Stage one more than once: with other network seeds, on other splits of the catalogue; each in a workspace of its own."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fusecat.pipeline.commands._extraction_display import show_estimates, show_hours, show_plans, show_work
from fusecat.pipeline.commands._progress import Ticker
from fusecat.pipeline.console import safe
from fusecat.pipeline.presets.preset import Preset
from fusecat.pipeline.study import open_study
from fusecat.stages.progress import remark
from fusecat.stages.workspace import Workspace

if TYPE_CHECKING:
    from rich.console import Console

    from fusecat.stages.catalogue.validate import CatalogueReport
    from fusecat.stages.extraction.dataset import Study
    from fusecat.stages.extraction.encoder import Encoder
    from fusecat.stages.fields import Field
    from fusecat.stages.metrics import Metric


@dataclass(frozen=True)
class Repeat:
    """One workspace. `found`: the catalogue with the split of this one; `vectors_of`: the one whose vectors may serve here.

    `title`: what sets it apart from the others; '' where it is the only one.
    """

    preset: Preset
    place: Workspace
    found: "CatalogueReport"
    fields: tuple["Field", ...]
    max_pixels: int
    vectors_of: Workspace | None
    title: str

    @cached_property
    def study(self) -> "Study":
        """What stage one sees."""
        return open_study(self.found, self.max_pixels)

    @cached_property
    def encoders(self) -> list["Encoder"]:
        """What is to be extracted."""
        from fusecat.stages.extraction.extract import encoders

        return encoders(self.preset.networks, self.preset.extraction, self.fields, self.found.catalogue.texts)


def repeats(
    preset: Preset,
    place: Workspace,
    found: "CatalogueReport",
    fields: tuple["Field", ...],
    *,
    max_pixels: int,
    network_seeds: int,
    splits: int,
) -> list[Repeat]:
    """The workspaces of an extraction in their order; the first is what it would be alone.

    Raises: UsageError where the split was given with the products, DataError where one of the splits leaves a part too small.
    """
    assert found.split is not None, "catalogues without labels are refused"
    root, drawn = place.root, [found]
    if splits > 1:
        from fusecat.stages.catalogue.split import redrawn

        first = found.split
        seeds = range(first.seed + 1, first.seed + splits)
        drawn += [replace(found, split=redrawn(first, found.catalogue, seed)) for seed in seeds]
    all_of_them = []
    for number in range(network_seeds):
        own = Workspace(root.with_name(f"{root.name}-network-seed-{number + 1}")) if number else place
        seeded = preset.repeated(number) if number else preset
        for at, each in enumerate(drawn, 1):
            titles = [f"network seeds of {safe(str(own.root))}"] if network_seeds > 1 else []
            titles += [_title(each, at, splits)] if splits > 1 else []
            on = own if at == 1 else own.on_split(at)
            shared = None if at == 1 else own
            all_of_them.append(Repeat(seeded, on, each, fields, max_pixels, shared, "; ".join(titles)))
    return all_of_them


def _title(found: "CatalogueReport", number: int, of: int) -> str:
    assert found.split is not None, "catalogues without labels are refused"
    parts = ", ".join(f"{part} {count:,}" for part, count in found.split.counts.items())
    return f"split {number} of {of}, seed {found.split.seed}: {parts}"


def forecast_all(planned: Sequence[Repeat]) -> None:
    """Tell what all of them will need. Raises OSError where the disk is clearly too small for the whole."""
    from fusecat.cache.space import forecast
    from fusecat.stages.extraction.disk import disk_needed

    needed = sum(disk_needed(each.study, each.encoders, each.place) for each in planned)
    if needed:
        remark(forecast(planned[0].place.features, needed))


def look(screen: "Console", planned: Sequence[Repeat], metric: "Metric", *, counted: bool, probing: bool) -> dict[str, Any]:
    """Show what there is to do in each workspace and, `probing`, how long it would take: workspace -> as `--json` tells it.

    `counted`: steps, products and bytes too, and their sum; and each network that there is something to do for is tried.

    Raises: ModelError, UsageError for a network that cannot work.
    """
    from fusecat.stages.extraction.plan import estimate, plan
    from fusecat.stages.extraction.trial import try_out

    told: dict[str, Any] = {}
    everything, hours, timings = [], [], dict[str, Any]()
    for each in planned:
        if each.title:
            screen.print(each.title, markup=False)
        plans = plan(each.study, each.encoders, each.place, metric, vectors_of=each.vectors_of)
        told[str(each.place.root)] = [asdict(one) for one in plans]
        show_plans(screen, plans, work=counted)
        if counted and each.vectors_of is None:
            todo = [
                encoder
                for encoder, planned in zip(each.encoders, plans, strict=True)
                if planned.verdict.state != "hit" and planned.train
            ]
            with Ticker(screen) as ticker:
                untried = try_out(todo, ticker, fetch=False)
            if untried:
                names = ", ".join(untried)
                screen.print(f"not tried, as their weights are not on this machine yet: {names}", markup=False)
        everything += plans
        if probing:
            with Ticker(screen) as ticker:
                estimates = estimate(each.study, each.encoders, plans, metric, ticker, timings)
            told[str(each.place.root)] = {"plans": told[str(each.place.root)], "probe": [asdict(one) for one in estimates]}
            show_estimates(screen, estimates)
            hours += estimates
    if len(planned) > 1 and counted:
        screen.print(f"all {len(planned)} workspaces:", markup=False)
        show_work(screen, everything)
        if hours:
            show_hours(screen, hours)
    return told
