"""A model, a workspace or a cache of a stranger: nothing that is read from it runs code, or leads out of it."""

import ast
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from fusecat.cache.errors import FusecatError
from fusecat.pipeline.cli import main
from fusecat.stages.errors import ModelError, UsageError
from fusecat.stages.fusion import load_head
from fusecat.stages.fusion.estimator import FusionClassifier
from fusecat.stages.fusion.fit_settings import FitSettings
from fusecat.stages.fusion.fuse import fuse
from fusecat.stages.fusion.runs import Runs
from fusecat.stages.fusion.strategy import Strategy
from fusecat.stages.prediction import classify, load_model
from fusecat.stages.prediction.refit import refit
from fusecat.stages.workspace import Workspace
from tests.faults.strangers import EVIL, HONEST, bring, edit, image_model, imported, model_folder, unseal

ROOT = Path(__file__).parents[2]
QUICK = FitSettings(epochs=2, steps=0)
OWN = "honest_for_test:Halves"
PAYLOAD = "evil_for_test.payload:X"
NAMES = ("baseline/average", f"baseline/{OWN}", "late/vote", "late/selection", "late/lightgbm", "late/mean")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The current folder holds an honest merge and an evil one; the latter must not have been run when the test ends."""
    (tmp_path / "honest_for_test.py").write_text(HONEST, encoding="utf-8")
    (tmp_path / "evil_for_test").mkdir()
    (tmp_path / "evil_for_test" / "payload.py").write_text(EVIL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def nobody(*_: object) -> str:
        pytest.fail("somebody was asked on stdin")

    monkeypatch.setattr("builtins.input", nobody)
    yield tmp_path
    assert not list(tmp_path.rglob("was run"))
    assert not [name for name in sys.modules if name.startswith(("evil_for_test", "transformers_modules"))]


@pytest.fixture(scope="module")
def fused(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of brought vectors in which a merge of one's own is fused too."""
    root = tmp_path_factory.mktemp("fused")
    (root / "honest_for_test.py").write_text(HONEST, encoding="utf-8")
    sys.path.insert(0, str(root))
    try:
        made = imported(root)
        fuse(made, [Strategy.parse(name, [OWN]) for name in NAMES], Runs(root / "runs"), QUICK, seeds=1, processes=1)
    finally:
        sys.path.remove(str(root))
    (root / "given").mkdir()
    (root / "given" / "options.json").write_text(json.dumps(bring(root / "given", made)), encoding="utf-8")
    return root


@pytest.fixture
def workspace(fused: Path, here: Path) -> Path:
    """A copy of it that a test may spoil."""
    return Path(shutil.copytree(fused, here / "workspace", ignore=shutil.ignore_patterns("*.py", "__pycache__")))


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run a command; returns its exit code and what it printed, which is one line where it failed."""

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["fusecat", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        code, printed = int(ended.value.code or 0), capsys.readouterr()
        if not code:
            return 0, printed.out
        assert printed.err.count("\n") == 1 and printed.err.startswith("error: "), printed.err
        return code, printed.err

    return run


def given(workspace: Path) -> list[str]:
    """The options that bring the vectors of the products."""
    options: list[str] = json.loads((workspace / "given" / "options.json").read_text(encoding="utf-8"))
    return options


def poison(workspace: Path) -> None:
    """Give the run `baseline/average` and all that speaks of it the name of code."""
    evil = f"baseline/{PAYLOAD}"
    old, new = (workspace / "runs" / name / "seed-1" for name in ("baseline/average", evil))
    new.parent.mkdir()
    os.replace(old, new)
    edit(new / "head.json", strategy=evil)
    edit(new / "run.json", strategy=evil, final=PAYLOAD)
    for ensemble in ("late/vote", "late/selection"):
        edit(workspace / "runs" / ensemble / "seed-1" / "head.json", members=[f"../../../{evil}/seed-1"])


def test_a_merge_that_a_workspace_names_is_run_by_no_command(workspace, here, call) -> None:
    poison(workspace)
    where, evil = ("--workspace", workspace), f"baseline/{PAYLOAD}"
    for command in (
        ("predict", *given(workspace)),
        ("export", here / "model"),
        ("refit",),
    ):
        for strategy in (evil, "late/vote", "late/selection"):
            code, told = call(*command, *where, "--strategy", strategy)
            assert code == 2 and f"--merge {PAYLOAD}" in told and str(workspace) in told, (command, strategy, told)
        # another merge that is named allows no more than itself
        assert call(*command, *where, "--strategy", evil, "--merge", OWN)[0] == 2
    tuned = workspace / "tuning" / "baseline" / f"{PAYLOAD}.json"
    tuned.parent.mkdir(parents=True)
    tuned.write_text(json.dumps({"strategy": evil, "settings": {}}), encoding="utf-8")
    assert call("report", *where)[0] == 0
    assert call("report", *where, "--shareable", "--json")[0] == 0
    fit = ("--fusion", "average", "--architecture", "baseline")
    assert call("fuse", *where, *fit, "--seeds", "1", "--tuned", "--json")[0] == 0
    assert call("tune", *where, *fit, "--trials", "1", "--json")[0] == 0
    assert call("cache", "ls", *where)[0] == 0


def test_a_merge_that_a_refit_or_a_model_names_is_not_run(workspace, here, call) -> None:
    where = ("--workspace", workspace)
    assert call("refit", *where, "--strategy", "baseline/average")[0] == 0
    assert call("export", here / "model", *where, "--strategy", "baseline/average")[0] == 0
    assert call("predict", *where, "--model", here / "model", *given(workspace))[0] == 0
    evil = f"baseline/{PAYLOAD}"
    edit(workspace / "refit" / "seed-1" / "head.json", strategy=evil)
    assert "--merge" in call("predict", *where, "--refit", *given(workspace))[1]
    edit(workspace / "refit" / "refit.json", strategy=evil)
    assert call("predict", *where, "--refit", *given(workspace))[0] == 4
    for path, changed in ((here / "model/heads/seed-1/head.json", {}), (here / "model/model.json", {})):
        edit(path, strategy=evil, **changed)
        code, told = call("predict", *where, "--model", here / "model", *given(workspace))
        assert code == 2 and f"--merge {PAYLOAD}" in told and "head.json" in told
    with pytest.raises(UsageError, match=r"merges=\['evil_for_test"):
        load_model(here / "model")
    with pytest.raises(UsageError, match=r"merges=\['evil_for_test"):
        classify(here / "model", here, merges=[OWN])


def test_an_estimator_that_was_read_runs_no_merge_that_is_not_named(here) -> None:
    random = np.random.default_rng(0)
    columns, labels = random.normal(size=(60, 8)), np.arange(60) % 3
    fitted = FusionClassifier(f"baseline/{OWN}", epochs=2).fit(columns, labels)  # the caller's own words
    folder = fitted.save(here / "estimator")
    with pytest.raises(UsageError, match=f"--merge {OWN}"):
        FusionClassifier.load(folder)
    loaded = FusionClassifier.load(folder, merges=[OWN])
    np.testing.assert_array_equal(loaded.predict_proba(columns), fitted.predict_proba(columns))
    edit(folder / "head.json", strategy=f"baseline/{PAYLOAD}")
    for merges in ((), [OWN], "xevil_for_test.payload:Xx"):
        with pytest.raises(UsageError, match=r"head.json: .* pass --merge"):
            FusionClassifier.load(folder, merges=merges)


def test_a_merge_of_ones_own_that_is_named_serves_everywhere_and_only_then(workspace, here, call) -> None:
    where, own = ("--workspace", workspace), f"baseline/{OWN}"
    named, strategy = ("--merge", OWN), ("--strategy", own)
    assert call("predict", *where, *strategy, *given(workspace), *named, "--output", here / "one.csv")[0] == 0
    told = call("export", here / "model", *where, *strategy, *named)[1]
    assert f"--merge {OWN}" in told.replace("\n", " ")
    model = ("--model", here / "model", "--workspace", here / "elsewhere")
    assert call("predict", *model, *given(workspace), *named, "--output", here / "two.csv")[0] == 0
    assert (here / "one.csv").read_bytes() == (here / "two.csv").read_bytes()
    assert call("refit", *where, *strategy, *named)[0] == 0
    assert call("predict", *where, "--refit", *given(workspace), *named)[0] == 0
    assert call("predict", *where, "--strategy", "late/vote", *given(workspace), *named)[0] == 0
    assert load_model(here / "model", merges=[OWN]).strategy == own
    # what one call was allowed, the next is not
    for command in (("predict", *where, *strategy), ("predict", *where, "--refit"), ("predict", *model)):
        assert call(*command, *given(workspace))[0] == 2
    for command in (("refit", *where, *strategy), ("export", here / "other", *where, *strategy)):
        assert call(*command)[0] == 2
    with pytest.raises(UsageError, match=f"pass --merge {OWN}"):
        refit(Workspace(workspace), own, [1])


def test_workers_get_the_merge_that_the_call_names(here, monkeypatch) -> None:
    monkeypatch.setattr("fusecat.stages.fusion.parallel.WORTH_SPREADING", 0.0)
    made, runs = imported(here / "workspace"), Runs(here / "workspace" / "runs")
    found = fuse(made, [Strategy.parse(f"baseline/{OWN}", None)], runs, QUICK, seeds=3, processes=2)
    assert len(found) == 3
    with pytest.raises(UsageError):
        load_head(runs.path(f"baseline/{OWN}", 3))


@pytest.mark.parametrize(
    ("members", "told"),
    [
        (["../../../../../elsewhere"], "lies outside of"),
        (["../../../../link"], "lies outside of"),
        (["/etc"], "lies outside of"),
        (["../../../baseline/link/other"], "lies outside of"),
        (["."], "no ensemble among its members"),
        (["../../../late/selection/seed-1"], "no ensemble among its members"),
        ([], "its members are none"),
        ([7], "TypeError"),
        ("baseline", "holds no trained head"),
    ],
)
def test_the_members_of_an_ensemble_lie_among_the_runs(workspace, here, call, members, told) -> None:
    run, outside = workspace / "runs" / "late" / "vote" / "seed-1", here / "elsewhere"
    shutil.copytree(workspace / "runs" / "baseline" / "average" / "seed-1", outside)
    (workspace / "link").symlink_to(outside)
    (workspace / "runs" / "baseline" / "link").mkdir()
    (workspace / "runs" / "baseline" / "link" / "other").symlink_to(outside)
    edit(run / "head.json", members=members)
    code, line = call("predict", "--workspace", workspace, "--strategy", "late/vote", *given(workspace))
    assert code == 4 and told in line and str(run) in line


def test_a_model_folder_reads_nothing_outside_of_itself(here, call) -> None:
    folder = model_folder(here / "model")
    load_model(folder)
    for name in ("heads/seed-1/head.json", "encoders/camembert.title/network.safetensors", "model.json", "encoders"):
        copy = Path(shutil.copytree(folder, here / name.replace("/", " ")))
        os.replace(copy / name, here / "moved")
        (copy / name).symlink_to(here / "moved")
        with pytest.raises(FusecatError, match=r"is a link out of .*, which is not followed"):
            load_model(copy)
        shutil.rmtree(here / "moved") if (here / "moved").is_dir() else (here / "moved").unlink()
    os.mkfifo(folder / "encoders" / "camembert.title" / "tokenizer.model")
    with pytest.raises(FusecatError, match="is neither a file nor a folder"):
        load_model(folder)


def test_export_copies_nothing_that_a_link_of_a_stranger_leads_to(workspace, here, call) -> None:
    model = load_model(model_folder(here / "model"))
    (here / "secret").write_text("mine", encoding="utf-8")
    (model.fine_tuned["camembert.title"].folder / "vocabulary.txt").symlink_to(here / "secret")
    from fusecat.stages.prediction import save_model

    with pytest.raises(FusecatError, match="is a link"):
        save_model(model, here / "copy", "a card")


AUTO_MAP = {
    "AutoConfig": "payload.X",
    "AutoModel": "payload.X",
    "AutoTokenizer": ["payload.X", "payload.X"],
}
CODE = {
    "config of a known kind": ("backbone/config.json", {"auto_map": AUTO_MAP}),
    "config of an unknown kind": ("backbone/config.json", {"auto_map": AUTO_MAP, "model_type": "payload"}),
    "config beside the tokenizer": ("config.json", {"auto_map": AUTO_MAP, "model_type": "payload"}),
    "tokenizer": ("tokenizer_config.json", {"auto_map": AUTO_MAP}),
    "tokenizer, the old way": ("tokenizer_config.json", {"auto_map": ["payload.X", None]}),
    "tokenizer of an unknown class": ("tokenizer_config.json", {"auto_map": AUTO_MAP, "tokenizer_class": "PayloadTokenizer"}),
    "a network as the tokenizer": ("tokenizer_config.json", {"tokenizer_class": "AutoModel"}),
    "the door as the tokenizer": ("tokenizer_config.json", {"tokenizer_class": "AutoTokenizer"}),
    "a kernel of the hub": ("backbone/config.json", {"attn_implementation": "kernels-community/flash-attn2"}),
    "a kernel by its inner name": ("backbone/config.json", {"_attn_implementation": "kernels-community/flash-attn2"}),
}


@pytest.mark.parametrize("case", CODE)
def test_code_beside_a_saved_network_is_not_run(here, case) -> None:
    folder = model_folder(here / "model")
    name, changed = CODE[case]
    encoder = folder / "encoders" / "camembert.title"
    for place in (encoder, encoder / "backbone"):
        (place / "payload.py").write_text(EVIL, encoding="utf-8")
    if not (encoder / name).exists():
        (encoder / name).write_text("{}", encoding="utf-8")
    edit(encoder / name, **changed)
    if "tokenizer" in case and "tokenizer_class" in changed:
        edit(encoder / "backbone/config.json", auto_map=AUTO_MAP)
        shutil.copy(encoder / "backbone/config.json", encoder / "config.json")
        edit(encoder / "config.json", model_type="payload")
    (here / "new.csv").write_text("id,title\n1,un chat\n2,un chien\n", encoding="utf-8")
    try:
        assert len(classify(folder, here / "new.csv")) == 2
    except ModelError as error:
        assert str(encoder) in str(error) and "\n" not in str(error)


UNLOADED = "the network cannot be loaded"
SETTINGS = {
    "a file of weights": ("text", {"weights": "/etc/shadow"}, None),
    "an id of the hub": ("text", {"weights": "evil/model", "revision": "main"}, None),
    "a model of the hub": ("image", {"library": "timm", "model": "hf-hub:evil/model", "shape": {}}, "timm knows no model"),
    "a model of a folder": ("image", {"library": "timm", "model": "local-dir:/tmp", "shape": {}}, "timm knows no model"),
    "a checkpoint as shape": (
        "image",
        {"library": "timm", "model": "resnet18", "shape": {"checkpoint_path": "/etc/shadow"}},
        "shape.checkpoint_path is no shape",
    ),
    "pretrained as shape": (
        "image",
        {"library": "timm", "model": "resnet18", "shape": {"pretrained_cfg": {"file": "/etc/shadow"}}},
        "shape.pretrained_cfg is no shape",
    ),
    "a function as model": ("image", {"model": "datasets", "shape": {}}, "pretrainedmodels knows no model"),
    "another name": ("text", {"name": "../../../elsewhere"}, "they are those of ../../../elsewhere.title"),
    "an unknown key": ("text", {"code": "evil"}, "there is no setting 'code'"),
    "a network without end": ("image", {"shape": {"layers": [10**9, 1, 1, 1], "groups": 2, "inplanes": 8}}, "cannot be loaded"),
    "a network beyond memory": (
        "image",
        {"shape": {"layers": [1, 1, 1, 1], "groups": 1, "inplanes": 10**6}},
        "cannot be loaded",
    ),
}

_opened: list[str] = []
_watching: list[bool] = []


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if _watching and event in ("open", "socket.connect", "socket.getaddrinfo"):
        _opened.append(f"{event} {arguments[0]!r}")


sys.addaudithook(_watch)


@pytest.mark.parametrize("case", SETTINGS)
def test_the_settings_of_a_network_lead_to_no_file_and_no_hub(here, case, monkeypatch) -> None:
    monkeypatch.setattr("fusecat.stages.extraction.weights.GROWTH", 2**30)
    kind, changed, told = SETTINGS[case]
    folder = image_model(here / "model") if kind == "image" else model_folder(here / "model")
    record = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    (encoder,) = record["encoders"].values()
    encoder["settings"] |= changed
    edit(folder / "model.json", encoders=record["encoders"])
    (here / "new.csv").write_text("id,title\n1,un chat\n2,un chien\n", encoding="utf-8")
    _opened.clear()
    _watching.append(True)
    try:
        if told is None:
            assert len(classify(folder, here / "new.csv")) == 2
        else:
            with pytest.raises(FusecatError, match=told) as refused:
                for taught in load_model(folder).fine_tuned.values():
                    taught.load()
            assert str(folder) in str(refused.value) and "\n" not in str(refused.value)
    finally:
        _watching.clear()
    assert not [event for event in _opened if "shadow" in event or "evil" in event or event.startswith("socket")]


TIMM = {"model_type": "timm_wrapper", "num_classes": 3}
LEADING = {
    "a backbone of the hub": ({"model_type": "dpt", "backbone": "evil/model"}, "offline mode"),
    "a network of timm": (TIMM | {"architecture": "hf-hub:evil/model"}, "a network of timm"),
    "a file for timm": (
        TIMM | {"architecture": "resnet18", "model_args": {"checkpoint_path": "/etc/shadow"}},
        "a network of timm",
    ),
    "timm within": (
        {"model_type": "detr", "backbone_config": {"model_type": "timm_backbone", "backbone": "hf-hub:evil/model"}},
        "a network of timm",
    ),
}


@pytest.mark.parametrize("case", LEADING)
def test_the_configuration_of_a_network_leads_to_no_file_and_no_hub(here, case, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    config, told = LEADING[case]
    folder = image_model(here / "model")
    record = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    ((feature, encoder),) = record["encoders"].items()
    encoder["settings"] |= {"library": "transformers", "fields": ["image"], "shape": {}}
    edit(folder / "model.json", encoders=record["encoders"])
    backbone = folder / "encoders" / feature / "backbone"
    backbone.mkdir()
    (backbone / "config.json").write_text(json.dumps(config), encoding="utf-8")
    unseal(backbone / "config.json")
    _opened.clear()
    _watching.append(True)
    try:
        with pytest.raises(FusecatError, match=told) as refused:
            for taught in load_model(folder).fine_tuned.values():
                taught.load()
    finally:
        _watching.clear()
    assert str(folder) in str(refused.value) and "\n" not in str(refused.value)
    assert not [event for event in _opened if "shadow" in event or event.startswith("socket")]


def test_weights_that_claim_to_be_another_network_s_are_refused(here) -> None:
    """Vectors are kept under the digest of the weights: a false one would be served to whoever has the true network."""
    folder = model_folder(here / "model")
    path = folder / "encoders" / "camembert.title" / "network.safetensors"
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)
    (taught,) = load_model(folder).fine_tuned.values()
    with pytest.raises(FusecatError, match=r"network.safetensors: damaged \(not what was written\)"):
        taught.load()
    unseal(path)
    (taught,) = load_model(folder).fine_tuned.values()
    with pytest.raises(FusecatError, match=r"network.safetensors does not hold the weights that it was saved with"):
        taught.load()


def test_vectors_of_a_model_with_another_tokenizer_are_never_those_of_the_workspace(here) -> None:
    folder = model_folder(here / "model")
    (before,) = load_model(folder).fine_tuned.values()
    other = next(path for path in sorted(before.folder.glob("*.json")) if path.name.startswith("tokenizer"))
    other.write_text(other.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    (after,) = load_model(folder).fine_tuned.values()
    assert before.identity != after.identity


HEADS = {
    "a width beyond memory": ({"widths": {"camembert.title": 10**12}}, "are expected"),
    "a width that is none": ({"widths": {"camembert.title": "32"}}, "cannot be read"),
    "no widths": ({"widths": {}}, "cannot be read"),
    "settings that are none": ({"settings": {"code": 1}}, "cannot be read"),
    "another kind": ({"kind": "evil"}, "makes no sense here"),
    "another strategy": ({"strategy": "probe/other.title"}, "cannot be read"),
    "a strategy that is no text": ({"strategy": 7}, "no strategy is called '7'"),
    "a strategy without a head": ({"strategy": "late/mean"}, "has no trained head"),
    "a path as strategy": ({"strategy": "probe/.."}, "no strategy is called"),
    "other classes": ({"classes": ["a", "b", "x"]}, "or other classes"),
    "fewer classes": ({"classes": ["a", "b"]}, "are expected"),
}


@pytest.mark.parametrize("case", HEADS)
def test_a_head_that_makes_no_sense_is_refused_in_one_line(here, case) -> None:
    folder = model_folder(here / "model")
    changed, told = HEADS[case]
    edit(folder / "heads" / "seed-1" / "head.json", **changed)
    with pytest.raises(FusecatError, match=told) as refused:
        load_model(folder)
    assert str(folder / "heads" / "seed-1") in str(refused.value) and "\n" not in str(refused.value)


MODELS = {
    "no seeds": {"seeds": []},
    "a path as seed": {"seeds": ["../../x"]},
    "a path as feature": {"features": {"../x.title": {"width": 32, "storage": "float16", "logits": False}}},
    "a path as network": {"encoders": {"..": {}}},
    "another width": {"features": {"camembert.title": {"width": 31, "storage": "float16", "logits": False}}},
    "no width": {"features": {}},
    "shares of another number": {"prior": [1.0]},
    "shares that are no numbers": {"prior": [float("nan")] * 3},
    "a class twice": {"classes": ["a", "a", "b"]},
    "no class": {"classes": []},
    "names that are none": {"class_names": [1]},
    "an encoding that is none": {"reading": {"encoding": "evil_for_test.payload"}},
    "a separator of two characters": {"reading": {"separator": "ab"}},
    "columns that are none": {"reading": {"columns": {"id": 1}}},
    "pictures of no size": {"reading": {"max_image_pixels": -1}},
    "pictures without end": {"reading": {"max_image_pixels": 10**18}},
    "another format": {"format": 2},
}


@pytest.mark.parametrize("case", MODELS)
def test_a_model_that_makes_no_sense_is_refused_in_one_line(here, case) -> None:
    folder = model_folder(here / "model")
    edit(folder / "model.json", **MODELS[case])
    with pytest.raises(FusecatError, match=r"model.json: |or other classes") as refused:
        load_model(folder)
    assert str(folder) in str(refused.value) and "\n" not in str(refused.value)


def test_a_model_that_is_no_json_object_is_refused(here) -> None:
    folder = model_folder(here / "model")
    for text in ("", "[]", "7", "{", '"a"', "[" * 10**5):
        (folder / "model.json").write_text(text, encoding="utf-8")
        with pytest.raises(FusecatError, match=r"model.json: damaged"):
            load_model(folder)


def sources() -> list[Path]:
    return [path for folder in ("cache", "stages", "pipeline", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))]


def calls(path: Path) -> list[tuple[str, ast.Call]]:
    """(name, call) of every call of a file."""
    found = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    return [(getattr(node.func, "attr", getattr(node.func, "id", "")), node) for node in found]


def said(call: ast.Call, name: str) -> object:
    """The constant that a call passes under a name; None where it passes none."""
    values = [word.value for word in call.keywords if word.arg == name]
    return values[0].value if values and isinstance(values[0], ast.Constant) else None


def test_transformers_is_asked_through_one_door_that_forbids_code() -> None:
    found = [(path, call) for path in sources() for name, call in calls(path) if name in ("from_pretrained", "from_config")]
    doors = [(path, call) for path, call in found if "EfficientNet." not in ast.unparse(call.func)]  # of its own
    assert {path for path, _ in doors} == {ROOT / "stages" / "extraction" / "hub.py"}
    assert len(doors) == 6
    assert all(said(call, "trust_remote_code") is False for _, call in doors)


def test_code_is_imported_by_name_in_one_place_and_nothing_is_unpickled() -> None:
    by_name = {"import_module", "__import__", "exec", "run_path", "spec_from_file_location"}
    places = {path.relative_to(ROOT).as_posix() for path in sources() for name, _ in calls(path) if name in by_name}
    assert places == {"stages/fusion/merges/plugin.py", "pipeline/cli.py", "pipeline/installed.py"}
    loaders = [path.name for path in sources() for name, _ in calls(path) if name == "load_merge"]
    assert loaders == ["build_head.py", "feasible.py"]  # of strategies that the caller named
    for path in sources():
        text = path.read_text(encoding="utf-8")
        assert "import pickle" not in text and "allow_pickle=True" not in text and "weights_only=False" not in text, path
        for name, call in calls(path):
            owner = getattr(getattr(call.func, "value", None), "id", "")
            if (owner, name) == ("torch", "load"):
                assert said(call, "weights_only") is True, path
