"""Several splits of one table as one comparison: what `compare()` gives where it draws more than one."""

from dataclasses import dataclass
from html import escape
from typing import Any

from fusecat.pipeline.report.comparison import Comparison
from fusecat.pipeline.report.pooled import HEADINGS, lines, page
from fusecat.pipeline.report.pooling import Pool


@dataclass(frozen=True)
class OverSplits:
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

    def _repr_html_(self) -> str:
        cells = [f"<tr>{''.join(f'<th>{escape(text)}</th>' for text in HEADINGS)}</tr>"]
        cells += [f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in line)}</tr>" for line in lines(self.pool)]
        said = "".join(f"<p>{escape(text)}</p>" for text in (self.verdict, *self.left_out))
        return f"<table>{''.join(cells)}</table>{said}"

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        cells = [list(HEADINGS), *lines(self.pool)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        shown = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells]
        return "\n".join([*shown, self.verdict, *self.left_out])
