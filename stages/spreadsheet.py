"""Texts of others in a CSV that people open in a spreadsheet, which would run some of them as formulas."""

import re
from typing import Any

_FORMULA = re.compile(r"(?!-\d+([.,]\d+)?\Z)[=+\-@\t\r\n＝＋－＠]")
"""How a formula begins (OWASP, "CSV injection"); a negative number begins so too, and does nothing."""


def is_formula(cell: Any) -> bool:
    """Whether a spreadsheet may take the cell for one."""
    return isinstance(cell, str) and _FORMULA.match(cell) is not None


def harmless(cell: Any) -> Any:
    """The cell with an apostrophe before it where a spreadsheet would take it for a formula, and nothing for None."""
    return f"'{cell}" if is_formula(cell) else "" if cell is None else cell
