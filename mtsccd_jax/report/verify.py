"""Whether rows say what their artefacts say: every figure of a row computed again from what was saved with it.

Where it can be, the way is another one than that of the row (`recompute`). Two things are defined by the function that
makes them, and are asked of it: the identity of a row, and the random draws behind the interval of a re-chosen
threshold.
"""

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtsccd_jax.errors import InputError
from mtsccd_jax.report import published, recompute, rows, words
from mtsccd_jax.report.folders import work_directories
from mtsccd_jax.report.recompute import FOLDS, METRICS
from mtsccd_jax.report.rows import Row

Arrays = dict[str, np.ndarray]

# Both sides are float64 from the same integers; they may differ in the order of a few operations.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Difference:
    """A key of a row that is not what the artefacts give.

    Attributes:
        workdir: The work directory of the row.
        row: The row's id.
        what: Protocol, split, network and seed of the row, in words.
        key: Dotted name of the value, such as "metrics.kappa.low" or "artefacts.predictions".
        reason: What is saved and what was recomputed, or why it cannot be.
    """

    workdir: Path
    row: str
    what: str
    key: str
    reason: str


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
    check = _Check(workdir, row)
    check.identity()
    arrays = {name: found for name in row.artefacts if (found := check.artefact(name)) is not None}
    if "predictions" not in row.artefacts:
        check.fault("artefacts.predictions", "the row names none, so nothing of it can be recomputed")
    elif "predictions" in arrays:
        try:
            (check.scene if row.protocol == "scene" else check.change)(arrays)
        except (ValueError, IndexError, TypeError) as error:
            check.fault("artefacts.predictions", f"its arrays do not fit together ({error})")
    return check.differences


class _Check:
    """Compares one row with its artefacts and keeps what differs."""

    def __init__(self, workdir: Path, row: Row):
        self.workdir, self.row = workdir, row
        self.differences: list[Difference] = []
        settings = row.recipe.get("change")
        self.settings: Mapping[str, Any] = settings if isinstance(settings, dict) else {}
        resamples = self.settings.get("resamples")
        self.resamples = resamples if isinstance(resamples, int) and resamples > 0 else None

    def fault(self, key: str, reason: str) -> None:
        """Keeps that a value cannot be right, and why."""
        row = self.row
        what = f"{row.protocol} on {row.split}, {words.network(row)}, seed {row.seed}"
        self.differences.append(Difference(self.workdir, row.id, what, key, reason))

    def compare(self, key: str, saved: Any, recomputed: Any) -> None:
        """Keeps the value, or those leaves of nested ones, that differ."""
        if isinstance(saved, Mapping) and isinstance(recomputed, Mapping):
            for name in dict.fromkeys([*recomputed, *saved]):
                self.compare(f"{key}.{name}", saved.get(name), recomputed.get(name))
        elif not _agree(saved, recomputed):
            self.fault(key, f"saved {_shown(saved)}, recomputed {_shown(recomputed)}")

    def identity(self) -> None:
        """The row's id, seed, network and published value follow from its recipe, split and protocol."""
        row = self.row
        objective = row.objective if row.objective != self.settings.get("objective") else None
        data = rows.data_identity(row.dataset, str(row.checksums.get("data")))
        identity = rows.row_id(row.recipe, row.split, row.protocol, row.seed, objective=objective, dataset=data)
        self.compare("id", row.id, identity)
        self.compare("seed", row.seed, row.recipe.get("seed"))
        self.compare("model", row.model, (row.recipe.get("model") or {}).get("name"))
        paper = None
        if row.dataset.startswith("mtsccd_"):
            scene = row.protocol == "scene"
            network = row.model, row.split, words.width(row)
            found = published.scene(*network) if scene else published.change(row.protocol, *network)
            paper = dataclasses.asdict(found) if found else None
        self.compare("published", row.published, paper)
        if self.resamples is None:
            self.fault("recipe.change.resamples", "not a positive number, so no interval can be recomputed")

    def artefact(self, name: str) -> Arrays | None:
        """The arrays of an artefact; None, and why, where its file is missing, not the row's own or not readable."""
        key, relative = f"artefacts.{name}", self.row.artefacts[name]
        path = self.workdir / relative
        if not path.is_file():
            self.fault(key, f"{relative} is missing")
            return None
        expected = (self.row.checksums.get("artefacts") or {}).get(name)
        actual = hashlib.sha256(path.read_bytes()).hexdigest()
        if expected is None:
            self.fault(key, f"the row has no checksum of {relative}")
        elif expected != actual:
            self.fault(key, f"{relative} is not the file of this row (sha256 {actual[:12]}…, not {expected[:12]}…)")
            return None
        try:
            return rows.load_artefact(self.workdir, self.row, name)
        except InputError as error:
            self.fault(key, str(error))
            return None

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

    def holds(self, arrays: Arrays, *names: str) -> bool:
        """Whether the artefact `predictions` has all these arrays; keeps those that it lacks."""
        absent = [name for name in names if name not in arrays]
        if absent:
            self.fault("artefacts.predictions", f"lacks {', '.join(absent)}")
        return not absent

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
        from mtsccd_jax.ops.statistics import rechosen_threshold_interval

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


def _agree(saved: Any, recomputed: Any) -> bool:
    """Whether two values are the same; numbers up to `TOLERANCE`, and what is not finite is null in a row."""
    if isinstance(recomputed, float) and not math.isfinite(recomputed):
        return saved is None
    if isinstance(saved, bool) or isinstance(recomputed, bool) or saved is None or recomputed is None:
        return saved is recomputed
    if isinstance(saved, int | float) and isinstance(recomputed, int | float):
        return math.isclose(saved, recomputed, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(saved == recomputed)


def _shown(value: Any) -> str:
    """The value in at most 80 characters."""
    text = "null" if value is None or (isinstance(value, float) and not math.isfinite(value)) else str(value)
    if isinstance(value, list | dict):
        text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _differ(arrays: Arrays, first: str, second: str) -> np.ndarray | None:
    """Where two arrays differ, (n,) bool; None where they are not both there."""
    return arrays[first] != arrays[second] if first in arrays and second in arrays else None
