"""Answers to what users ask once they know the winner: heads are fitted again, or predict again, on the vectors of the runs.

Answers are plain JSON values. Shapes: K repetitions, B resamples.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, assert_never

import numpy as np
from numpy.typing import NDArray

from fusecat.pipeline.report.memorisation import unshaped
from fusecat.pipeline.report.statistics import Estimates, bootstrap
from fusecat.stages.errors import UsageError
from fusecat.stages.progress import Phase
from fusecat.stages.vocabulary import Part

if TYPE_CHECKING:
    from fusecat.cache.table import FeatureTable
    from fusecat.pipeline.report.comparison import Comparison, Row
    from fusecat.stages.fusion.fit_data import FitData
    from fusecat.stages.fusion.fit_settings import FitSettings
    from fusecat.stages.fusion.predictor import Predictor
    from fusecat.stages.fusion.runs import Run
    from fusecat.stages.scores import Outcome

Held = Mapping[tuple[str, int], Mapping[str, "Outcome"]]
"""What runs of the comparison say already, by strategy and seed: part -> outcome."""


class Question(StrEnum):
    """What may be asked: options of `fusecat report`."""

    CURVE = "curve"
    CONTRIBUTION = "contribution"
    MISSING = "missing"
    LABELS = "labels"


def answer(question: Question, comparison: "Comparison", now: Phase) -> dict[str, Any]:
    """Work out one answer. Raises: UsageError where there is none here, or the features are other ones; DataError."""
    match question:
        case Question.CURVE:
            return _curve(comparison, now)
        case Question.CONTRIBUTION:
            return _contribution(comparison, now)
        case Question.MISSING:
            return _missing(comparison)
        case Question.LABELS:
            return _labels(comparison)
        case _:
            assert_never(question)


def _curve(comparison: "Comparison", now: Phase) -> dict[str, Any]:
    """Scores over the number of labelled products, and what twice as many may bring."""
    from fusecat.stages.fusion.learning_curve import doubled, learning_curve
    from fusecat.stages.fusion.strategy import Strategy

    row = asked_of(Question.CURVE, comparison)
    if row is None:
        raise UsageError("--curve: no strategy here has a head that could be fitted again; run 'fusecat fuse' with one")
    run, metric, report_part = row.candidate.runs[0], comparison.metric, comparison.report_part
    data, settings = _as_fitted(comparison, run)
    held = {seed: of[report_part] for (name, seed), of in _held(comparison, run).items() if name == row.strategy}
    strategy, told = Strategy.parse(row.strategy), _told(now, "--curve: fitting head")
    points = learning_curve(data, strategy, settings, metric, report_part, held=held, progress=told)
    estimates, draws, bounded = _estimated(metric, [list(point.outcomes) for point in points])
    lines = [{"share": point.share, "labels": point.labels} | mean for point, mean in zip(points, bounded, strict=True)]
    forecast = all(honest(comparison, name) for name in run.features)
    found: dict[str, Any] = {"strategy": row.strategy, "report_part": report_part, "points": lines}
    found |= {"honest": forecast, "doubled": None}
    if forecast:
        noise = np.random.default_rng(2020).normal(size=draws.shape) * np.sqrt(estimates.between)[:, None]
        counts, error = [point.labels for point in points], _as_error(metric.sign)
        gain = error(estimates.mean[-1]) - doubled(counts, error(estimates.mean))
        spread = error(draws + noise)[-1] - doubled(counts, error(draws + noise))
        low, high = (float(bound) for bound in np.quantile(spread, [0.025, 0.975]))
        found["doubled"] = {"labels": 2 * counts[-1], "gain": float(gain), "low": low, "high": high}
    return found


def _contribution(comparison: "Comparison", now: Phase) -> dict[str, Any]:
    """Shapley values of fields and networks, and what leaving each out costs."""
    from fusecat.stages.fusion.contribution import MOST, games, groups, shapley

    row = _merging(comparison, Question.CONTRIBUTION)
    run, metric = row.candidate.runs[0], comparison.metric
    if not groups(run.features):
        raise UsageError(f"--contribution: {row.strategy} looks at one field and network, or at more than {MOST} of each")
    data, settings = _as_fitted(comparison, run)
    told = _told(now, "--contribution: subset")
    held = _held(comparison, run)
    found = games(data, run.features, str(run.final), settings, metric, comparison.study.parts, held=held, progress=told)
    lines: list[dict[str, Any]] = []
    for game, report_part in zip(found[Part.VALIDATION], found[comparison.report_part], strict=True):
        subsets, players = list(game.said), list(game.players)
        scored = {part: _scored(metric, [list(of.said[each]) for each in subsets]) for part, of in
                  ((Part.VALIDATION, game), (comparison.report_part, report_part))}  # fmt: skip
        shares = {}
        for part, (values, draws) in scored.items():
            of_values = shapley(players, dict(zip(subsets, values, strict=True)))
            of_draws = shapley(players, dict(zip(subsets, draws, strict=True)))
            shares[part] = Estimates.of([of_values[name] for name in players], [of_draws[name] for name in players])
        values, draws = scored[Part.VALIDATION]
        whole = subsets.index(frozenset(players))
        for at, name in enumerate(players):
            rest = subsets.index(frozenset(players) - {name})
            lost = Estimates.of([values[whole] - values[rest], values[0] * 0], [draws[whole] - draws[rest], draws[0] * 0])
            cost, low, high = metric.sign * lost.mean[0], *sorted(metric.sign * bound for bound in lost.interval(0))
            features = game.players[name]
            line: dict[str, Any] = {"kind": game.kind, "player": name, "features": list(features)}
            line["seconds"] = _seconds(comparison, features)
            line["without"] = {"cost": float(cost), "low": float(low), "high": float(high)}
            for part, known in shares.items():
                bounds = sorted(metric.sign * bound for bound in known.interval(at))
                line[str(part)] = {"value": float(metric.sign * known.mean[at]), "low": bounds[0], "high": bounds[1]}
            alone = values[subsets.index(frozenset([name]))]
            lines.append(line | {"alone": float(np.mean(alone))})
    return {"strategy": row.strategy, "report_part": comparison.report_part, "lines": lines}


def _missing(comparison: "Comparison") -> dict[str, Any]:
    """Scores as more and more products lack a field."""
    from fusecat.stages.fusion.missing_fields import SHARES, without

    row, metric = _merging(comparison, Question.MISSING), comparison.metric
    table = _table(comparison, row.candidate.features)
    found = without(table, _heads(comparison, row), comparison.report_part)
    lines = [
        {"field": field, "scores": _estimated(metric, [list(outcomes) for outcomes in told])[2]}
        for field, told in found.items()
    ]
    return {"strategy": row.strategy, "report_part": comparison.report_part, "shares": list(SHARES), "lines": lines}


def _labels(comparison: "Comparison") -> dict[str, Any]:
    """Labels of train that out-of-fold predictions doubt."""
    from fusecat.stages.fusion.suspects import by_class, suspects

    names = feature_names(comparison)
    if not names:
        raise UsageError(f"--labels: {comparison.study.workspace.features} holds no feature to ask")
    table = _table(comparison, names)
    found = suspects(table, [name for name in names if honest(comparison, name)])
    lines = zip(found.rows.tolist(), found.suggested.tolist(), found.own.tolist(), found.other.tolist(), strict=True)
    products = [
        {
            "id": str(table.ids[row]),
            "label": table.classes[table.labels[row]],
            "suggested": table.classes[other],
            "own": own,
            "other": truth,
        }
        for row, other, own, truth in lines
    ]
    counts = dict(by_class(table.labels, found, table.classes))
    return {"used": list(found.used), "examined": found.examined, "by_class": counts, "products": products}


def asked_of(question: Question, comparison: "Comparison") -> "Row | None":
    """The strategy that a question is about: the best that has a head of our own merges on vectors, but for the curve a merge.

    None where there is no such strategy, and for questions about no strategy.
    """
    if question is Question.LABELS:
        return None
    alone = question is Question.CURVE
    for row in comparison.rows:
        run = row.candidate.runs[0]
        if run.fitted_on and ":" not in row.strategy and (row.candidate.fused or (alone and run.architecture == "probe")):
            return row
    return None


def honest(comparison: "Comparison", feature: str) -> bool:
    """Whether no label that heads learn from has shaped the vectors of a feature, as far as somebody said."""
    if comparison.vectors is None:
        return unshaped(comparison.study.info, feature)
    parts = comparison.vectors.features[feature].fitted_on
    return parts is not None and not {Part.TRAIN.value, Part.HEAD.value}.intersection(parts)


def feature_names(comparison: "Comparison") -> list[str]:
    """The features that some run looks at, as far as they are there."""
    from fusecat.cache.store import FeatureCache

    held, folder = comparison.vectors, comparison.study.workspace.features
    there = FeatureCache(folder).names() if held is None else list(held.features)
    return sorted({name for row in comparison.rows for name in row.candidate.features}.intersection(there))


def _merging(comparison: "Comparison", question: Question) -> "Row":
    """The best head that merges features. Raises UsageError where there is none."""
    row = asked_of(question, comparison)
    if row is None:
        raise UsageError(f"--{question}: no head here merges features; run 'fusecat fuse' first")
    return row


def _as_fitted(comparison: "Comparison", run: "Run") -> "tuple[FitData, FitSettings]":
    """What a run's head was fitted on, and how."""
    from fusecat.stages.fusion.fit_data import gather
    from fusecat.stages.fusion.fit_settings import FitSettings

    settings = FitSettings.of(run.settings)
    table = _table(comparison, run.features)
    return gather(table, run.features, run.fitted_on, standardise=settings.standardise), settings


def _held(comparison: "Comparison", like: "Run") -> Held:
    """What was fitted for the comparison on the same rows with the same settings need not be fitted again."""
    from fusecat.stages.fusion.fit_settings import FitSettings

    def how(run: "Run") -> tuple[Any, ...]:
        return run.fitted_on, run.settings.get("metric"), FitSettings.of(run.settings)

    if like.settings.get("metric") != comparison.metric.name:
        return {}
    return {
        (row.strategy, run.seed): {part: outcomes[at] for part, outcomes in row.candidate.outcomes.items()}
        for row in comparison.rows
        if row.candidate.fused or row.candidate.architecture == "probe"
        for at, run in enumerate(row.candidate.runs)
        if how(run) == how(like)
    }


def _heads(comparison: "Comparison", row: "Row") -> "Mapping[int, Predictor]":
    """The strategy's heads by seed, from the runs; fitted again where a notebook kept none."""
    from fusecat.stages.fusion.predictor import TrainedHead
    from fusecat.stages.fusion.restore import load
    from fusecat.stages.fusion.runs import Runs
    from fusecat.stages.fusion.strategy import Strategy

    candidate, runs = row.candidate, Runs(comparison.study.workspace.runs)
    if comparison.vectors is None:
        return {seed: load(runs.path(row.strategy, seed)) for seed in candidate.seeds}
    data, settings = _as_fitted(comparison, candidate.runs[0])
    strategy = Strategy.parse(row.strategy)
    heads = {seed: data.fit(strategy, settings, seed=seed, metric=comparison.metric).head for seed in candidate.seeds}
    return {seed: TrainedHead(strategy, data.classes, head, data.scaling, settings) for seed, head in heads.items()}


def _table(comparison: "Comparison", features: Collection[str]) -> "FeatureTable":
    """These features. Raises UsageError where they are no longer what the runs were fitted on."""
    from fusecat.cache.store import FeatureCache
    from fusecat.stages.catalogue.split import groups_in

    if (held := comparison.vectors) is not None:
        return replace(held, features={name: held.features[name] for name in features})
    place = comparison.study.workspace
    table = FeatureCache(place.features).table(list(features))
    if table.fingerprint != comparison.study.products.fingerprint:
        raise UsageError(f"{place.features} holds other products or another split than the runs: run 'fusecat fuse' again")
    return replace(table, groups=groups_in(place.split, table.ids.tolist()))


def _scored(metric: Any, outcomes: list[list["Outcome"]]) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """Per group of repetitions their scores (K,), and the same in resamples of the products (K, B)."""
    flat = [outcome for several in outcomes for outcome in several]
    cuts = np.cumsum([len(several) for several in outcomes])[:-1]
    values = np.array([float(metric.of(outcome)) for outcome in flat])
    return np.split(values, cuts), np.split(bootstrap(flat, metrics=(metric,))[metric.key], cuts)


def _estimated(metric: Any, outcomes: list[list["Outcome"]]) -> tuple[Estimates, NDArray[np.float64], list[dict[str, float]]]:
    """What is known of each group's mean, its resampled values (groups, B), and the mean with its interval as an answer."""
    values, draws = _scored(metric, outcomes)
    found = Estimates.of(values, draws)
    bounds = [metric.bounded(*found.interval(at)) for at in range(len(outcomes))]
    means = [{"mean": float(mean), "low": low, "high": high} for mean, (low, high) in zip(found.mean, bounds, strict=True)]
    return found, np.stack([each.mean(axis=0) for each in draws]), means


def _as_error(sign: int) -> Callable[[Any], NDArray[np.float64]]:
    """Score -> what goes to 0 as a model becomes perfect; a loss is one already."""
    return (lambda score: np.asarray(1 - score)) if sign > 0 else np.asarray


def _seconds(comparison: "Comparison", features: Collection[str]) -> float | None:
    """Seconds that fine-tuning these networks took, None where nobody recorded them."""
    known = [(comparison.study.info.features.get(name) or {}).get("seconds") for name in features]
    return None if None in known else float(sum(each for each in known if each is not None))


def _told(now: Phase, what: str) -> Callable[[int, int], None]:
    def tell(done: int, total: int) -> None:
        now.text = f"{what} {min(done + 1, total)} of {total}"

    return tell
