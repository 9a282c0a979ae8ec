"""Whether the numbers of a change row follow from its decisions, and its threshold from its distances."""

from collections.abc import Mapping

import numpy as np

from mtsccd_jax.ops.bootstrap import rechosen_threshold_interval
from mtsccd_jax.ops.threshold import OBJECTIVES, best_threshold
from mtsccd_jax.report.measured import Measured
from mtsccd_jax.report.published import Published
from mtsccd_jax.report.verify import Arrays, Check
from mtsccd_jax.tasks.change.decisions import CLASS_NAMES, CROSS_VALIDATION, cross_validate, measure, published_value


class ChangeCheck(Check):
    """Compares a change row with its artefacts."""

    def published(self) -> Published | None:
        """Return the entry of Table 7."""
        row = self.row
        return published_value(row.dataset, row.protocol, row.model, row.split, self.width)

    def content(self, arrays: Mapping[str, Arrays]) -> None:
        """Compare the numbers of the row with those of its decisions, and these with its classes and distances."""
        row, predictions = self.row, arrays["predictions"]
        if not self.holds(predictions, "changed", "predicted", "distance"):
            return
        changed, predicted = predictions["changed"].astype(bool), predictions["predicted"].astype(bool)
        self.compare("class_names", row.class_names, list(CLASS_NAMES))
        right = self.right_transitions(predictions)
        measured = measure(changed, predicted, right, resamples=self.resamples or 1, seed=row.seed)
        self.compare_measured(measured)
        labels = _differ(predictions, "label_t1", "label_t2") if row.dataset.startswith("mtsccd_") else None
        if labels is not None and not np.array_equal(labels, changed):
            self.fault("artefacts.predictions.changed", "not where the labels of both dates differ")
        named = _differ(predictions, "prediction_t1", "prediction_t2") if "transition" in row.metrics else None
        if named is not None and not np.array_equal(named, predicted):
            self.fault("artefacts.predictions.predicted", "not where the classes named for both dates differ")
        distance = predictions["distance"]
        if self.by_margin() and (((distance > 0) & ~predicted) | ((distance < 0) & predicted)).any():
            self.fault("artefacts.predictions.distance", "a margin of change that contradicts what was called changed")
        self.threshold(measured, distance, changed, predicted, arrays.get("validation"))

    def right_transitions(self, predictions: Arrays) -> np.ndarray | None:
        """Return which pairs have the right classes at both dates, (n,) bool; None where the row does not tell."""
        needed = ("label_t1", "label_t2", "prediction_t1", "prediction_t2")
        if "transition" not in self.row.metrics or not set(needed) <= predictions.keys():
            return None
        t1, t2, predicted_t1, predicted_t2 = (predictions[name] for name in needed)
        right: np.ndarray = (t1 == predicted_t1) & (t2 == predicted_t2)
        return right

    def by_margin(self) -> bool:
        """Return whether the distances are margins of change: above 0 where SVMs predict a change, else below."""
        scene = self.row.recipe.get("scene") or {}
        return self.row.protocol == "cdc_2" or (self.row.protocol == "cdc_1" and scene.get("classifier") == "svm")

    def threshold(
        self,
        measured: Measured,
        distance: np.ndarray,
        changed: np.ndarray,
        predicted: np.ndarray,
        validation: Arrays | None,
    ) -> None:
        """Compare the threshold with the best one where it was chosen, and the decisions with the threshold."""
        row, objective = self.row, str(self.row.objective)
        if row.threshold_from is None:
            self.compare("threshold", row.threshold, None)
            self.compare("metrics_rechosen", row.metrics_rechosen, None)
        elif objective not in OBJECTIVES:
            self.fault("objective", f"{objective!r} is nothing that a threshold can be best at")
        elif row.threshold_from == CROSS_VALIDATION:
            expected, best = cross_validate(distance, changed, objective, row.seed)
            self.compare("threshold", row.threshold, best)
            self.compare("metrics_rechosen", row.metrics_rechosen, None)
            if not np.array_equal(expected, predicted):
                self.fault("artefacts.predictions.predicted", "not what the thresholds of the other folds say")
        elif row.threshold_from != "validation":
            self.fault("threshold_from", f"{row.threshold_from!r} is no way to choose a threshold")
        elif (known := self.validation(validation, "threshold", "changed", "distance")) is not None:
            best = best_threshold(known["distance"], known["changed"], objective).threshold
            self.compare("threshold", row.threshold, best)
            if not np.array_equal(distance >= best, predicted):
                self.fault("artefacts.predictions.predicted", "not where the distance reaches the threshold")
            if self.resamples is not None:
                intervals = rechosen_threshold_interval(
                    known["distance"], known["changed"], distance, changed, objective, self.resamples, row.seed
                )
                self.compare("metrics_rechosen", row.metrics_rechosen, measured.metrics_within(intervals))


def _differ(arrays: Arrays, first: str, second: str) -> np.ndarray | None:
    """Return where two arrays differ, (n,) bool; None unless both are there."""
    return arrays[first] != arrays[second] if first in arrays and second in arrays else None
