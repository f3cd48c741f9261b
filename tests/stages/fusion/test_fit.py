"""Laws of a fit: options do what they say, extreme features do no harm, the best epoch is kept."""

import dataclasses

import numpy as np
import pytest
import torch

from benchmarks.generators import additive, multiplicative
from fusecat.cache.table import Feature, FeatureTable
from fusecat.stages.fusion.build_head import build_head
from fusecat.stages.fusion.fit import _clip, drop_fields, fit, groups, predict
from fusecat.stages.fusion.fit_data import gather
from fusecat.stages.fusion.fit_settings import DEFAULT, THESIS, FitSettings, Loss
from fusecat.stages.fusion.losses import loss_function, order
from fusecat.stages.fusion.run_strategy import run_strategy
from fusecat.stages.fusion.strategy import Strategy
from fusecat.stages.metrics import ACCURACY, LOG_LOSS, MACRO_F1
from fusecat.stages.vocabulary import Merge
from tests.stages.fusion.synthetic import SEVEN, table

OPTIONS = {
    "thesis": dataclasses.replace(THESIS, epochs=20, learning_rate=5e-3),
    "dropout": FitSettings(dropout=0.3),
    "more layers": FitSettings(hidden_layer=True),
    "modality dropout": FitSettings(modality_dropout=0.2),
    "missing vector": FitSettings(modality_dropout=0.2, missing_vector=True),
    "auxiliary": FitSettings(auxiliary=0.5),
    "focal": FitSettings(loss=Loss.FOCAL),
    "logit-adjusted": FitSettings(loss=Loss.LOGIT_ADJUSTED),
    "class weights": FitSettings(class_weights=True),
    "balanced": FitSettings(balanced_batches=True),
    "averaging": FitSettings(averaging=0.9),
    "raw": FitSettings(standardise=False),
}
STRATEGY = Strategy.parse("hierarchical/concatenation/average")


def learn(made, settings, strategy=STRATEGY, seed=1):
    fit_data = gather(made, sorted(made.features), ("train",), standardise=settings.standardise)
    settings = dataclasses.replace(settings, epochs=max(settings.epochs if settings.epochs < 30 else 10, 10), least_steps=12)
    return run_strategy(strategy, seed, fit_data, dataclasses.replace(settings, learning_rate=1e-2), MACRO_F1)


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_learns_the_planted_signal(name):
    run, _ = learn(table(signal=2), OPTIONS[name])
    assert run.scores["test"]["accuracy"] > 0.7


@pytest.mark.parametrize("norm", [0.2, 5.0])
def test_gradients_are_clipped_as_torch_does(norm):
    torch.manual_seed(0)
    ours, theirs = (build_head(STRATEGY, SEVEN, 4, FitSettings()) for _ in range(2))
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        mine.grad = torch.randn_like(mine)
        other.grad = mine.grad.clone()
    for head in (ours, theirs):
        whole = torch.nn.utils.get_total_norm([each.grad for each in head.parameters()])
        for each in head.parameters():
            each.grad *= norm / whole
    _clip(ours, 1.0)
    torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
    assert all(torch.equal(mine.grad, other.grad) for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True))


@pytest.mark.parametrize("name", ["dropout", "more layers", "missing vector", "auxiliary"])
def test_every_parameter_of_an_option_gets_a_gradient(name):
    torch.manual_seed(0)
    head = build_head(STRATEGY, SEVEN, 4, OPTIONS[name]).train()
    views = {feature: torch.randn(64, SEVEN[feature]) for feature in head.features}
    present = {feature: torch.rand(64) > 0.3 for feature in head.features}
    loss = head(views, present).logsumexp(1).sum() + sum(
        logits.logsumexp(1).sum() for logits, _ in head.auxiliary(views, present)
    )
    loss.backward()
    for parameter_name, parameter in head.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, parameter_name


@pytest.mark.parametrize("merge", list(Merge), ids=str)
@pytest.mark.parametrize("kind", ["constant", "huge", "one row"])
def test_constant_or_huge_features_give_no_nan(merge, kind):
    made = table(products=80)
    features = dict(made.features)
    for name in ("camembert.title", "se_resnext50.image"):
        vectors = np.ones_like(features[name].embedding, np.float32) * 3
        if kind == "huge":
            vectors = features[name].embedding.astype(np.float32) * 1e30
        if kind == "one row":
            vectors[0] = 6e4
        features[name] = Feature(name, vectors, features[name].present, fitted_on=("train",))
    made = dataclasses.replace(made, features=features)
    fit_data = gather(made, sorted(features), ("train",), standardise=True)
    run, _ = run_strategy(Strategy.parse(f"hierarchical/{merge}/{merge}"), 1, fit_data, FitSettings(epochs=2), MACRO_F1)
    assert all(np.isfinite(found).all() for found in run.probabilities.values())


def test_the_best_epoch_is_kept_not_the_last():
    made = table(products=160, signal=0.7)
    fit_data = gather(made, sorted(made.features), ("train",), standardise=True)
    settings = FitSettings(epochs=25, patience=0, learning_rate=5e-2, label_smoothing=0, weight_decay=0)
    run, _ = run_strategy(STRATEGY, 1, fit_data, settings, LOG_LOSS)
    losses = [epoch["log_loss"] for epoch in run.curve]
    assert losses[-1] > min(losses)
    assert run.scores["validation"]["log_loss"] == pytest.approx(min(losses), abs=1e-6)
    assert run.settings["best_epoch"] == int(np.argmin(losses)) + 1


def test_patience_ends_a_fit_that_has_stopped_getting_better():
    run, _ = run_strategy(
        STRATEGY,
        1,
        gather(table(), sorted(SEVEN), ("train",), standardise=True),
        FitSettings(epochs=500, steps=0, patience=3, schedule="constant"),
        ACCURACY,
    )
    assert len(run.curve) == run.settings["best_epoch"] + 3


def test_modality_dropout_keeps_one_field_and_adds_none():
    torch.manual_seed(0)
    present = {name: torch.rand(500) < 0.6 for name in SEVEN}
    kept = drop_fields(present, 0.9)
    for name, mask in kept.items():
        assert not (mask & ~present[name]).any()
    had = torch.stack(list(present.values())).any(0)
    assert torch.equal(torch.stack(list(kept.values())).any(0), had)
    both = present["camembert.title"] & present["flaubert.title"]
    assert torch.equal(kept["camembert.title"][both], kept["flaubert.title"][both])


def test_balanced_batches_draw_every_class_equally():
    torch.manual_seed(0)
    labels = torch.tensor([0] * 9000 + [1] * 900 + [2] * 100)
    drawn = torch.bincount(labels[order(FitSettings(balanced_batches=True), labels)]) / len(labels)
    assert (drawn - 1 / 3).abs().max() < 0.02
    assert torch.equal(order(FitSettings(), labels).sort().values, torch.arange(len(labels)))


def test_losses_by_hand():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    truth = torch.tensor([0, 0])
    labels = torch.tensor([0, 0, 0, 1])
    chances = logits.softmax(1)[:, 0]
    plain = -chances.log()

    def made(**options):
        return loss_function(FitSettings(label_smoothing=0, **options), labels, 2)(logits, truth)

    torch.testing.assert_close(made(), plain.mean())
    torch.testing.assert_close(made(loss=Loss.FOCAL), ((1 - chances) ** 2 * plain).mean())
    shifted = logits + torch.tensor([0.75, 0.25]).log()
    torch.testing.assert_close(made(loss=Loss.LOGIT_ADJUSTED), -shifted.log_softmax(1)[:, 0].mean())
    mixed = loss_function(FitSettings(label_smoothing=0, class_weights=True), labels, 2)(logits, torch.tensor([0, 1]))
    weights = torch.tensor([4 / 6, 4 / 2])
    each = -torch.stack([logits.log_softmax(1)[0, 0], logits.log_softmax(1)[1, 1]])
    torch.testing.assert_close(mixed, (weights * each).sum() / weights.sum())


def test_a_missing_vector_without_modality_dropout_is_refused():
    with pytest.raises(ValueError, match="needs modality_dropout"):
        FitSettings(missing_vector=True, modality_dropout=0)


def test_batches_are_never_larger_than_asked_and_small_catalogues_get_small_ones():
    assert DEFAULT.batch(1_000_000) == DEFAULT.batch_size
    assert THESIS.batch(55_025) == 128
    assert DEFAULT.batch(900) * DEFAULT.least_steps <= 900 + DEFAULT.batch(900)
    assert DEFAULT.batch(5) == 5


def test_large_catalogues_get_fewer_passes_and_wide_heads_smaller_steps():
    assert DEFAULT.passes(900) > DEFAULT.passes(40_000) >= DEFAULT.passes(10_000_000) == 4
    assert THESIS.passes(10_000_000) == THESIS.epochs
    assert DEFAULT.rate(512) == DEFAULT.learning_rate
    assert DEFAULT.rate(3584) == pytest.approx(DEFAULT.learning_rate / 7)
    assert THESIS.rate(3584) == THESIS.learning_rate


def reached(made: FeatureTable, strategy: str, settings: FitSettings = DEFAULT) -> float:
    fit_data = gather(made, sorted(made.features), ("train",), standardise=True)
    run, _ = run_strategy(Strategy.parse(strategy), 1, fit_data, settings, MACRO_F1)
    return run.scores["validation"]["macro_f1"]


def largest_step(strategy: str, width: int, settings: FitSettings) -> float:
    widths = {"net.title": width, "net.description": width, "eye.image": 2 * width}
    head = build_head(Strategy.parse(strategy), widths, 3, settings)
    return max(group["lr"] for group in groups(head, dict(head.named_parameters()), settings))


def test_only_deep_merges_in_a_row_take_half_steps():
    assert largest_step("hierarchical/mlp/mlp", 512, DEFAULT) == DEFAULT.learning_rate
    assert largest_step("hierarchical/average/gated", 512, DEFAULT) == DEFAULT.learning_rate
    assert largest_step("hierarchical/gated/gated", 512, DEFAULT) == DEFAULT.learning_rate / 2
    assert largest_step("hierarchical/gated/gated", 512, THESIS) == THESIS.learning_rate


def test_narrow_heads_take_larger_steps_unless_they_multiply():
    assert largest_step("hierarchical/average/average", 128, DEFAULT) == 4 * DEFAULT.learning_rate
    assert largest_step("hierarchical/average/average", 4, DEFAULT) == DEFAULT.narrow * DEFAULT.learning_rate
    assert largest_step("hierarchical/average/average", 128, THESIS) == THESIS.learning_rate
    for merge in ("gated", "highway", "tokens", "low-rank", "bilinear", "film"):
        assert largest_step(f"hierarchical/average/{merge}", 128, DEFAULT) == DEFAULT.learning_rate
        assert largest_step(f"hierarchical/{merge}/average", 128, DEFAULT) == DEFAULT.learning_rate


def test_narrow_averages_are_not_left_behind_by_the_number_of_steps():
    """An average and a concatenation of vectors that hardly overlap can say the same; so they must be given the same chance."""
    made = additive(6000, widths=(128, 128)).table
    average = reached(made, "baseline/average")
    assert average > reached(made, "baseline/average", dataclasses.replace(DEFAULT, narrow=1.0)) + 0.02
    assert average > reached(made, "baseline/concatenation") - 0.06


@pytest.mark.parametrize("strategy", ["baseline/gated", "hierarchical/concatenation/gated"])
def test_a_gate_learns_an_interaction_within_the_default_steps(strategy):
    made = multiplicative(6000, widths=(64, 64)).table
    assert reached(made, strategy) > reached(made, "baseline/average") + 0.1


def test_the_callers_random_numbers_and_threads_are_left_alone():
    made = table(products=80)
    data = gather(made, ["camembert.title"], ("train",), standardise=True)
    strategy = Strategy.parse("probe/camembert.title")
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    threads = torch.get_num_threads()
    fitted = fit(
        lambda: build_head(strategy, SEVEN, 4, DEFAULT),
        data.vectors,
        made.labels,
        data.rows["fit"],
        data.rows["validation"],
        FitSettings(epochs=1),
    )
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads
    assert predict(fitted.head, data.vectors, data.rows["test"]).shape == (len(data.rows["test"]), 4)
