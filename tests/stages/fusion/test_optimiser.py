"""Steps by layers: along the gradient, at AdamW's pace."""

import itertools

import pytest
import torch

from fusecat.stages.fusion.build_head import build_head
from fusecat.stages.fusion.fit import groups
from fusecat.stages.fusion.fit_settings import THESIS, FitSettings, Moments, Shortcut
from fusecat.stages.fusion.optimiser import optimiser_of
from fusecat.stages.fusion.strategy import Strategy
from tests.stages.fusion.synthetic import SEVEN


def moved(settings, gradients, *, stacked=False, shape=(3, 4)):
    weight = torch.nn.Parameter(torch.ones(shape))
    group = {"params": [weight], "lr": 0.1, "by_layer": settings.moments is Moments.LAYER}
    optimiser = optimiser_of([group], settings, stacked=stacked)
    for gradient in gradients:
        weight.grad = gradient.clone()
        optimiser.step()
    return weight.detach()


def test_a_step_goes_along_the_gradient_and_is_as_long_as_one_of_adamw():
    torch.manual_seed(0)
    gradient = torch.randn(3, 4)
    gradient[:, 1] *= 0.01
    step = 1 - moved(FitSettings(weight_decay=0.0, moments=Moments.LAYER), [gradient])
    torch.testing.assert_close(step, 0.1 * gradient / gradient.square().mean().sqrt(), rtol=1e-4, atol=1e-6)
    whole = 1 - moved(FitSettings(weight_decay=0.0, moments=Moments.WEIGHT), [gradient])
    torch.testing.assert_close(step.norm(), whole.norm(), rtol=1e-4, atol=1e-5)
    assert whole[:, 1].abs().min() > 0.09 > step[:, 1].abs().max()


@pytest.mark.parametrize("decay", [0.01, 0.3])
def test_where_all_gradients_of_a_layer_are_as_large_it_is_adamw(decay):
    torch.manual_seed(0)
    gradients = [size * torch.randn(3, 4).sign() for size in (1.0, 0.3, 2.0)]
    layers, weights = (moved(FitSettings(weight_decay=decay, moments=kind), gradients) for kind in ("layer", "weight"))
    torch.testing.assert_close(layers, weights, rtol=1e-4, atol=1e-6)


def test_stacked_heads_do_not_know_of_each_other():
    torch.manual_seed(0)
    gradients = [torch.randn(2, 3, 4) * torch.tensor([1.0, 50.0])[:, None, None] for _ in range(3)]
    layers = FitSettings(moments=Moments.LAYER)
    both = moved(layers, gradients, stacked=True, shape=(2, 3, 4))
    for at in range(2):
        torch.testing.assert_close(both[at], moved(layers, [each[at] for each in gradients]))


def test_by_default_layers_measure_steps_but_not_in_what_multiplies():
    for name, kind in itertools.product(("flat/average", "flat/mlp", "flat/gated", "baseline/low-rank"), Moments):
        head = build_head(Strategy.parse(name), SEVEN, 3, FitSettings(moments=kind, shortcut=Shortcut.EVERY))
        names = {parameter: each for each, parameter in head.named_parameters()}
        for group in groups(head, dict(head.named_parameters()), FitSettings(moments=kind)):
            for parameter in group["params"]:
                plain = not head.multiplies or names[parameter] == "shortcut.weight"
                assert group["by_layer"] == (kind is Moments.LAYER or (kind is Moments.AUTO and plain)), (
                    name,
                    names[parameter],
                )


def test_weights_beside_layers_take_the_steps_of_adamw():
    torch.manual_seed(0)
    several = [torch.nn.Parameter(torch.ones(3, 4)) for _ in range(2)]
    kinds = [{"params": [each], "lr": 0.1, "by_layer": at == 1} for at, each in enumerate(several)]
    optimiser = optimiser_of(kinds, FitSettings())
    gradients = [torch.randn(3, 4) * torch.tensor([1.0, 0.1, 0.01, 1.0]) for _ in range(3)]
    for gradient in gradients:
        for each in several:
            each.grad = gradient.clone()
        optimiser.step()
    for each, kind in zip(several, (Moments.WEIGHT, Moments.LAYER), strict=True):
        torch.testing.assert_close(each.detach(), moved(FitSettings(moments=kind), gradients))


def test_records_without_a_word_of_it_are_of_adamw():
    for kind in (Moments.LAYER, Moments.AUTO):
        told = FitSettings(moments=kind)
        assert FitSettings.of(told.record()) == told and told.record()["moments"] == kind
    assert "moments" not in FitSettings(moments=Moments.WEIGHT).record() and FitSettings.exactly({}).moments is Moments.WEIGHT


def test_the_study_of_the_thesis_takes_the_steps_of_adamw():
    assert (THESIS.moments, THESIS.averaging, THESIS.shortcut) == (Moments.WEIGHT, 0, Shortcut.NONE)
