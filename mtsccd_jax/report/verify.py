"""Whether rows say what their artefacts say: every figure of a row computed again from what was saved with it.

Where it can be, the way is another one than that of the row (`recompute`, `recompute_labels`, `recompute_ranking`). Two
things are defined by the function that makes them, and are asked of it: the identity of a row, and the random draws
behind the interval of a re-chosen threshold.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from mtsccd_jax.errors import InputError
from mtsccd_jax.report import recompute, rows
from mtsccd_jax.report.recompute import FOLDS, METRICS
from mtsccd_jax.report.row_check import Arrays, Check, Difference
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.verify_labels import LabelCheck
from mtsccd_jax.report.verify_retrieval import RetrievalCheck
from mtsccd_jax.report.workdirs import work_directories


def verify(folder: str | os.PathLike[str]) -> Iterator[tuple[Path, Row, list[Difference]]]:
    """Every row of a work directory, or of a folder of them, with what differs from what its artefacts give.

    Raises:
        InputError: There are no rows, or a line of a `rows.jsonl` cannot be read.
    """
    workdirs = work_directories(folder)
    loaded = [(workdir, row) for workdir in workdirs for row in rows.load(workdir)]
    if not loaded:
        raise InputError(f"{Path(folder) / rows.ROWS_FILE}: no rows to verify; run `mtsccd-jax evaluate` first")
    for workdir, row in loaded:
        yield workdir, row, verify_row(workdir, row)


def verify_row(workdir: Path, row: Row) -> list[Difference]:
    """What of a row differs from what its artefacts give; empty where all agrees."""
    kind = {"multilabel": LabelCheck, "retrieval": RetrievalCheck}.get(row.protocol, LandUseCheck)
    check = kind(workdir, row)
    check.identity()
    arrays = {name: found for name in row.artefacts if (found := check.artefact(name)) is not None}
    if check.main not in row.artefacts:
        check.fault(f"artefacts.{check.main}", "the row names none, so nothing of it can be recomputed")
    elif check.main in arrays:
        try:
            check.content(arrays)
        except (ValueError, IndexError, TypeError) as error:
            check.fault(f"artefacts.{check.main}", f"its arrays do not fit together ({error})")
    return check.differences


class LandUseCheck(Check):
    """Compares a row of scenes or of change with its artefacts."""

    def content(self, arrays: Mapping[str, Arrays]) -> None:
        """The figures of the row follow from its artefacts."""
        (self.scene if self.row.protocol == "scene" else self.change)(arrays)

    def scene(self, arrays: Mapping[str, Arrays]) -> None:
        """The figures of a scene row follow from its labels and predictions."""
        predictions, k = arrays["predictions"], len(self.row.class_names)
        if not self.holds(predictions, "label", "prediction"):
            return
        truth, predicted = predictions["label"].astype(np.int64), predictions["prediction"].astype(np.int64)
        for name, of in {"probability": "probability", "decision": "decision value"}.items():
            if name in predictions and not np.array_equal(predictions[name].argmax(1), predicted):
                self.fault("artefacts.predictions.prediction", f"not the class of the largest {of} everywhere")
        confusion = self.counts(truth, predicted, k)
        self.figures(confusion, recompute.measured(truth, predicted, k))
        most = int(np.bincount(truth, minlength=k).max())
        self.compare(
            "baseline", self.row.baseline, {"name": "most frequent class", "oa": most / len(truth), "kappa": 0.0}
        )
        if (scenes := arrays.get("scenes")) is not None and "class_names" in scenes:
            self.compare("class_names", self.row.class_names, [str(name) for name in scenes["class_names"]])

    def change(self, arrays: Mapping[str, Arrays]) -> None:
        """The figures of a change row follow from what changed and what was called changed."""
        row, predictions = self.row, arrays["predictions"]
        if not self.holds(predictions, "changed", "predicted", "distance"):
            return
        changed, predicted = predictions["changed"].astype(bool), predictions["predicted"].astype(bool)
        self.compare("class_names", row.class_names, ["unchanged", "changed"])
        confusion = self.counts(changed, predicted, 2)
        self.figures(confusion, recompute.measured(changed, predicted, 2, binary=True), self.transition(predictions))
        trivial = {"name": "all unchanged", "oa": float(np.mean(~changed)), "kappa": 0.0}
        self.compare("baseline", row.baseline, trivial)
        labels = _differ(predictions, "label_t1", "label_t2") if row.dataset.startswith("mtsccd_") else None
        if labels is not None and not np.array_equal(labels, changed):
            self.fault("artefacts.predictions.changed", "not where the labels of both dates differ")
        named = _differ(predictions, "prediction_t1", "prediction_t2") if "transition" in row.metrics else None
        if named is not None and not np.array_equal(named, predicted):
            self.fault("artefacts.predictions.predicted", "not where the classes named for both dates differ")
        distance = predictions["distance"].astype(np.float64)
        if self.by_margin() and (((distance > 0) & ~predicted) | ((distance < 0) & predicted)).any():
            self.fault("artefacts.predictions.distance", "a margin of change that contradicts what was called changed")
        self.threshold(distance, changed, predicted, arrays.get("validation"))

    def by_margin(self) -> bool:
        """Whether the row's distances are margins of change: above 0 where SVMs call a pair changed, else below."""
        scene = self.row.recipe.get("scene") or {}
        return self.row.protocol == "cdc_2" or (self.row.protocol == "cdc_1" and scene.get("classifier") == "svm")

    def counts(self, truth: np.ndarray, predicted: np.ndarray, k: int) -> np.ndarray:
        """The confusion matrix (k, k) as scikit-learn counts it."""
        from sklearn.metrics import confusion_matrix

        confusion = confusion_matrix(truth, predicted, labels=np.arange(k))
        self.compare("n", self.row.n, len(truth))
        self.compare("confusion", self.row.confusion, confusion.tolist())
        return confusion

    def figures(
        self, confusion: np.ndarray, values: dict[str, float], more: dict[str, dict[str, float]] | None = None
    ) -> None:
        """Every metric of the row is that of its predictions, with the interval of the recipe's seed and resamples."""
        if self.resamples is None:
            return
        shares = confusion.ravel() / confusion.sum()
        draws = np.random.default_rng(self.row.seed).multinomial(int(confusion.sum()), shares, size=self.resamples)
        drawn = recompute.figures(draws.reshape(-1, *confusion.shape), binary=self.row.protocol != "scene")
        expected = {name: {"value": values[name], **recompute.interval(drawn[name])} for name in METRICS} | (more or {})
        self.compare("metrics", self.row.metrics, expected)

    def transition(self, predictions: Arrays) -> dict[str, dict[str, float]]:
        """The share of the changed pairs whose transition is named rightly, as the row's metric, where it has one."""
        needed = ("label_t1", "label_t2", "prediction_t1", "prediction_t2")
        changed = predictions["changed"].astype(bool)
        if "transition" not in self.row.metrics or not set(needed) <= predictions.keys() or self.resamples is None:
            return {}
        t1, t2, named_t1, named_t2 = (predictions[name] for name in needed)
        right = int((changed & (t1 == named_t1) & (t2 == named_t2)).sum())
        wrong, n = int(changed.sum()) - right, len(changed)
        cells = np.array([right, wrong, n - right - wrong])
        draws = np.random.default_rng(self.row.seed).multinomial(n, cells / n, size=self.resamples)
        shares = recompute.ratio(draws[:, 0], draws[:, 0] + draws[:, 1])
        return {"transition": {"value": right / max(right + wrong, 1), **recompute.interval(shares)}}

    def threshold(
        self, distance: np.ndarray, changed: np.ndarray, predicted: np.ndarray, validation: Arrays | None
    ) -> None:
        """The threshold is the best one where it was chosen, and the verdicts are what it says."""
        row = self.row
        if row.threshold_from is None:
            self.compare("threshold", row.threshold, None)
            self.compare("metrics_rechosen", row.metrics_rechosen, None)
            return
        objective = str(row.objective)
        if objective not in METRICS:
            self.fault("objective", f"{objective!r} is nothing that a threshold can be best at")
        elif row.threshold_from == f"cross_validation_{FOLDS}":
            best, called = recompute.cross_validated(distance, changed, objective, row.seed)
            self.compare("threshold", row.threshold, best)
            self.compare("metrics_rechosen", row.metrics_rechosen, None)
            if not np.array_equal(called, predicted):
                self.fault("artefacts.predictions.predicted", "not what the thresholds of the other folds say")
        elif row.threshold_from != "validation":
            self.fault("threshold_from", f"{row.threshold_from!r} is no way to choose a threshold")
        elif "validation" not in row.artefacts:
            self.fault("artefacts.validation", "the row names none, so its threshold cannot be recomputed")
        elif validation is not None:
            if absent := {"distance", "changed"} - validation.keys():
                self.fault("artefacts.validation", f"lacks {', '.join(sorted(absent))}")
                return
            seen, kind = validation["distance"].astype(np.float64), validation["changed"].astype(bool)
            best = recompute.best_threshold(seen, kind, objective)
            self.compare("threshold", row.threshold, best)
            if not np.array_equal(distance >= best, predicted):
                self.fault("artefacts.predictions.predicted", "not where the distance reaches the threshold")
            self.rechosen(validation, distance, changed, predicted, objective)

    def rechosen(
        self, validation: Arrays, distance: np.ndarray, changed: np.ndarray, predicted: np.ndarray, objective: str
    ) -> None:
        """The second interval is that of a threshold chosen anew on re-drawn validation pairs."""
        from mtsccd_jax.ops.bootstrap import rechosen_threshold_interval

        if self.resamples is None:
            return
        intervals = rechosen_threshold_interval(
            validation["distance"], validation["changed"], distance, changed, objective, self.resamples, self.row.seed
        )
        values = recompute.measured(changed, predicted, 2, binary=True)
        expected = {
            name: {"value": values[name], "low": intervals[name][0], "high": intervals[name][1]} for name in METRICS
        }
        self.compare("metrics_rechosen", self.row.metrics_rechosen, expected)


def _differ(arrays: Arrays, first: str, second: str) -> np.ndarray | None:
    """Where two arrays differ, (n,) bool; None where they are not both there."""
    return arrays[first] != arrays[second] if first in arrays and second in arrays else None
