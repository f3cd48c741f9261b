"""Several splits of one table as one comparison: what `compare()` gives where it draws more than one."""

from dataclasses import dataclass
from typing import Any

from fusecat.pipeline.report.comparison import Comparison
from fusecat.pipeline.report.pooled import HEADINGS, lines, page
from fusecat.pipeline.report.pooling import Pool
from fusecat.pipeline.report.shown import Shown


@dataclass(frozen=True, repr=False)
class OverSplits(Shown):
    """`pool`: the answer over all splits; `splits`: the whole comparison of each; `left_out` as in these.

    Nothing that one split has chosen is used in another: each chooses epochs, settings and strategies on its own validation.
    """

    pool: Pool
    splits: tuple[Comparison, ...]
    left_out: tuple[str, ...] = ()

    @property
    def chosen(self) -> str:
        """The strategy with the best mean on validation."""
        return self.pool.rows[0].strategy

    @property
    def table(self) -> list[dict[str, Any]]:
        """One mapping per strategy, the best mean on validation first: what `pandas.DataFrame` takes.

        `test` (or `validation`, where there is no test): the mean over splits; `low` and `high` its 95 % interval for other
        splits and products; `chosen`: the splits that chose it; `difference`, `p` and `real` against the reference, paired by
        split; `splits`: the figure of each.
        """
        found = []
        for row in self.pool.rows:
            line: dict[str, Any] = {"strategy": row.strategy, "validation": row.validation}
            line |= {self.pool.report_part: row.mean, "low": row.low, "high": row.high, "chosen": row.chosen}
            line |= {"difference": row.difference, "p": row.p, "real": None if row.difference is None else row.real}
            found.append(line | {"splits": list(row.values)})
        return found

    @property
    def verdict(self) -> str:
        """Which strategy, by how much over splits, and how often it was chosen."""
        return self.pool.verdict

    def to_html(self) -> str:
        """The page, whole, without products."""
        return page(self.pool)

    def cells(self) -> list[list[str]]:
        """The table as people read it, its head first."""
        return [list(HEADINGS), *lines(self.pool)]
