"""Laws of every head: the formula by hand, masks, order of features and products, gradients."""

import numpy as np
import pytest
import torch

from fusecat.stages.fusion.build_head import build_head
from fusecat.stages.fusion.fit_settings import FitSettings, Shortcut
from fusecat.stages.fusion.strategy import THESIS_MERGES, Strategy
from fusecat.stages.vocabulary import Architecture, Merge
from tests.stages.fusion.synthetic import SEVEN

CLASSES, PRODUCTS = 5, 9
THESIS = [Strategy(kind, final=final) for kind in (Architecture.BASELINE, Architecture.FLAT) for final in THESIS_MERGES]
THESIS += [Strategy(Architecture.HIERARCHICAL, first=first, final=final) for first in THESIS_MERGES for final in THESIS_MERGES]
FIRSTS = [Strategy(Architecture.HIERARCHICAL, first=merge, final=Merge.AVERAGE) for merge in Merge]
EVERY = [Strategy(kind, final=final) for kind in (Architecture.BASELINE, Architecture.FLAT) for final in Merge]
EVERY += [Strategy(Architecture.HIERARCHICAL, first=Merge.CONCATENATION, final=final) for final in Merge]
EVERY += [Strategy.parse("flat/average+dropout"), Strategy.parse("hierarchical/average/average+layers")]
EVERY = list(dict.fromkeys([*EVERY, *THESIS, *FIRSTS, Strategy(Architecture.PROBE, feature="camembert.title")]))


def named(strategies):
    return pytest.mark.parametrize("strategy", strategies, ids=lambda strategy: strategy.name)


def make(strategy, seed=0, **options):
    torch.manual_seed(seed)
    return build_head(strategy, SEVEN, CLASSES, FitSettings(**options)).eval()


def batch(head, products=PRODUCTS, seed=1):
    """Random vectors; the first product has everything, the second only its title, the third no image, the fourth nothing."""
    random = torch.Generator().manual_seed(seed)
    views = {name: torch.randn(products, SEVEN[name], generator=random) for name in head.features}
    present = {name: torch.ones(products, dtype=torch.bool) for name in head.features}
    for name in head.features:
        if not name.endswith("title"):
            present[name][1] = False
        if name.endswith("image"):
            present[name][2] = False
        present[name][3] = False
        if name.endswith(".description"):
            present[name][4:6] = False
    return views, present


def combine(kind, pairs):
    """The three merges of the study in numpy, for one product: pairs of vector and presence."""
    here = [vector if there else np.zeros_like(vector) for vector, there in pairs]
    if kind == Merge.CONCATENATION:
        return np.concatenate(here)
    count = sum(there for _, there in pairs)
    return sum(here) / (max(count, 1) if kind == Merge.AVERAGE else 1)


def by_hand(strategy, weights, views, present, row):
    """Logits of one product as the method's formula says, with nothing but numpy."""

    def leaf(name):
        vector = views[name][row].double().numpy()
        if name.endswith("image"):
            vector = weights["projections.se_resnext50:image.weight"] @ vector + weights["projections.se_resnext50:image.bias"]
        return vector, bool(present[name][row])

    networks = ("camembert", "flaubert")
    if strategy.architecture == Architecture.BASELINE:
        nodes = [leaf(f"{network}.title_description") for network in networks]
    elif strategy.architecture == Architecture.FLAT:
        nodes = [leaf(f"{network}.{field}") for network in networks for field in ("title", "description")]
    else:
        nodes = []
        for number, network in enumerate(networks):
            pair = [leaf(f"{network}.title"), leaf(f"{network}.description")]
            vector = combine(strategy.first, pair)
            if strategy.first == Merge.CONCATENATION:
                vector = weights[f"reductions.{number}.weight"] @ vector + weights[f"reductions.{number}.bias"]
            nodes.append((vector, pair[0][1] or pair[1][1]))
    merged = combine(strategy.final, [*nodes, leaf("se_resnext50.image")])
    return weights["classifier.weight"] @ merged + weights["classifier.bias"]


@named(THESIS)
@pytest.mark.parametrize("way", ["literal", "collapsed"])
def test_logits_are_the_formula_of_the_method(strategy, way):
    head = make(strategy)
    random = np.random.default_rng(3)
    weights = {name: random.normal(size=tensor.shape) for name, tensor in head.state_dict().items()}
    head.load_state_dict({name: torch.from_numpy(value).float() for name, value in weights.items()})
    views, present = batch(head)
    logits = getattr(head, way)(views, present).detach().numpy()
    expected = np.stack([by_hand(strategy, weights, views, present, row) for row in range(PRODUCTS)])
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


@named(THESIS)
def test_a_head_has_no_more_weights_than_its_formula(strategy):
    width = SEVEN["camembert.title"]
    nodes = {Architecture.BASELINE: 3, Architecture.FLAT: 5, Architecture.HIERARCHICAL: 3}[strategy.architecture]
    merged = width * (nodes if strategy.final == Merge.CONCATENATION else 1)
    expected = (SEVEN["se_resnext50.image"] + 1) * width + (merged + 1) * CLASSES
    expected += 2 * (2 * width + 1) * width if strategy.first == Merge.CONCATENATION else 0
    assert sum(parameter.numel() for parameter in make(strategy).parameters()) == expected


@named([strategy for strategy in EVERY if strategy.architecture == Architecture.HIERARCHICAL])
def test_descriptions_matter_to_every_hierarchical_head(strategy):
    head = make(strategy)
    views, present = batch(head)
    before = head(views, present)
    zeroed = {name: torch.zeros_like(view) if name.endswith(".description") else view for name, view in views.items()}
    assert (head(zeroed, present)[0] - before[0]).abs().max() > 1e-4


@named(EVERY)
def test_permuting_products_permutes_logits(strategy):
    head = make(strategy)
    views, present = batch(head)
    order = torch.randperm(PRODUCTS, generator=torch.Generator().manual_seed(5))
    moved = head({name: view[order] for name, view in views.items()}, {name: mask[order] for name, mask in present.items()})
    torch.testing.assert_close(moved, head(views, present)[order], rtol=1e-4, atol=1e-5)


@named(EVERY)
def test_rows_do_not_mix(strategy):
    head = make(strategy)
    views, present = batch(head)
    before = head(views, present)
    for view in views.values():
        view[0] += 3
    after = head(views, present)
    torch.testing.assert_close(after[1:], before[1:], rtol=1e-4, atol=1e-5)
    assert (after[0] - before[0]).abs().max() > 1e-4


@named(EVERY)
def test_the_order_of_features_is_irrelevant(strategy):
    head = make(strategy)
    views, present = batch(head)
    turned = dict(reversed(views.items())), dict(reversed(present.items()))
    torch.testing.assert_close(head(*turned), head(views, present), rtol=0, atol=0)
    torch.manual_seed(0)
    other = build_head(strategy, dict(reversed(SEVEN.items())), CLASSES, FitSettings()).eval()
    torch.testing.assert_close(other(views, present), head(views, present), rtol=0, atol=0)


@named(EVERY)
def test_every_parameter_gets_a_gradient(strategy):
    head = make(strategy).train()
    head(*batch(head, products=64)).logsumexp(1).sum().backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@named(EVERY)
def test_an_absent_field_has_no_influence(strategy):
    head = make(strategy)
    views, present = batch(head)
    garbage = {name: torch.where(present[name][:, None], view, 1e4) for name, view in views.items()}
    torch.testing.assert_close(head(garbage, present), head(views, present), rtol=1e-4, atol=1e-5)
    assert head(views, present).isfinite().all()


@named(
    [strategy for strategy in EVERY if strategy.final == Merge.AVERAGE and strategy.architecture != Architecture.HIERARCHICAL]
)
def test_the_average_of_equals_is_itself(strategy):
    head = make(strategy)
    vector = torch.randn(4, SEVEN["camembert.title"])
    stack = torch.stack([vector] * 3, dim=1)
    torch.testing.assert_close(head.final(stack, torch.tensor([[True, False, True]] * 4)), vector)


@named(THESIS)
def test_collapsed_training_is_literal_training(strategy):
    finals = []
    for way in ("literal", "collapsed"):
        head = make(strategy).train()
        optimiser = torch.optim.AdamW(head.parameters(), lr=1e-2)
        for step in range(100):
            views, present = batch(head, products=32, seed=step)
            loss = torch.nn.functional.cross_entropy(getattr(head, way)(views, present), torch.arange(32) % CLASSES)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        finals.append(head.literal(*batch(head, products=32, seed=999)))
    torch.testing.assert_close(finals[0], finals[1], rtol=0, atol=1e-4)


@named(EVERY)
@pytest.mark.parametrize("way", ["literal", "forward"])
def test_two_readings_of_the_same_vectors_are_one_pass(strategy, way):
    head = make(strategy).eval()
    views, _ = batch(head)
    masks = [{name: torch.rand(PRODUCTS) > share for name in views} for share in (0.2, 0.5)]
    say = getattr(head, way)
    both = say(views, {name: torch.cat([mask[name] for mask in masks]) for name in views})
    torch.testing.assert_close(both, torch.cat([say(views, mask) for mask in masks]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", list(Shortcut), ids=str)
@named(EVERY)
def test_a_shortcut_adds_what_each_present_feature_says_alone(strategy, kind):
    head, plain = make(strategy, shortcut=kind), make(strategy, shortcut=Shortcut.NONE)
    expected = strategy.merge is not None and (kind is Shortcut.EVERY or (kind is Shortcut.MULTIPLYING and head.multiplies))
    assert (head.shortcut is not None) == expected
    views, _ = batch(head)
    present = {name: torch.rand(2 * PRODUCTS) > 0.4 for name in views}
    torch.testing.assert_close(head(views, present), plain(views, present), rtol=0, atol=0)
    if head.shortcut is None:
        return
    torch.nn.init.normal_(head.shortcut.weight)
    known = torch.cat([torch.cat([views[name]] * 2) * present[name][:, None] for name in head.features], dim=1)
    added = head(views, present) - plain(views, present)
    torch.testing.assert_close(added, known @ head.shortcut.weight.T, rtol=1e-3, atol=1e-3)


def test_a_missing_feature_is_named():
    head = make(THESIS[0])
    views, present = batch(head)
    del views["se_resnext50.image"]
    with pytest.raises(ValueError, match=r"no vectors for se_resnext50\.image"):
        head(views, present)


@pytest.mark.parametrize(
    "name",
    [
        "baseline/tokens",
        "baseline/gated",
        "baseline/highway",
        "hierarchical/tokens/average",
        "hierarchical/gated/average",
        "hierarchical/average/tokens",
    ],
)
def test_what_lies_before_a_deep_merge_learns_through_a_last_layer_of_ordinary_size(name):
    assert torch.equal(make(Strategy.parse(name)).classifier.weight, make(Strategy.parse(name), initial=1.0).classifier.weight)


def test_any_other_last_layer_begins_at_a_tenth():
    small, whole = (make(Strategy.parse("baseline/average"), initial=initial).classifier.weight for initial in (0.1, 1.0))
    assert torch.allclose(small, whole / 10)
