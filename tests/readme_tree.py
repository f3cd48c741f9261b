"""The pages of docs/ that the code itself writes: every file with its promise, every command with its help.

`python -m tests.readme_tree` writes them.
"""

import ast
import copy
import re
from pathlib import Path

import click

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FOLDERS = {
    "pipeline": ("The pipeline", ("fusecat", "pipeline")),
    "input": ("Input", ("stages", "stages/catalogue", "stages/external")),
    "stage-one": ("Stage one", ("stages/extraction",)),
    "stage-two": ("Stage two and prediction", ("stages/fusion", "stages/prediction")),
    "cache": ("The cache", ("cache",)),
}
"""Page of docs/files -> title and folders; a folder that no page names belongs to the page of the one above it."""
NOTE = "<!-- Written by python -m tests.readme_tree. -->\n"


def promise(path: Path) -> str:
    """The first sentence of a module's docstring."""
    text = " ".join((ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split())
    return re.split(r"(?<=[.?!])\s", text, maxsplit=1)[0]


def tree(top: Path) -> str:
    """One line per folder and module below `top`, in alphabetical order."""
    named = {ROOT / folder for _, folders in FOLDERS.values() for folder in folders}
    lines = []
    for folder in sorted({path.parent for path in top.rglob("*.py")}):
        if next(above for above in (folder, *folder.parents) if above in named) != top:
            continue
        depth = len(folder.relative_to(top).parts)
        modules = [path for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"]
        name = folder.name if depth else folder.relative_to(ROOT).as_posix()
        lines.append(_line(depth, f"{name}/", folder / "__init__.py"))
        lines += [_line(depth + 1, path.name, path) for path in modules]
    return "\n".join(lines) + "\n"


def _line(depth: int, name: str, path: Path) -> str:
    return f"{'  ' * depth}{name:{30 - 2 * depth}}{promise(path)}"


def helped(name: str, command: click.Command, parent: click.Context) -> str:
    """The help of a command and of its subcommands."""
    command = copy.copy(command)
    command._help_option = None  # click keeps it from the first call, and a test may have called without the group's `-h`
    context = click.Context(command, parent, info_name=name, terminal_width=100)
    parts = [f"```text\n{command.get_help(context)}\n```\n"]
    if isinstance(command, click.Group):
        for sub in command.list_commands(context):
            found = command.get_command(context, sub)
            assert found is not None
            parts.append(f"\n## {name} {sub}\n{helped(sub, found, context)}")
    return "".join(parts)


def pages() -> dict[Path, str]:
    """Every page that the code writes, by its file."""
    from fusecat.pipeline.cli import COMMANDS, cli

    found = {}
    for page, (title, folders) in FOLDERS.items():
        text = "\n".join(tree(ROOT / folder) for folder in folders)
        found[DOCS / "files" / f"{page}.md"] = f"{NOTE}# {title}\n```text\n{text}```\n"
    top = click.Context(cli, info_name="fusecat", **cli.context_settings)
    for name in COMMANDS:
        command = cli.get_command(top, name)
        assert command is not None
        found[DOCS / "commands" / f"{name}.md"] = f"{NOTE}# fusecat {name}\n{helped(name, command, top)}"
    return found


if __name__ == "__main__":
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
