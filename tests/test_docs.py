"""docs/strategies.md cannot rot: it names every strategy, its commands exist, and its example of a merge is fitted."""

import re

import numpy as np
import pytest

from fusecat.pipeline.compare import compare
from fusecat.stages.fusion.estimator import FusionClassifier
from fusecat.stages.vocabulary import Architecture, Late, Merge, Variant
from tests.readme_tree import ROOT
from tests.test_readme import commands_in

TEXT = (ROOT / "docs" / "strategies.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


def test_every_strategy_is_named() -> None:
    tables = {word for line in TEXT.splitlines() if line.startswith("|") for word in re.findall(r"`([a-z-]+)[/`]", line)}
    assert tables >= {*Architecture, *Merge, *Late}
    assert all(f"--variant {variant}" in TEXT for variant in Variant)


def test_every_command_and_flag_exists() -> None:
    assert {words[0] for words in commands_in(TEXT)} == {"fuse", "tune"}


def test_the_merge_of_ones_own_is_compared_like_ours(tmp_path, monkeypatch) -> None:
    (tmp_path / "mine.py").write_text(EXAMPLES[0], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    random = np.random.default_rng(1)
    labels = random.integers(0, 3, 240)
    views = {
        name: (np.eye(3)[labels] @ random.normal(size=(3, 8)) + random.normal(size=(240, 8))) for name in ("text", "image")
    }
    found = compare(views, labels, fusion="mine:Residual", seeds=1, processes=1)
    rows = {line["strategy"]: line for line in found.table}
    assert rows["baseline/mine:Residual"]["test"] > 0.6


def test_the_estimator_of_the_example_is_one() -> None:
    scope: dict[str, object] = {}
    exec(EXAMPLES[1], scope)
    model = scope["model"]
    assert isinstance(model, FusionClassifier)
    random = np.random.default_rng(2)
    labels = np.arange(90) % 3
    columns = random.normal(size=(90, 2816)).astype(np.float32) + labels[:, None]
    assert (model.fit(columns, labels).predict(columns) == labels).mean() > 0.9


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", TEXT))
def test_every_linked_file_exists(link) -> None:
    assert (ROOT / "docs" / link).exists()
