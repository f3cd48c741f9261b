"""Steps by layers: along the gradient, at AdamW's pace."""

import pytest
import torch

from fusecat.stages.fusion.fit_settings import THESIS, FitSettings, Moments
from fusecat.stages.fusion.optimiser import optimiser_of


def moved(settings, gradients, *, multiplies=False, stacked=False, shape=(3, 4)):
    weight = torch.nn.Parameter(torch.ones(shape))
    optimiser = optimiser_of([{"params": [weight], "lr": 0.1}], settings, multiplies=multiplies, stacked=stacked)
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


@pytest.mark.parametrize("multiplies", [False, True])
def test_by_default_layers_measure_steps_unless_a_merge_multiplies(multiplies):
    torch.manual_seed(0)
    gradients = [torch.randn(3, 4) * torch.tensor([1.0, 0.1, 0.01, 1.0]) for _ in range(3)]
    kind = Moments.WEIGHT if multiplies else Moments.LAYER
    found = moved(FitSettings(), gradients, multiplies=multiplies)
    assert torch.equal(found, moved(FitSettings(moments=kind), gradients, multiplies=not multiplies))
    assert not torch.allclose(found, moved(FitSettings(), gradients, multiplies=not multiplies), atol=1e-3)


def test_records_without_a_word_of_it_are_of_adamw():
    for kind in (Moments.LAYER, Moments.AUTO):
        told = FitSettings(moments=kind)
        assert FitSettings.of(told.record()) == told and told.record()["moments"] == kind
    assert "moments" not in FitSettings(moments=Moments.WEIGHT).record() and FitSettings.exactly({}).moments is Moments.WEIGHT


def test_the_study_of_the_thesis_takes_the_steps_of_adamw():
    assert (THESIS.moments, THESIS.averaging) == (Moments.WEIGHT, 0)
