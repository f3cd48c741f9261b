"""The answer of several studies in the terminal and as `pool.json`, `pool.md` and `pool.html`."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from markupsafe import Markup

from fusecat.cache.publish import publish
from fusecat.pipeline.console import console, safe, to_json, warn
from fusecat.pipeline.places import may_write
from fusecat.pipeline.report import figures
from fusecat.pipeline.report.comparison import compare
from fusecat.pipeline.report.figures import Dot
from fusecat.pipeline.report.markup import content_policy, templates
from fusecat.pipeline.report.pooling import Pool, pool
from fusecat.pipeline.report.svg import MARKERS, picture, tone_of
from fusecat.pipeline.report.tables import cell
from fusecat.stages.metrics import METRICS, Metric
from fusecat.stages.workspace import Workspace

HEADINGS = ("strategy", "mean", "95 % interval", "mean rank", "chosen in", "difference", "interval (Holm)", "p (Holm)", "real")


def write_pool(
    workspaces: Sequence[Path], output: Path | None = None, metric: Metric | None = None
) -> tuple[Pool, Path | None]:
    """Compare each workspace, pool them, write into `output` or the first one's report folder; returns the pool and its page.

    Where the first one may not be written and there is no `output`, there is a warning and no page.
    """
    pooled = pool([compare(workspace, metric=metric) for workspace in workspaces])
    folder = output or Workspace(workspaces[0]).report
    if output is None and not may_write(folder):
        warn(f"{folder} may not be written, so there is no page; 'fusecat report --pool ... --output DIR' writes it elsewhere")
        return pooled, None
    folder.mkdir(parents=True, exist_ok=True)
    publish(folder / "pool.json", to_json(asdict(pooled)) + "\n")
    publish(folder / "pool.md", _markdown(pooled))
    return pooled, publish(folder / "pool.html", page(pooled))


def print_pool(workspaces: Sequence[Path], output: Path | None = None, metric: Metric | None = None) -> Pool:
    """`write_pool`, then the verdict, the table and where the page is."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    pooled, page = write_pool(workspaces, output, metric)
    terminal = console()
    shown = range(len(HEADINGS)) if terminal.width >= 110 else (0, 1, 4, 5, 6, 8)
    table = Table(box=box.SIMPLE_HEAD, title=f"{METRICS[pooled.metric].ranks} over {len(workspaces)} studies", pad_edge=False)
    for at, name in enumerate(HEADINGS):
        if at in shown:
            table.add_column(
                name, justify="left" if at in (0, 8) else "right", overflow="fold", min_width=26 if at == 0 else None
            )
    for line in lines(pooled):
        table.add_row(*(Text(safe(line[at])) for at in shown))
    terminal.print(table, soft_wrap=False)
    terminal.print(safe(pooled.verdict), markup=False, soft_wrap=False)
    for name in pooled.left_out:
        terminal.print(f"not in every study, left out: {safe(name)}", markup=False)
    if page is not None:
        terminal.print(f"report: {safe(str(page))}", markup=False)
    return pooled


def lines(pooled: Pool) -> list[list[str]]:
    """One line of text per strategy, in the order of `HEADINGS`."""
    metric = METRICS[pooled.metric]
    found = []
    for row in pooled.rows:
        line = [
            row.strategy,
            metric.figure(row.mean),
            f"{metric.figure(row.low)} to {metric.figure(row.high)}",
            f"{row.rank:.1f}",
            f"{row.chosen} of {len(pooled.workspaces)}",
        ]
        if row.difference is None or row.level_low is None or row.level_high is None:
            line += ["reference", "", "", ""]
        else:
            line += [metric.gain(row.difference), metric.gains(row.level_low, row.level_high)]
            line += [f"{row.p:.3g}", "yes" if row.real else "no"]
        found.append(line)
    return found


def _markdown(pooled: Pool) -> str:
    text = [f"# {len(pooled.workspaces)} studies", "", cell(pooled.verdict), ""]
    text += [f"| {' | '.join(HEADINGS)} |", f"|{'---|' * len(HEADINGS)}"]
    text += [f"| {' | '.join(cell(part) for part in line)} |" for line in lines(pooled)]
    text += ["", *(f"- {cell(place)}" for place in pooled.workspaces)]
    return "\n".join(text) + "\n"


def page(pooled: Pool) -> str:
    """`pool.html`, whole."""
    environment, sources = templates("pool.html", "style.css")
    style = sources["style.css"]
    return environment.get_template("pool.html").render(
        pool=pooled,
        metric=METRICS[pooled.metric],
        headings=HEADINGS,
        lines=lines(pooled),
        picture=_picture(pooled),
        style=Markup(style),  # noqa: S704 - our own files
        policy=content_policy(style),
    )


def _picture(pooled: Pool) -> Markup:
    """Studies of one catalogue: means with intervals. Several catalogues: mean ranks with the critical difference."""
    metric = METRICS[pooled.metric]
    scale = metric.scale
    half = (pooled.critical or 0) / 2
    dots = []
    for row in pooled.rows:
        kind, best = row.strategy.partition("/")[0], row is pooled.rows[0]
        look = (tone_of(kind, is_chosen=best), MARKERS.get(kind, "o"))
        if pooled.same:
            ticks = [value * scale for value in row.values]
            dots.append(Dot(row.strategy, row.mean * scale, row.low * scale, row.high * scale, *look, ticks, bold=best))
        else:
            dots.append(Dot(row.strategy, row.rank, row.rank - half, row.rank + half, *look, bold=best))
    axis = f"{pooled.report_part} {metric.ranks}" if pooled.same else "mean rank; lines that do not overlap differ (Nemenyi)"
    draw = partial(figures.dots, dots, axis=axis, short="" if pooled.same else "mean rank")
    return picture(draw, label=axis)
