"""Laws of a fit: options do what they say, extreme features do no harm, the best epoch is kept."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from benchmarks.generators import additive, multiplicative
from fusecat.cache.table import Feature, FeatureTable
from fusecat.stages.fusion.build_head import build_head
from fusecat.stages.fusion.fit import _clip, drop_fields, fit, groups, loss_of, predict, single_features
from fusecat.stages.fusion.fit_data import gather
from fusecat.stages.fusion.fit_settings import DEFAULT, THESIS, ClassWeights, FitSettings, Loss, Scaling, Shortcut
from fusecat.stages.fusion.in_memory import statistics
from fusecat.stages.fusion.losses import loss_function, order
from fusecat.stages.fusion.run_strategy import run_strategy
from fusecat.stages.fusion.runs import Job
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
    "indicator": FitSettings(indicator=True),
    "auxiliary": FitSettings(auxiliary=4.0),
    "auxiliary of one feature": FitSettings(auxiliary=1.0, readings=0),
    "by column": FitSettings(standardise=Scaling.COLUMN),
    "by feature": FitSettings(standardise=Scaling.FEATURE),
    "root of class weights": FitSettings(class_weights=ClassWeights.ROOT),
    "focal": FitSettings(loss=Loss.FOCAL),
    "logit-adjusted": FitSettings(loss=Loss.LOGIT_ADJUSTED),
    "class weights": FitSettings(class_weights=ClassWeights.INVERSE),
    "balanced": FitSettings(balanced_batches=True),
    "averaging": FitSettings(averaging=0.9),
    "shortcut": FitSettings(shortcut=Shortcut.EVERY),
    "raw": FitSettings(standardise=Scaling.NONE),
}
STRATEGY = Strategy.parse("hierarchical/concatenation/average")


def learn(made, settings, strategy=STRATEGY, seed=1):
    fit_data = gather(made, sorted(made.features), ("train",), standardise=settings.standardise)
    settings = dataclasses.replace(settings, epochs=max(settings.epochs if settings.epochs < 30 else 10, 10), least_steps=12)
    return run_strategy(Job(strategy, seed, dataclasses.replace(settings, learning_rate=1e-2), MACRO_F1), fit_data)


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


@pytest.mark.parametrize("name", ["dropout", "more layers", "missing vector"])
def test_every_parameter_of_an_option_gets_a_gradient(name):
    torch.manual_seed(0)
    head = build_head(STRATEGY, SEVEN, 4, OPTIONS[name]).train()
    views = {feature: torch.randn(64, SEVEN[feature]) for feature in head.features}
    present = {feature: torch.rand(64) > 0.3 for feature in head.features}
    head(views, present).logsumexp(1).sum().backward()
    for parameter_name, parameter in head.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, parameter_name


def test_one_feature_is_drawn_of_those_that_a_product_has():
    torch.manual_seed(0)
    present = {name: torch.tensor([True, True, False, False]).repeat(500) for name in "ab"}
    present |= {"c": torch.tensor([True, False, True, False]).repeat(500)}
    drawn = single_features(present, 1)
    counts = {name: mask.view(500, 4).sum(0).tolist() for name, mask in drawn.items()}
    assert torch.stack(list(drawn.values())).sum(0).view(500, 4).sum(0).tolist() == [500, 500, 500, 0]
    assert all(not (drawn[name] & ~present[name]).any() for name in present)
    assert all(120 < counts[name][0] < 220 for name in "abc") and counts["c"][2] == 500 and 200 < counts["a"][1] < 300


@pytest.mark.parametrize("count", [2, 3, 9])
def test_features_are_read_alone_and_all_together_where_a_product_has_no_more(count):
    rows = [(True, True, True), (True, True, False), (False, False, True)]
    present = {name: torch.tensor([row[at] for row in rows]) for at, name in enumerate("abc")}
    read = (
        torch.stack(list(single_features(present, count).values()), dim=-1).view(min(count, 3), 3, 3).transpose(0, 1).tolist()
    )
    for row, found in zip(rows, read, strict=True):
        single = [each for each in found if sum(each) == 1]
        assert len({tuple(each) for each in single}) == min(count, sum(row)) or sum(row) == 1
        assert all(any(mine and own for mine, own in zip(each, row, strict=True)) for each in single)
        assert all(tuple(each) == row for each in found if sum(each) != 1)


@pytest.mark.parametrize("name", ["flat/average", "flat/concatenation", "flat/mlp", "hierarchical/attention/weighted"])
def test_the_second_loss_is_the_mean_over_single_features(name):
    torch.manual_seed(0)
    head = build_head(Strategy.parse(name), SEVEN, 4, FitSettings()).eval()
    views, truth = {each: torch.randn(8, SEVEN[each]) for each in head.features}, torch.arange(8) % 4
    present = {each: torch.ones(8, dtype=torch.bool) for each in head.features}
    settings = FitSettings(auxiliary=3.0, modality_dropout=0)
    minimise = torch.nn.functional.cross_entropy
    found = loss_of(lambda masks: head(views, masks), minimise, settings, present, truth, apart=True)
    none = torch.zeros(8, dtype=torch.bool)
    single = [
        minimise(head(views, {each: present[each] if each == own else none for each in present}), truth) for own in present
    ]
    torch.testing.assert_close(
        found, minimise(head(views, present), truth) + 3 * sum(single) / len(single), rtol=1e-4, atol=1e-5
    )


def test_one_number_per_feature_keeps_what_is_small_small_and_what_is_wide_no_longer():
    random = np.random.default_rng(0)
    spread = np.array([3.0, 1.0, 0.1, 0.0])
    made = table(products=240)
    wide = random.normal(size=(240, 2048)).astype(np.float32)
    views = {"a.title": (5 + spread * random.normal(size=(240, 4))).astype(np.float32), "b.image": wide}
    features = {name: Feature(name, of, np.ones(240, bool), fitted_on=None) for name, of in views.items()}
    rows = np.arange(240)
    found = statistics(dataclasses.replace(made, features=features), sorted(views), rows, Scaling.FEATURE)
    scaled = (views["a.title"] - found["a.title"][0]) / found["a.title"][1]
    kept = views["a.title"][:, :3]
    np.testing.assert_allclose(scaled[:, :3].std(0), kept.std(0) / np.sqrt((kept.std(0) ** 2).mean()), rtol=1e-4)
    assert np.abs(scaled[:, 3]).max() < 1e-5
    length = (((wide - found["b.image"][0]) / found["b.image"][1]) ** 2).sum(1).mean()
    assert length == pytest.approx(512, rel=1e-3)


def test_records_of_earlier_versions_are_the_settings_of_today():
    """Their runs stay hits: what they could say is said as they said it."""
    assert THESIS.record()["standardise"] is False and THESIS.record()["class_weights"] is False
    earlier = THESIS.record() | {"standardise": True, "class_weights": True, "best_epoch": 3}
    known = FitSettings.of(earlier)
    assert (known.standardise, known.class_weights) == (Scaling.COLUMN, ClassWeights.INVERSE)
    for settings in OPTIONS.values():
        assert FitSettings.of(json.loads(json.dumps(settings.record()))) == settings


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_weighted_losses_are_those_of_torch(smoothing):
    """Ours can be batched over seeds; torch's with weights and smoothing cannot."""
    labels, logits = torch.tensor([0] * 12 + [1] * 3 + [2]), torch.randn(16, 3)
    settings = FitSettings(class_weights=ClassWeights.ROOT, label_smoothing=smoothing)
    weights = torch.tensor([12.0, 3.0, 1.0]) ** -0.5
    theirs = torch.nn.functional.cross_entropy(logits, labels, weight=weights, label_smoothing=smoothing)
    torch.testing.assert_close(loss_function(settings, labels, 3)(logits, labels), theirs)


@pytest.mark.parametrize("kind", list(ClassWeights), ids=str)
def test_class_weights_are_one_on_average(kind):
    labels = torch.tensor([0] * 16 + [1] * 4)
    logits, truth = torch.randn(20, 2), labels
    settings = FitSettings(class_weights=kind, loss=Loss.FOCAL, label_smoothing=0)
    plain = loss_function(dataclasses.replace(settings, class_weights="none"), labels, 2)(torch.zeros(20, 2), truth)
    assert loss_function(settings, labels, 2)(torch.zeros(20, 2), truth) == pytest.approx(plain.item())
    one, other = (loss_function(settings, labels, 2)(logits[at : at + 1], truth[at : at + 1]) for at in (0, 19))
    plainly = loss_function(dataclasses.replace(settings, class_weights="none"), labels, 2)
    bare = [plainly(logits[at : at + 1], truth[at : at + 1]) for at in (0, 19)]
    ratio = (other / bare[1]) / (one / bare[0])
    assert ratio.item() == pytest.approx({"none": 1, "root": 2, "inverse": 4}[kind], rel=1e-4)


@pytest.mark.parametrize("scaling", [Scaling.COLUMN, Scaling.FEATURE], ids=str)
@pytest.mark.parametrize("merge", list(Merge), ids=str)
@pytest.mark.parametrize("kind", ["constant", "huge", "one row"])
def test_constant_or_huge_features_give_no_nan(merge, kind, scaling):
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
    fit_data = gather(made, sorted(features), ("train",), standardise=scaling)
    run, _ = run_strategy(Job(Strategy.parse(f"hierarchical/{merge}/{merge}"), 1, FitSettings(epochs=2), MACRO_F1), fit_data)
    assert all(np.isfinite(found).all() for found in run.probabilities.values())


def test_the_best_epoch_is_kept_not_the_last():
    made = table(products=160, signal=0.7)
    fit_data = gather(made, sorted(made.features), ("train",), standardise=Scaling.COLUMN)
    settings = FitSettings(epochs=25, patience=0, learning_rate=5e-2, label_smoothing=0, weight_decay=0)
    run, _ = run_strategy(Job(STRATEGY, 1, settings, LOG_LOSS), fit_data)
    losses = [epoch["log_loss"] for epoch in run.curve]
    assert losses[-1] > min(losses)
    assert run.scores["validation"]["log_loss"] == pytest.approx(min(losses), abs=1e-6)
    assert run.settings["best_epoch"] == int(np.argmin(losses)) + 1


def test_patience_ends_a_fit_that_has_stopped_getting_better():
    settings = FitSettings(epochs=500, steps=0, patience=3, schedule="constant")
    fit_data = gather(table(), sorted(SEVEN), ("train",), standardise=Scaling.COLUMN)
    run, _ = run_strategy(Job(STRATEGY, 1, settings, ACCURACY), fit_data)
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
        settings = FitSettings(**{"label_smoothing": 0, "class_weights": "none", **options})
        return loss_function(settings, labels, 2)(logits, truth)

    torch.testing.assert_close(made(), plain.mean())
    torch.testing.assert_close(made(loss=Loss.FOCAL), ((1 - chances) ** 2 * plain).mean())
    shifted = logits + torch.tensor([0.75, 0.25]).log()
    torch.testing.assert_close(made(loss=Loss.LOGIT_ADJUSTED), -shifted.log_softmax(1)[:, 0].mean())
    mixed = loss_function(FitSettings(label_smoothing=0, class_weights=ClassWeights.INVERSE), labels, 2)(
        logits, torch.tensor([0, 1])
    )
    weights = torch.tensor([4 / 6, 4 / 2])
    each = -torch.stack([logits.log_softmax(1)[0, 0], logits.log_softmax(1)[1, 1]])
    torch.testing.assert_close(mixed, (weights * each).sum() / weights.sum())


def test_only_an_indicator_learns_from_what_is_missing():
    """Vectors of noise; who has no description is of class 0 or 1: half of the answer, and nothing in any vector."""
    made = table(signal=0.0, missing=0.0, products=600)
    absent = made.labels < 2
    lacking = {
        name: dataclasses.replace(feature, present=~absent, embedding=np.where(absent[:, None], 0, feature.embedding))
        for name, feature in made.features.items()
        if name.endswith(".description")
    }
    made = dataclasses.replace(made, features={**made.features, **lacking})
    plain, told = (learn(made, FitSettings(indicator=given))[0].scores["test"]["accuracy"] for given in (False, True))
    assert told > plain + 0.1


def test_an_indicator_changes_no_key_of_runs_without_one():
    assert "indicator" not in FitSettings().record() and FitSettings(indicator=True).record()["indicator"] is True
    assert FitSettings.of(FitSettings().record()) == FitSettings()


def test_records_without_a_word_of_shortcuts_had_none():
    for kind in Shortcut:
        assert FitSettings.exactly(FitSettings(shortcut=kind).record()).shortcut is kind
    assert FitSettings.exactly({}).shortcut is Shortcut.NONE and "shortcut" not in FitSettings(shortcut="none").record()


def test_records_without_a_word_of_readings_drew_one_feature_of_each_product():
    assert FitSettings.exactly(FitSettings(readings=64).record()).readings == 64
    assert FitSettings.exactly({}).readings == 0 and "readings" not in FitSettings(readings=0).record()


def test_an_average_with_a_shortcut_says_what_one_set_of_weights_cannot():
    """Two texts of which the one says the opposite of the other: their average knows nothing, each by itself everything."""
    made = table(signal=2.0, missing=0.0, products=400)
    title = made.features["camembert.title"]
    other = dataclasses.replace(title, name="camembert.description", embedding=-title.embedding)
    pair = dataclasses.replace(made, features={each.name: each for each in (title, other)})
    plain, told = (
        learn(pair, FitSettings(shortcut=kind, auxiliary=0, modality_dropout=0), Strategy.parse("flat/average"))[0]
        for kind in (Shortcut.MULTIPLYING, Shortcut.EVERY)
    )
    assert plain.scores["test"]["accuracy"] < 0.5 < 0.8 < told.scores["test"]["accuracy"]


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
    fit_data = gather(made, sorted(made.features), ("train",), standardise=Scaling.COLUMN)
    run, _ = run_strategy(Job(Strategy.parse(strategy), 1, settings, MACRO_F1), fit_data)
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


@pytest.mark.parametrize(("columns", "multiplying"), [(512, 1.0), (1024, 0.7)])
def test_projections_take_smaller_steps_but_only_wide_ones_where_a_merge_multiplies(columns, multiplying):
    widths = {"net.title": 512, "net.description": 512, "eye.image": columns}
    settings = dataclasses.replace(DEFAULT, projecting=0.4, projecting_multiplying=0.7)
    for merge, factor in (("average", 0.4), ("mlp", 0.4), ("low-rank", multiplying), ("gated", multiplying)):
        head = build_head(Strategy.parse(f"flat/{merge}"), widths, 3, settings)
        found = groups(head, dict(head.named_parameters()), settings)
        rates = {parameter: group["lr"] for group in found for parameter in group["params"]}
        projections = dict(head.projections.named_parameters())
        for name, each in projections.items():
            own = DEFAULT.learning_rate * (512 / columns if name.endswith("weight") else 1)
            assert rates[each] == pytest.approx(factor * own), (merge, name)
        others = rates.keys() - set(projections.values())
        assert all(rates[each] == DEFAULT.learning_rate for each in others if each.dim() < 2)
    for name in ("projecting", "projecting_multiplying"):
        assert getattr(THESIS, name) == 1 and name not in THESIS.record() and getattr(FitSettings.exactly({}), name) == 1


def test_narrow_averages_are_not_left_behind_by_the_number_of_steps():
    """An average and a concatenation of vectors that hardly overlap can say the same; so they must be given the same chance."""
    made = additive(6000, widths=(128, 128)).table
    average = reached(made, "baseline/average")
    assert average > reached(made, "baseline/average", dataclasses.replace(DEFAULT, narrow=1.0)) + 0.02
    assert average > reached(made, "baseline/concatenation") - 0.06


@pytest.mark.parametrize("strategy", ["baseline/gated", "hierarchical/concatenation/gated"])
def test_a_gate_learns_an_interaction_within_the_default_steps(strategy):
    made = multiplicative(6000, widths=(64, 64)).table
    # class weights cost interactions more than sums (benchmarks/RESULTS.md); this is about the steps
    plain = dataclasses.replace(DEFAULT, class_weights="none")
    assert reached(made, strategy, plain) > reached(made, "baseline/average", plain) + 0.1


def test_the_callers_random_numbers_and_threads_are_left_alone():
    made = table(products=80)
    data = gather(made, ["camembert.title"], ("train",), standardise=Scaling.COLUMN)
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
