"""Whether a row of certainty follows from its forecasts, and these from the scores and the truth that were known."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mtsccd_jax.recipes.config import Certainty
from mtsccd_jax.report.published import Published
from mtsccd_jax.report.verify import Arrays, Check
from mtsccd_jax.tasks.certainty import METHODS
from mtsccd_jax.tasks.certainty.evaluate import KNOWN_PLACE, is_probability
from mtsccd_jax.tasks.certainty.forecast import ARRAYS, Forecast, cross_fit, forecaster
from mtsccd_jax.tasks.certainty.maps import FITS, map_arrays
from mtsccd_jax.tasks.certainty.measure import look_order, measure

# Fits end where their solvers are content.
_FIT_TOLERANCE = 1e-5


class CertaintyCheck(Check):
    """Compares a row of certainty with its artefacts."""

    def published(self) -> Published | None:
        """Return None: nothing of it is published."""
        return None

    def content(self, arrays: Mapping[str, Arrays]) -> None:
        """Compare forecasts with what the known examples give, and the numbers of the row with the forecasts."""
        row, predictions = self.row, arrays["predictions"]
        of_change = METHODS[row.protocol] != "scene"
        score, truth = ("distance", "changed") if of_change else ("score", "label")
        settings = _settings(row.recipe.get("certainty"))
        if not self.holds(predictions, score, truth, *ARRAYS):
            return
        if settings is None:
            self.fault("recipe.certainty", "no settings that a row can be made with")
            return
        for name in ("threshold", "objective", "metrics_rechosen"):
            self.compare(name, getattr(row, name), None)
        truth_n, known = predictions[truth].astype(np.int64), predictions
        if "fold" not in predictions:
            found = self.validation(arrays.get("validation"), "forecasts", score, truth)
            if found is None:
                return
            known = found
        self.forecasts(predictions, known, score, truth, settings)
        saved = Forecast.of_arrays(predictions)
        measured = measure(
            saved,
            truth_n,
            known[truth].astype(np.int64),
            look_order(saved.probability_nk, predictions[score], of_change),
            settings,
            of_change=of_change,
            resamples=self.resamples or 1,
            seed=row.seed,
        )
        if KNOWN_PLACE in predictions:
            measured = measured.with_share("known_places", predictions[KNOWN_PLACE])
        self.compare_measured(measured)
        if (fitted := arrays.get("map")) is not None:
            made = map_arrays(FITS[settings.calibration](known[score], known[truth]))
            if not _alike(made, fitted):
                self.fault("artefacts.map", "not the map that the known distances give")

    def forecasts(self, predictions: Arrays, known: Arrays, score: str, truth: str, settings: Certainty) -> None:
        """Compare the saved forecasts with those that are made again from the known examples."""
        method, scene = METHODS[self.row.protocol], self.row.recipe.get("scene") or {}
        forecast = forecaster(method, settings, is_probability=is_probability(str(scene.get("classifier")), method))
        known_truth = known[truth].astype(np.int64)
        if "fold" in predictions:
            made = cross_fit(forecast, known[score], known_truth, predictions["fold"])
        else:
            made = forecast(known[score], known_truth, predictions[score])
        for name, values in made.arrays().items():
            saved = predictions[name]
            # Of "kept" an example at the bound may fall to either side of it.
            few = name == "kept" and saved.shape == values.shape and np.mean(saved != values) < 0.01
            if not few and not _alike({name: values}, {name: saved}):
                self.fault(f"artefacts.predictions.{name}", "not what the known examples give")


def _settings(given: Any) -> Certainty | None:
    """Return the settings of a row's recipe; None where they are none."""
    try:
        settings = Certainty(**given)
    except TypeError:
        return None
    possible = settings.calibration in FITS and 0 < settings.coverage <= 1 and min(settings.bins, settings.look) >= 1
    return settings if possible else None


def _alike(made: Mapping[str, np.ndarray], saved: Mapping[str, np.ndarray]) -> bool:
    """Return whether arrays are the same by name, shape and, within the tolerance of a fit, value."""
    return made.keys() == saved.keys() and all(
        array.shape == saved[name].shape and np.allclose(array, saved[name], rtol=_FIT_TOLERANCE, atol=_FIT_TOLERANCE)
        for name, array in made.items()
    )
