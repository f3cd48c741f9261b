"""The README's tree: every module with its promise, the first sentence of its docstring.

`python -m tests.readme_tree` writes it.
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- tree: written by python -m tests.readme_tree -->\n```\n", "```\n<!-- end of tree -->"
PACKAGES = ("fusecat", "pipeline", "stages", "cache")


def promise(path: Path) -> str:
    """The first sentence of a module's docstring."""
    text = " ".join((ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split())
    return re.split(r"(?<=[.?!])\s", text, maxsplit=1)[0]


def tree() -> str:
    """One line per folder and module, in alphabetical order, packages first."""
    lines = []
    for package in PACKAGES:
        for folder in sorted({path.parent for path in (ROOT / package).rglob("*.py")}):
            depth = len(folder.relative_to(ROOT).parts) - 1
            modules = [path for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"]
            lines.append(_line(depth, f"{folder.name}/", folder / "__init__.py"))
            lines += [_line(depth + 1, path.name, path) for path in modules]
    return "\n".join(lines) + "\n"


def _line(depth: int, name: str, path: Path) -> str:
    return f"{'  ' * depth}{name:{34 - 2 * depth}}{promise(path)}"


def rewritten(readme: str) -> str:
    """The README with today's tree."""
    before, rest = readme.split(BEGIN)
    return before + BEGIN + tree() + END + rest.split(END, 1)[1]


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")
