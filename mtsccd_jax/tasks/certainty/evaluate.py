"""Certainty of scene classes (a temperature) and of change (calibrated distances of CFSM, CDC_1 or SSCD).

On the validation split, which MtSCCD has in the cities that networks learn from, everything is cross-fitted: a row of
it says how sure the network may be at home. On every other split all is fitted on the whole validation split: a row
says what is left of that elsewhere. Data without a validation split are cross-fitted too.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtsccd_jax.data.parts.tiles import FIELDS, tile_names
from mtsccd_jax.data.sources import Source, open_pairs, open_source, pair_splits, scene_splits
from mtsccd_jax.engine import workdir as work
from mtsccd_jax.engine.evaluate import Embedding, Trained
from mtsccd_jax.errors import InputError
from mtsccd_jax.recipes.config import Data, Recipe
from mtsccd_jax.report.rows import Row, load, load_artefact
from mtsccd_jax.tasks.certainty import METHODS, PROTOCOLS, look
from mtsccd_jax.tasks.certainty.forecast import FOLDS, Forecast, cross_fit, fit_map, forecaster, stratified_folds
from mtsccd_jax.tasks.certainty.maps import map_arrays, map_of
from mtsccd_jax.tasks.certainty.measure import look_order, measure
from mtsccd_jax.tasks.change import METHODS as CHANGE_METHODS
from mtsccd_jax.tasks.change.decisions import CLASS_NAMES
from mtsccd_jax.tasks.change.evaluate import feature_distance, pair_distance
from mtsccd_jax.tasks.feature_cache import FeatureCache, Outputs
from mtsccd_jax.tasks.scenes.classifier import scene_classifier
from mtsccd_jax.tasks.scenes.source import scene_source
from mtsccd_jax.tasks.write_row import Result, write_row

logger = logging.getLogger(__name__)

# Array of `predictions`: which examples' places the network has learned from.
KNOWN_PLACE = "known_place"


@dataclass(frozen=True, eq=False)
class Scored:
    """What a method says of a split, and its truth."""

    outputs: Outputs[Any]
    score_n: np.ndarray  # distances (n,) float32, or class scores (n, k)
    truth_n: np.ndarray  # (n,) int64: the class; of pairs 1 where changed

    @property
    def source(self) -> Source:
        """The split."""
        return self.outputs.source

    def arrays(self, of_change: bool) -> dict[str, np.ndarray]:
        """Return scores and truth as artefacts hold them."""
        if of_change:
            return {"distance": self.score_n, "changed": self.truth_n.astype(bool)}
        return {"score": self.score_n, "label": self.truth_n}


def evaluate(cache: FeatureCache, protocol: str, split: str) -> Row:
    """Write the row of a protocol on one split, and the list of what to look at first.

    Artefacts:

    - `predictions`: `distance` and `changed`, or `score` (n, k) and `label`; `probability`, `before` the calibration,
      `in_set` (n, k), `kept` (n,), `has_sets`; `fold` where cross-fitted; names and places.
    - `validation`: the scores and the truth that all was fitted on, unless cross-fitted.
    - `map`: of pairs, the map from distances to probabilities of all known pairs, for `predict`.
    - `look`: the first examples of the list, with thumbnails.

    Raises:
        InputError: the data are none for this method, or too few to learn from.
        RunError: a distance is not finite.
    """
    trained, method = cache.trained, METHODS[protocol]
    recipe, settings, of_change = trained.recipe, trained.recipe.certainty, method != "scene"
    scored = score(cache, method, split)
    known = score(cache, method, "validation") if is_fitted_on_validation(cache.data, method, split) else scored
    made, fold = forecast_of(scored, known, method, recipe)
    order = look_order(made.probability_nk, scored.score_n, of_change)
    class_names = CLASS_NAMES if of_change else trained.class_names
    every = np.arange(len(scored.source))
    chance = {"resamples": recipe.evaluation.resamples, "seed": recipe.seed}
    measured = measure(made, scored.truth_n, known.truth_n, order, settings, of_change=of_change, **chance)
    places = known_places(cache, scored.source)
    if places is not None:
        measured, fold = measured.with_share("known_places", places), fold | {KNOWN_PLACE: places}
    arrays = {
        "predictions": {**scored.arrays(of_change), **made.arrays(), **fold, **look.places(scored.source, every)},
        "look": look.pictures(scored.source, made, scored.truth_n, order, class_names),
        **({"validation": known.arrays(of_change)} if known is not scored else {}),
        **({"map": map_arrays(fit_map(known.score_n, known.truth_n, settings))} if of_change else {}),
    }
    result = Result(
        protocol=protocol,
        measured=measured,
        class_names=class_names,
        arrays=arrays,
        started=scored.outputs.started,
    )
    row = write_row(trained, scored.outputs, result)
    look.write_list(look.list_path(trained.workdir, row), scored.source, made, order, class_names, settings.look)
    return row


def known_places(cache: FeatureCache, source: Source) -> np.ndarray | None:
    """Return which examples show a place that the network has learned from, at whatever date, (n,) bool.

    None where either data do not tell places, or the training data are no longer those that it has learned from.
    """
    trained = cache.trained
    try:
        if trained.recipe.model.task == "similarity":
            learned = open_pairs(cache.training_data, "train")
        else:
            learned = cache.scenes("train", cache.training_data)
    except InputError as error:
        logger.warning(f"{error}; how many places the network has learned from is not told")
        return None
    own, seen = tile_names(source), tile_names(learned)
    if own is None or seen is None or learned.fingerprint() != work.load(trained.workdir).train_sha256:
        return None
    return np.isin(own, seen)


def forecast_of(scored: Scored, known: Scored, method: str, recipe: Recipe) -> tuple[Forecast, dict[str, np.ndarray]]:
    """Forecast a split from known examples or, where these are its own, by cross-fitting.

    The second result holds the fold of each example where there are folds.

    Raises:
        InputError: there is too little to learn from.
    """
    check_enough(known, cross_fitted=known is scored, of_change=method != "scene")
    forecast = forecaster(method, recipe.certainty, is_probability=is_probability(recipe.scene.classifier, method))
    if known is not scored:
        return forecast(known.score_n, known.truth_n, scored.score_n), {}
    fold_n = stratified_folds(scored.truth_n, tiles(scored.source), recipe.seed)
    return cross_fit(forecast, scored.score_n, scored.truth_n, fold_n), {"fold": fold_n}


def is_fitted_on_validation(data: Data, method: str, split: str) -> bool:
    """Return whether a split is judged by what was fitted on another one, the validation split."""
    return split != "validation" and "validation" in splits_of(data, method)


def score(cache: FeatureCache, method: str, split: str) -> Scored:
    """Return what a method says of a split."""
    if method != "scene":
        pairs, distance = pair_distance(cache, method, split)
        return Scored(pairs, distance, pairs.source.column("changed").astype(np.int64))
    scenes = cache.features(scene_source(cache, split))
    embedding: Embedding = scenes.values["image"]
    scores = embedding.logits
    if cache.trained.recipe.scene.classifier == "svm":
        scores = embedding.share.each(scene_classifier(cache).scores, embedding.own_features)
    return Scored(scenes, scores, scenes.source.column("label").astype(np.int64))


def is_probability(classifier: str, method: str) -> bool:
    """Return whether the distances of a method lie in [0, 1] and can be read as probabilities of change."""
    return method == "sscd" or (method == "cdc_1" and classifier == "head")


def tiles(source: Source) -> np.ndarray:
    """Return the tile of each example, (n,) int64, the same for its dates; its own where none is known."""
    if not set(FIELDS) <= set(source.fields):
        return np.arange(len(source))
    place_n3 = np.stack([source.column(name) for name in FIELDS], 1)
    return np.unique(place_n3, axis=0, return_inverse=True)[1].ravel()


def check_enough(known: Scored, *, cross_fitted: bool, of_change: bool) -> None:
    """Raise InputError where there is too little to learn from: a kind of pair that is absent or in too few folds."""
    where, n = f"{known.source.name}, {known.source.split}", len(known.truth_n)
    least = FOLDS if cross_fitted else 1
    if of_change:
        changed = int(known.truth_n.sum())
        if min(changed, n - changed) < least:
            how = f"{FOLDS}-fold cross-fitting" if cross_fitted else "a calibrated probability"
            raise InputError(
                f"{where}: {changed} changed and {n - changed} unchanged pairs; {how} needs at least {least} of each"
            )
    elif n < least:
        raise InputError(f"{where}: {n} scenes; {FOLDS}-fold cross-fitting needs at least {FOLDS}")


def methods_of(trained: Trained) -> tuple[str, ...]:
    """Return the methods that a network supports; InputError where there are none."""
    task = trained.recipe.model.task
    if task == "labels":
        raise InputError(
            f"{trained.workdir}: names all labels of a scene (model.task=labels); certainty is told of networks that "
            "were trained with model.task=scenes or model.task=similarity"
        )
    change = (method for method in PROTOCOLS if method != "scene" and CHANGE_METHODS[method].trained_as == task)
    return (*(("scene",) if trained.sees_scenes else ()), *change)


def chosen_methods(cache: FeatureCache) -> tuple[str, ...]:
    """Return the methods to judge where none is named: those that network and data allow; InputError without any."""
    of_scenes, of_pairs = kinds(cache.data)
    chosen = tuple(method for method in methods_of(cache.trained) if (of_scenes if method == "scene" else of_pairs))
    if not chosen:
        raise InputError(
            f"{cache.trained.workdir}: this network tells whether pairs changed, and the data hold scenes; give --pairs"
        )
    return chosen


def kinds(data: Data) -> tuple[bool, bool]:
    """Return whether there are scenes and whether there are pairs among the data."""
    if data.folder is not None or data.pairs is not None:
        return data.folder is not None, data.pairs is not None
    if data.dataset != data.pair_dataset:
        return data.dataset is not None, data.pair_dataset is not None
    of_pairs = "image_t1" in open_source(data, scene_splits(data)[0]).fields  # one name was given for both
    return not of_pairs, of_pairs


def splits_of(data: Data, method: str) -> tuple[str, ...]:
    """Return the splits of the data that a method is about."""
    return scene_splits(data) if method == "scene" else pair_splits(data)


def evaluated_splits(data: Data, method: str) -> list[str]:
    """Return the splits to evaluate where none is named: all but training, the validation split first."""
    known = [split for split in splits_of(data, method) if split != "train"]
    if not known:
        raise InputError("the data have no split to judge beside train; name one by --split")
    return sorted(known, key=lambda split: split != "validation")


def of_all(
    cache: FeatureCache, methods: Sequence[str], splits: Sequence[str] | None, tell: Callable[[Row], None]
) -> list[Row]:
    """Write the rows of some methods on some splits, or on all, and `tell` each at once.

    Raises:
        InputError: as `evaluate`; a method is not supported.
    """
    trained, supported = cache.trained, methods_of(cache.trained)
    for method in methods:
        if method not in supported:
            raise InputError(
                f"{trained.workdir}: method {method} needs another network than this one, which was trained with "
                f"model.task={trained.recipe.model.task} and supports {', '.join(supported)}"
            )
    asked = [(method, split) for method in methods for split in splits or evaluated_splits(cache.data, method)]
    made = []
    for method, split in asked:
        made.append(evaluate(cache, PROTOCOLS[method], split))
        tell(made[-1])
    return made


def predicted_columns(trained: Trained, images: dict[str, Embedding]) -> dict[str, np.ndarray]:
    """Return the column of `predict` on pairs, `p_changed`, where the work directory has a certainty row of CFSM.

    It is calibrated by the newest one with the recipe's metric, scale and calibration. Rows that a validation split was
    known for go before cross-fitted ones of other pairs.
    """
    settings, recipe = trained.recipe.change, trained.recipe
    wanted = (settings.metric, settings.scale, recipe.certainty.calibration)
    fitted = [
        row
        for row in load(trained.workdir)
        if row.protocol == PROTOCOLS["cfsm"]
        and (row.recipe["change"]["metric"], row.recipe["change"]["scale"], row.recipe["certainty"]["calibration"])
        == wanted
    ]
    by_validation = [row for row in fitted if "validation" in row.artefacts or row.split == "validation"]
    if not fitted:
        return {}
    newest = max(by_validation or fitted, key=lambda row: str(row.times.get("finished")))
    logger.info(f"p_changed is calibrated as in row {newest.id}, by pairs of {newest.dataset}")
    found = load_artefact(Path(trained.workdir), newest, "map")
    if found is None:
        raise InputError(
            f"{trained.workdir}: the artefact 'map' of row {newest.id} is gone; run `mtsccd-jax certainty` there again"
        )
    return {"p_changed": map_of(found)(feature_distance(trained, images)).round(6)}
