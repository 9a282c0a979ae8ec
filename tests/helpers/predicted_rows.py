"""Rows of random predictions with what libraries disagree on: absent classes, empty label sets, no relevant image."""

import dataclasses
from typing import Any

import numpy as np
from made_up_rows import RECIPE, change_row

from mtsccd_jax.ops.multilabel import decide
from mtsccd_jax.ops.retrieval import query_figures
from mtsccd_jax.recipes.config import Certainty
from mtsccd_jax.report.meaning.definitions import Evidence
from mtsccd_jax.report.measured import Measured
from mtsccd_jax.tasks.certainty import measure as certainty
from mtsccd_jax.tasks.certainty.forecast import Forecast
from mtsccd_jax.tasks.change import decisions
from mtsccd_jax.tasks.labels import evaluate as labels
from mtsccd_jax.tasks.scenes import evaluate as scenes
from mtsccd_jax.tasks.search import evaluate as search
from mtsccd_jax.tasks.shift import measure as shift

RESAMPLES = 20


def scene_evidence(seed: int = 0) -> Evidence:
    """A scene row of six classes: one is never true, one never predicted, and one neither."""
    random = np.random.default_rng(seed)
    label = random.integers(0, 4, 80)
    prediction = np.where(random.random(80) < 0.6, label, random.integers(1, 5, 80))
    prediction[prediction == 0] = 4
    prediction[:2], label[:2] = (4, 1), (3, 3)
    measured = scenes.measure(label, prediction, 6, resamples=RESAMPLES, seed=0)
    return _evidence("scene", "mtsccd_lusc/official", measured, list("abcdef"), label=label, prediction=prediction)


def change_evidence(seed: int = 0) -> Evidence:
    """A row of change detection by CFSM."""
    random = np.random.default_rng(seed)
    changed = random.random(90) < 0.25
    predicted = np.where(random.random(90) < 0.7, changed, random.random(90) < 0.4)
    measured = decisions.measure(changed, predicted, random.random(90) < 0.5, resamples=RESAMPLES, seed=0)
    names = list(decisions.CLASS_NAMES)
    return _evidence("cfsm", "mtsccd_lucd/official", measured, names, changed=changed, predicted=predicted)


def label_evidence(dataset: str = "bigearthnet_v2/official", seed: int = 0) -> Evidence:
    """A row of seven labels, one of which no image has, with images without labels and scores at the threshold."""
    random = np.random.default_rng(seed)
    label = random.random((70, 7)) < [0.5, 0.3, 0.2, 0.2, 0.1, 0.1, 0.0]
    label[:4] = False
    probability = np.clip(label * 0.3 + random.random(label.shape) * 0.7, 0, 1).astype(np.float32)
    probability[5:9, :3], probability[2] = 0.5, 0.1
    called = decide(probability, 0.5)
    measured = labels.measure(label, probability, called, resamples=RESAMPLES, seed=0)
    return _evidence(
        "multilabel", dataset, measured, list("abcdefg"), label=label, probability=probability, called=called
    )


def search_evidence(seed: int = 0, *, several: bool = False) -> Evidence:
    """A search with 30 queries in a gallery of 40, all of it ranked; some queries have no relevant image."""
    random = np.random.default_rng(seed)
    if several:
        gallery, query = (random.random((n, 4)) < 0.3 for n in (40, 30))
        query[:3] = False
    else:
        gallery, query = random.integers(0, 4, 40), random.integers(0, 5, 30)
    ranked = random.permuted(np.tile(np.arange(40), (30, 1)), axis=1)
    figures = query_figures(ranked, query, gallery, cutoffs=(5,))
    measured = search.measure(figures, np.full(30, -1), 40, resamples=RESAMPLES, seed=0)
    arrays = {"label": query, "gallery_label": gallery, "ranked": ranked}
    arrays |= {"relevant": figures.relevant_q, "ap": figures.ap_q}
    return _evidence("retrieval", "mlrsnet/official", measured, list("abcde")[: 4 if several else 5], **arrays)


def shift_evidence(seed: int = 0) -> Evidence:
    """A row of three networks, each of which does not know one of three cities, of unlike size."""
    random = np.random.default_rng(seed)
    truth, city = random.integers(0, 4, 120), np.repeat([0, 1, 2], [70, 30, 20])
    right = random.random((3, 120)) < np.where(city == np.arange(3)[:, None], 0.5, 0.8)
    predicted = np.where(right, truth, random.integers(0, 4, (3, 120)))
    names = ["new_york", "oslo", "rome"]
    measured = shift.measure(truth, predicted, city, names, 4, resamples=RESAMPLES, seed=0)
    arrays = {"truth": truth, "predicted": predicted, "city": city, "classes": np.array(4)}
    return _evidence("scene_shift", "mtsccd_lusc/official", measured, names, **arrays)


def certainty_evidence(method: str = "cfsm", seed: int = 0) -> Evidence:
    """A row of certainty of random forecasts, some of which are certain and wrong."""
    random, k = np.random.default_rng(seed), 2 if method == "cfsm" else 4
    truth = random.integers(0, k, 150)
    probability = random.dirichlet(np.ones(k), 150)
    probability[:3] = np.eye(k)[(truth[:3] + 1) % k]
    forecast = Forecast(probability, probability**0.5, probability > 0.4, probability.max(1) > 0.6, True)
    of_change, settings = method != "scene", Certainty(look=20)
    score = probability[:, 1] if of_change else probability
    order = certainty.look_order(probability, score, of_change)
    chance = {"of_change": of_change, "resamples": RESAMPLES, "seed": 0}
    measured = certainty.measure(forecast, truth, truth, order, settings, **chance)
    arrays = forecast.arrays() | ({"changed": truth.astype(bool)} if of_change else {"label": truth})
    made = _evidence(f"{method}_certainty", "mtsccd_lucd/official", measured, list("abcd")[:k], **arrays)
    recipe = RECIPE | {"certainty": dataclasses.asdict(settings)}
    return dataclasses.replace(made, row=dataclasses.replace(made.row, recipe=recipe))


def _evidence(protocol: str, dataset: str, measured: Measured, names: list[str], **arrays: Any) -> Evidence:
    """Return the row of what was measured with its arrays."""
    row = dataclasses.replace(
        change_row(),
        protocol=protocol,
        dataset=dataset,
        split="test",
        n=measured.n,
        metrics=measured.metrics,
        confusion=measured.confusion.tolist(),
        class_names=names,
        recipe=RECIPE,
        threshold_from="validation" if protocol == "cfsm" else None,
        objective="kappa" if protocol == "cfsm" else None,
    )
    return Evidence(row, arrays)
