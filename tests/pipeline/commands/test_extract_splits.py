"""`extract --splits`, and `fuse --splits` after it: what learns does so on each split, what does not is computed once."""

import json
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from fusecat.cache.store import FeatureCache
from fusecat.cache.table import FeatureTable
from fusecat.pipeline.cli import cli
from fusecat.stages.errors import UsageError
from fusecat.stages.extraction import extract as stage_one
from fusecat.stages.extraction import frozen
from fusecat.stages.workspace import Workspace
from tests.conftest import read_table
from tests.pipeline.commands.test_extract import FEATURE, PRESET, interrupted, words
from tests.pipeline.commands.test_extract import run as run_alone
from tests.stages.extraction.test_shipped_presets import text_folder

FEATURES = [FEATURE, "frozen.title", "tfidf.title"]


def run(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


def done(*words: object) -> str:
    result = run(*words)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


@pytest.fixture(scope="module")
def preset(sample_cut: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network to be fine-tuned, TF-IDF, and one whose weights stay as they are."""
    folder = tmp_path_factory.mktemp("preset")
    texts = [row["Title"] for row in read_table(sample_cut / "X_train.tsv")]
    path = folder / "three.toml"
    path.write_text(
        f'{PRESET.read_text(encoding="utf-8")}reference = false\n[networks.frozen]\nlibrary = "transformers"\nmodel = "bert"\n'
        f'weights = "{text_folder(folder / "bert", "bert", texts)}"\nfields = ["title"]\nlength = 24\n'
        "[networks.frozen.training]\nfreeze = true\nepochs = 2\nlearning_rate = 0.05\n",
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module")
def extracting(sample_cut: Path, preset: Path) -> tuple[Any, ...]:
    networks = ("--networks", "flaubert,frozen,tfidf", "--fields", "title", "--epochs", 1, "--device", "cpu")
    return ("extract", sample_cut, "--preset", preset, *networks)


@pytest.fixture(scope="module")
def study(extracting: tuple[Any, ...], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, list[str]]:
    """Three splits of the cut; what was said, and which networks gave vectors."""
    place, seen = tmp_path_factory.mktemp("splits") / "w", list[str]()
    embed, encode = stage_one.embed, frozen.encode

    def embedding(network: Any, *more: Any) -> int:
        seen.append(f"{more[-1].feature} {type(network).__name__}")
        return embed(network, *more)

    def encoding(*given: Any) -> Any:
        seen.append(f"{given[3].feature} {given[4]}")
        return encode(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage_one, "embed", embedding)
        patch.setattr(frozen, "encode", encoding)
        said = done(*extracting, "--splits", 3, "--workspace", place)
    return place, said, seen


def tables(place: Path) -> list[FeatureTable]:
    return [FeatureCache(root / "features").table() for root in (place, place / "splits" / "2", place / "splits" / "3")]


def test_the_first_split_is_what_it_is_alone_and_each_other_what_its_seed_gives(
    study: tuple[Path, str, list[str]], extracting: tuple[Any, ...], tmp_path: Path
) -> None:
    place, said, _ = study
    for number, seed in ((1, 2020), (2, 2021)):
        own, alone = place if number == 1 else place / "splits" / str(number), tmp_path / str(seed)
        done(*extracting, "--split-seed", seed, "--workspace", alone)
        assert (own / "split.json").read_bytes() == (alone / "split.json").read_bytes()
        # TF-IDF and fine-tuning have seen this split's train alone; what is frozen learns its classifier from stored vectors
        for name in FEATURES if number == 1 else (FEATURE, "tfidf.title"):
            assert (own / "features" / f"{name}.h5").read_bytes() == (alone / "features" / f"{name}.h5").read_bytes(), name
        assert f"split {number} of 3, seed {seed}: train " in said
        assert json.loads((own / "study.json").read_text())["split"]["seed"] == seed
    mine, theirs = (FeatureCache(root / "features").table(["frozen.title"]) for root in (place / "splits" / "2", alone))
    one, other = (each.features["frozen.title"] for each in (mine, theirs))
    np.testing.assert_array_equal(one.embedding, other.embedding)
    assert np.abs(np.asarray(one.logits) - np.asarray(other.logits)).max() < 0.02
    assert f"next: fusecat fuse --splits 3 --workspace {place}" in said


def test_groups_lie_in_one_part_and_what_learns_differs_between_splits(study: tuple[Path, str, list[str]]) -> None:
    found = tables(study[0])
    tied = json.loads((study[0] / "split.json").read_text())["tied"]
    assert tied and len({each.split.tobytes() for each in found}) == 3
    for each in found:
        part = dict(zip(each.ids.tolist(), each.split.tolist(), strict=True))
        sides: dict[int, set[int]] = {}
        for identity, group in tied.items():
            sides.setdefault(group, set()).add(part[identity])
        assert all(len(parts) == 1 for parts in sides.values())
    for name in (FEATURE, "tfidf.title"):
        assert len({each.features[name].embedding.tobytes() for each in found}) == 3, name


def test_vectors_of_a_frozen_network_are_computed_once(study: tuple[Path, str, list[str]]) -> None:
    place, _, seen = study
    about = [line.removeprefix("frozen.title ") for line in seen if line.startswith("frozen.title")]
    assert about == ["encoding for the classifier", "TextNetwork", "Classifier", "Classifier"]
    features = [each.features["frozen.title"] for each in tables(place)]
    assert len({each.embedding.tobytes() for each in features}) == 1
    assert len({np.asarray(each.logits).tobytes() for each in features}) == 3
    recipe = FeatureCache(place / "splits" / "2" / "features").recipe("frozen.title")
    assert recipe["vectors"] == stage_one.SHARED and "vectors" not in FeatureCache(place / "features").recipe("frozen.title")


def test_a_second_time_computes_nothing_and_a_plan_tells_the_whole(
    study: tuple[Path, str, list[str]], extracting: tuple[Any, ...], tmp_path: Path
) -> None:
    before = {path: path.read_bytes() for path in study[0].rglob("*.h5")}
    said = done(*extracting, "--splits", 3, "--workspace", study[0])
    assert said.count("already there, reused") == 9 == len(before)
    assert {path: path.read_bytes() for path in before} == before
    planned = done(*extracting, "--splits", 3, "--dry-run", "--workspace", study[0])
    assert "all 3 workspaces:\n0 of 9 features to make" in planned
    planned = done(*extracting, "--splits", 2, "--dry-run", "--workspace", tmp_path / "new")
    assert "all 2 workspaces:\n6 of 6 features to make" in planned and ", then 0 encoded," in planned
    assert not [*(tmp_path / "new").rglob("*.h5"), *(tmp_path / "new").rglob("split.json")]


def test_a_split_of_ones_own_is_refused_in_a_line(extracting: tuple[Any, ...], tmp_path: Path) -> None:
    told = run(*extracting, "--splits", 2, "--split-column", "part", "--workspace", tmp_path / "w")
    assert isinstance(told.exception, UsageError) and "--split-column" in str(told.exception)
    assert not (tmp_path / "w").exists()


def test_fusion_over_these_splits_chooses_in_each_and_a_report_tells_them(study: tuple[Path, str, list[str]]) -> None:
    place = study[0]
    fusing = ("fuse", "--seeds", 1, "--settings", "thesis", "--workspace", place)
    pooled = json.loads(CliRunner().invoke(cli, [*map(str, (*fusing, "--splits", 3)), "--json"]).stdout)
    assert (pooled["over"], pooled["units"]) == ("splits", 3) and "3 splits of one catalogue (seeds 2020, 2021, 2022)" in (
        pooled["verdict"]
    )
    names = {row["strategy"] for row in pooled["rows"]}
    assert {"baseline/average", f"unimodal/{FEATURE}", "unimodal/frozen.title", "late/mean"} <= names
    assert {name.partition("/")[0] for name in pooled["left_out"]} == {"hierarchical"}  # one network, one field
    assert sum(row["chosen"] for row in pooled["rows"]) == 3
    assert json.loads(CliRunner().invoke(cli, ["report", str(place), "--json"]).stdout)["rows"] == pooled["rows"]
    runs = {path: path.stat().st_mtime_ns for path in (place / "splits" / "2").rglob("run.json")}
    done("fuse", "--seeds", 1, "--settings", "thesis", "--workspace", place / "splits" / "2")
    assert {path: path.stat().st_mtime_ns for path in (place / "splits" / "2").rglob("run.json")} == runs
    told = run(*fusing, "--splits", 4)
    assert isinstance(told.exception, UsageError) and f"{FEATURE} depends on the split" in str(told.exception)
    assert f"{place / 'splits' / '4'} does not have it" in str(told.exception)
    four = json.loads(
        CliRunner().invoke(cli, [*map(str, (*fusing, "--splits", 4)), "--features", "frozen.title", "--json"]).stdout
    )
    assert four["units"] == 4


@pytest.mark.parametrize(
    ("network", "changed", "told"),
    [
        ("tfidf", ("--split-seed", 7), "of other products, labels or parts than split 2 .*run again: fusecat .*--splits 2$"),
        ("flaubert", ("--seed", 7), "made otherwise in {second} than in {first} \\(training.seed\\)"),
    ],
    ids=["another first split", "other settings"],
)
def test_splits_that_do_not_belong_together_are_refused(
    network: str, changed: tuple[Any, ...], told: str, extracting: tuple[Any, ...], tmp_path: Path
) -> None:
    quick = [network if word == "flaubert,frozen,tfidf" else word for word in (*extracting, "--workspace", tmp_path)]
    done(*quick, "--splits", 2)
    done(*quick, *changed)
    refused = run("fuse", "--splits", 2, "--seeds", 1, "--workspace", tmp_path).exception
    assert isinstance(refused, UsageError)
    first, second = (re.escape(str(place)) for place in (tmp_path, tmp_path / "splits" / "2"))
    assert re.search(told.format(first=first, second=second), str(refused))


def test_an_interrupted_split_goes_on_and_ends_with_the_same_files(sample_cut: Path, tmp_path: Path) -> None:
    more = ("--epochs", 8, "--splits", 2)
    place, whole = tmp_path / "w", tmp_path / "whole"
    returned, _ = interrupted(words(sample_cut, place, *more), place / "splits" / "2", signal.SIGKILL)
    assert returned == -signal.SIGKILL and Workspace(place).split.exists()
    again = run_alone(words(sample_cut, place, *more))
    assert again.returncode == 0, again.stderr
    assert f"{FEATURE}: already there, reused" in again.stdout and "going on from the checkpoint of epoch" in again.stdout
    assert run_alone(words(sample_cut, whole, *more)).returncode == 0
    told = str(run("fuse", "--splits", 3, "--workspace", place).exception)
    assert f"run first: {' '.join(['fusecat', *words(sample_cut, place, '--epochs', 8)[3:]])} --splits 3; or" in told
    for part in (".", "splits/2"):
        file = Path(part) / "features" / f"{FEATURE}.h5"
        assert (place / file).read_bytes() == (whole / file).read_bytes()
