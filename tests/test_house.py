"""The house: one import name, a lazy door, no circle of imports."""

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import fusecat
from fusecat.pipeline.cli import COMMANDS
from tests.readme_tree import ROOT

FOLDERS = ("cache", "pipeline", "stages")
SOURCES = [ROOT / "fusecat" / "__init__.py", ROOT / "fusecat" / "__main__.py"]
SOURCES += sorted(path for name in FOLDERS for path in (ROOT / name).rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts if parts[0] == "fusecat" else ("fusecat", *parts)).removesuffix(".__init__")


MODULES = {module_of(path): path for path in SOURCES}


def imports(node: ast.AST) -> Iterator[str]:
    """The modules of this project that a piece of code imports, in functions too; not what only type checkers see."""
    if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        assert not node.level, "imports are absolute"
        for alias in node.names:
            name = f"{node.module}.{alias.name}"
            yield name if name in MODULES else str(node.module)
    for child in ast.iter_child_nodes(node):
        yield from imports(child)


def packages(module: str) -> set[str]:
    """The packages that a module lies in: to import it is to import them."""
    parts = module.split(".")
    return {".".join(parts[:count]) for count in range(1, len(parts) + 1)}


def test_no_file_imports_itself_by_way_of_others() -> None:
    graph = {}
    for name, path in MODULES.items():
        found = set(imports(ast.parse(path.read_text(encoding="utf-8")))) & set(MODULES)
        graph[name] = found | {package for module in found for package in packages(module)} - packages(name)
    assert len(graph) > 150
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_every_import_of_this_project_is_one_of_fusecat() -> None:
    for path in SOURCES:
        found = {name.partition(".")[0] for name in imports(ast.parse(path.read_text(encoding="utf-8")))}
        assert not found & {*FOLDERS, "tests", "benchmarks"}, path


def test_no_command_imports_another() -> None:
    """Their names begin with a letter; what several share begins with an underscore."""
    commands = {name for name in MODULES if name.startswith("fusecat.pipeline.commands.") and ".commands._" not in name}
    assert len(commands) == len(COMMANDS)
    for name, path in MODULES.items():
        assert not set(imports(ast.parse(path.read_text(encoding="utf-8")))) & commands, name


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_is_not_importable_under_its_bare_name(name: str) -> None:
    done = subprocess.run([sys.executable, "-c", f"import {name}"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr.rstrip().endswith(f"ImportError: import it as fusecat.{name}")


def test_the_door_opens_on_demand() -> None:
    code = "import sys, fusecat; dir(fusecat); print({'torch', 'numpy', 'fusecat.stages', 'fusecat.cache'} & set(sys.modules))"
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout == "set()\n"
    )
    for name in fusecat.__all__:
        assert getattr(fusecat, name), name
    with pytest.raises(AttributeError, match="'compere'"):
        fusecat.compere  # noqa: B018


def test_type_checkers_see_what_the_door_gives() -> None:
    tree = ast.parse(SOURCES[0].read_text(encoding="utf-8"))
    told = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    lines = [
        node
        for node in told.body
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(("fusecat.stages", "fusecat.pipeline"))
    ]
    assert {alias.name: node.module for node in lines for alias in node.names} == fusecat._HOMES
    assert {*fusecat._HOMES, "__version__", "open_features"} == set(fusecat.__all__)


def test_a_checkout_without_links_works_too(tmp_path: Path) -> None:
    """Where git may not make links (Windows), it writes text files in their place."""
    (tmp_path / "fusecat").mkdir()
    shutil.copy(SOURCES[0], tmp_path / "fusecat")
    for name in FOLDERS:
        (tmp_path / "fusecat" / name).write_text(f"../{name}")
        (tmp_path / name).mkdir()
    for file in ("__init__.py", "vocabulary.py"):
        shutil.copy(ROOT / "stages" / file, tmp_path / "stages")
    code = "import fusecat.stages.vocabulary as found; print(found.__file__)"
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()) == tmp_path / "stages" / "vocabulary.py"
