"""Laws of every merge by itself, ours and a user's."""

import numpy as np
import pytest
import torch

from fusecat.stages.errors import UsageError
from fusecat.stages.fusion import load_head
from fusecat.stages.fusion.build_head import find_merge
from fusecat.stages.fusion.feasible import feasible
from fusecat.stages.fusion.fit_settings import FitSettings
from fusecat.stages.fusion.fuse import fuse
from fusecat.stages.fusion.limits import refuses
from fusecat.stages.fusion.merges import LinearMerge, merge_class
from fusecat.stages.fusion.merges.plugin import broken_law
from fusecat.stages.fusion.merges.tensor import TensorFusion
from fusecat.stages.fusion.runs import Runs
from fusecat.stages.fusion.strategy_plan import plan
from fusecat.stages.vocabulary import Merge
from tests.stages.fusion.synthetic import SEVEN, table

OWN = '''
import torch
from fusecat.stages.fusion.merges import MergeModule

class Halves(MergeModule):
    """First half of the mean, second half of the maximum."""
    def forward(self, vectors, present):
        mask = present.unsqueeze(-1)
        mean = (vectors * mask).sum(1) / mask.sum(1).clamp(min=1)
        half = self.width // 2
        highest = vectors.masked_fill(~mask, -1e9).amax(1).clamp(min=-10)
        return torch.cat([mean[:, :half], highest[:, half:]], dim=1)

class Leaky(MergeModule):
    def forward(self, vectors, present):
        return vectors.mean(1)

class Mixing(MergeModule):
    def forward(self, vectors, present):
        return (vectors * present.unsqueeze(-1)).sum(1).cumsum(0)

class Idle(MergeModule):
    def __init__(self, count, width):
        super().__init__(count, width)
        self.idle = torch.nn.Linear(width, width)
    def forward(self, vectors, present):
        return (vectors * present.unsqueeze(-1)).sum(1)

class Wild(MergeModule):
    def __init__(self, count, width):
        super().__init__(count, width)
        self.cold = torch.nn.Parameter(torch.ones(width))
    def forward(self, vectors, present):
        hidden = vectors * self.cold + present.unsqueeze(-1).float().log()
        return torch.where(present.any(1, keepdim=True), hidden.logsumexp(1), 0.0)

class Narrow(MergeModule):
    def forward(self, vectors, present):
        return (vectors * present.unsqueeze(-1)).sum(1)[:, :2]

class Unnamed(MergeModule):
    def forward(self, vectors, present):
        return nowhere

class Other:
    pass
'''


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("merge", list(Merge), ids=str)
def test_our_merges_obey_the_laws_that_a_users_merge_must_obey(merge, count):
    assert broken_law(merge_class(merge), count) is None


@pytest.mark.parametrize("merge", [merge for merge in Merge if issubclass(merge_class(merge), LinearMerge)], ids=str)
def test_pulling_a_layer_through_a_linear_merge_changes_nothing(merge):
    torch.manual_seed(0)
    module = merge_class(merge)(3, 6)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    present = torch.rand(20, 3) > 0.4
    vectors = torch.randn(20, 3, 6) * present.unsqueeze(-1)
    weight = torch.randn(4, module.width)
    pulled = sum(
        module.scales(present)[:, [place]] * (vectors[:, place] @ part.T) for place, part in enumerate(module.pull(weight))
    )
    torch.testing.assert_close(pulled, module(vectors, present) @ weight.T, rtol=1e-4, atol=1e-5)


def test_simple_merges_by_hand():
    vectors = torch.tensor([[[1.0, -2.0], [3.0, 5.0], [9.0, 9.0]]])
    present = torch.tensor([[True, True, False]])
    expected = {
        Merge.MAXIMUM: [3.0, 5.0],
        Merge.PRODUCT: [3.0, -10.0],
        Merge.ADDITION: [4.0, 3.0],
        Merge.AVERAGE: [2.0, 1.5],
        Merge.CONCATENATION: [1.0, -2.0, 3.0, 5.0, 0.0, 0.0],
        Merge.WEIGHTED: [2.0, 1.5],
    }
    for merge, result in expected.items():
        assert merge_class(merge)(3, 2)(vectors, present).tolist() == [result]


def test_tensor_fusion_by_hand_and_refused_with_the_count_where_it_is_too_large():
    result = TensorFusion(2, 2)(torch.tensor([[[2.0, 3.0], [5.0, 7.0]]]), torch.tensor([[True, True]]))
    assert result.tolist() == [np.outer([2, 3, 1], [5, 7, 1]).ravel().tolist()]
    wide = table({name: 768 if "image" not in name else 2048 for name in SEVEN}, products=40)
    left_out = feasible(wide, plan("tensor", wide.features)).left_out
    assert left_out["baseline/tensor"] == "tensor fusion of 3 vectors of 768 would have 454,756,609 columns"


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "mine_for_test.py").write_text(OWN, encoding="utf-8")
    return folder


def test_a_merge_of_ones_own_is_fused_stored_and_loaded(own, tmp_path, monkeypatch):
    monkeypatch.chdir(own)
    made = table(signal=2)
    chosen = feasible(made, plan("mine_for_test:Halves", made.features))
    runs = Runs(tmp_path / "runs")
    fuse(made, chosen.strategies, runs, FitSettings(epochs=10, learning_rate=1e-2), seeds=1)
    run = runs.read("hierarchical/average/mine_for_test:Halves", 1)
    assert run.scores["test"]["accuracy"] > 0.5
    found = load_head(runs.path(run.strategy, 1), merges=["mine_for_test:Halves"]).probabilities(made.features)
    np.testing.assert_allclose(found[made.rows("test")], run.probabilities["test"], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("mine_for_test:Leaky", "no influence"),
        ("mine_for_test:Mixing", "rows must not mix"),
        ("mine_for_test:Idle", "idle.weight gets none"),
        ("mine_for_test:Wild", "every gradient must be finite, .* that of cold is not"),
        ("mine_for_test:Narrow", r"\(7, 6\), not \(7, 2\)"),
        ("mine_for_test:Other", "inherits from"),
        ("mine_for_test:Absent", "no merge at"),
        ("no_such_module:Merge", "importable from"),
        ("nothing", "choose from concatenation"),
        (":Merge", "no merge at"),
        ("mine_for_test:Unnamed", "raises NameError: name 'nowhere' is not defined"),
    ],
)
def test_a_merge_that_breaks_a_law_is_refused_with_the_law(own, monkeypatch, name, reason):
    monkeypatch.chdir(own)
    with pytest.raises(UsageError, match=reason):
        find_merge(name)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import torch\ndef Merge(:\n", "line 2: SyntaxError: invalid syntax"),
        ("import torch\nMerge = nowhere\n", "line 2: NameError: name 'nowhere' is not defined"),
        ("\n\nimport no_such_module\n", "line 3: ModuleNotFoundError: No module named 'no_such_module'"),
        ("import torch\ntorch.nn.Linear()\n", "line 2: TypeError: "),
        ("import sys\nsys.exit('over')\n", "line 2: SystemExit: over"),
    ],
)
def test_a_module_that_cannot_be_imported_is_one_error_with_its_line(tmp_path, monkeypatch, code, reason):
    (tmp_path / "broken_for_test.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match=reason) as caught:
        find_merge("broken_for_test:Merge")
    place = f"'broken_for_test:Merge' cannot be imported: {tmp_path / 'broken_for_test.py'}, line "
    assert str(caught.value).startswith(place)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("merge", Merge)
def test_what_cannot_be_merged_is_known_without_the_class(merge):
    for count in (1, 2, 3, 7):
        for width in (1, 64, 128, 768, 2048):
            assert refuses(merge, count, width) == merge_class(merge).refuses(count, width)
