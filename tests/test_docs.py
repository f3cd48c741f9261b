"""The pages cannot rot: short, linked, their commands exist, their Python runs, and the site is built without a warning."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusecat.pipeline.cli import COMMANDS, cli
from fusecat.stages.fusion.estimator import FusionClassifier
from fusecat.stages.vocabulary import Architecture, Late, Merge, Variant
from tests.readme_tree import DOCS, ROOT
from tests.test_readme import commands_in

PAGES = sorted(DOCS.rglob("*.md"))
NAMES = [path.relative_to(DOCS).as_posix() for path in PAGES]
LONGEST = 1500  # words: a page that is read in ten minutes
FILES = ("changelog.md",)  # grows by its nature


RUN = {"vectors.md": 3, "scale.md": 1, "prediction.md": 2, "extending.md": 3}
"""Python examples per page: the first two are run below, the others by test_readme.py and test_extending.py."""


def text_of(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    """The fenced pieces of code of a page."""
    return re.findall(rf"^```{language}[^\n]*\n(.*?)^```", text_of(name), flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in FILES])
def test_no_page_is_long(name: str) -> None:
    words = [word for word in text_of(name).split() if any(map(str.isalnum, word))]  # not the bars of tables
    assert len(words) <= LONGEST


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_somewhere(name: str) -> None:
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", text_of(name)):
        assert (DOCS / name).parent.joinpath(link).exists(), link


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith(("files/", "commands/"))])
def test_every_command_and_flag_exists(name: str) -> None:
    commands_in(text_of(name))


def test_the_navigation_lists_every_page() -> None:
    listed = re.findall(r"[\w/.-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert sorted(listed) == sorted(NAMES)


def test_the_table_of_commands_is_complete() -> None:
    assert set(re.findall(r"commands/(\w+)\.md", text_of("commands.md"))) == set(COMMANDS)


def test_every_strategy_is_named() -> None:
    lines = [line for line in text_of("strategies.md").splitlines() if line.startswith("|")]
    assert {word for line in lines for word in re.findall(r"`([a-z-]+)[/`]", line)} >= {*Architecture, *Merge, *Late}
    assert all(f"--variant {variant}" in text_of("strategies.md") for variant in Variant)


def test_the_comparison_of_ones_own_vectors_runs(capsys: pytest.CaptureFixture[str]) -> None:
    exec(blocks("vectors.md", "python")[0], {})
    assert "baseline/average" in capsys.readouterr().out


def test_the_estimator_of_the_example_is_one() -> None:
    scope: dict[str, object] = {}
    exec(blocks("vectors.md", "python")[1], scope)
    model = scope["model"]
    assert isinstance(model, FusionClassifier)
    random = np.random.default_rng(2)
    labels = np.arange(90) % 3
    columns = random.normal(size=(90, 2816)).astype(np.float32) + labels[:, None]
    assert (model.fit(columns, labels).predict(columns) == labels).mean() > 0.9


def test_every_python_example_is_run_by_a_test() -> None:
    assert {name: count for name in NAMES if (count := len(blocks(name, "python")))} == RUN


@pytest.mark.filterwarnings("default")  # of the cluster's own sockets
def test_the_example_on_a_cluster_and_the_one_that_reads_features_back_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distributed = pytest.importorskip("distributed")
    monkeypatch.chdir(tmp_path)
    random, labels = np.random.default_rng(3), np.arange(120) % 3
    rows = [f"p{at},{label}" for at, label in enumerate(labels)]
    Path("labels.csv").write_text("\n".join(["id,label", *rows]), encoding="utf-8")
    for name in ("title", "image"):
        np.savez(name, embedding=random.normal(size=(120, 4)) + labels[:, None], id=[f"p{at}" for at in range(120)])
        given = ["--name", "words", "--field", name, "--vectors", f"{name}.npz", "--labels", "labels.csv"]
        cli.main(["import", *given, "--fitted-on", "none"], standalone_mode=False)
    monkeypatch.setattr("fusecat.stages.fusion.parallel.WORTH_SPREADING", 0.0)
    (example,) = blocks("scale.md", "python")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        for written, here in (("scheduler:8786", cluster.scheduler_address), ("/shared/study", "workspace"), ("32", "2")):
            assert written in example
            example = example.replace(written, here)
        exec(example.replace('"fuse",', '"fuse", "--seeds", "2", "--architecture", "baseline",'), {})
    assert len(list(Path("workspace/runs").glob("*/*"))) > 2
    scope: dict[str, Any] = {}
    exec(blocks("vectors.md", "python")[2], scope)
    assert {name: len(feature.embedding) for name, feature in scope["table"].features.items()} == {
        "words.title": 120,
        "words.image": 120,
    }


def test_the_site_is_built_without_a_warning_and_asks_nobody_for_anything(tmp_path: Path) -> None:
    pytest.importorskip("mkdocstrings")
    pytest.importorskip("material")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False, env=environment)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "compare" in (tmp_path / "site" / "python.html").read_text(encoding="utf-8")
    for page in (tmp_path / "site").rglob("*.html"):
        asked = re.findall(r'<(?:script|img|link|iframe)\b[^>]*(?:src|href)="(https?:[^"]+)"', page.read_text(encoding="utf-8"))
        assert not asked, (page.name, asked)
