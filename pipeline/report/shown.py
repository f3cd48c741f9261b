"""What a notebook and a print show of a comparison: its table and what is said of it."""

from abc import ABC, abstractmethod
from html import escape


class Shown(ABC):
    """An answer with a `verdict`, `left_out` and a table."""

    left_out: tuple[str, ...]

    @property
    @abstractmethod
    def verdict(self) -> str:
        """The answer in sentences."""

    @abstractmethod
    def cells(self) -> list[list[str]]:
        """The table as people read it, its head first."""

    def _repr_html_(self) -> str:
        head, *lines = self.cells()
        cells = [f"<tr>{''.join(f'<th>{escape(text)}</th>' for text in head)}</tr>"]
        cells += [f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in line)}</tr>" for line in lines]
        said = "".join(f"<p>{escape(text)}</p>" for text in (self.verdict, *self.left_out))
        return f"<table>{''.join(cells)}</table>{said}"

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        lines = self.cells()
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        shown = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines]
        return "\n".join([*shown, self.verdict, *self.left_out])
