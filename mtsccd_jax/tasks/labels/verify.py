"""Whether the numbers of a row of several labels a scene follow from its labels, probabilities and thresholds."""

from collections.abc import Mapping

import numpy as np

from mtsccd_jax.ops.multilabel import class_thresholds
from mtsccd_jax.ops.threshold import OBJECTIVES
from mtsccd_jax.report import published, runs
from mtsccd_jax.report.verify import Arrays, Check
from mtsccd_jax.tasks.labels.evaluate import measure


class LabelCheck(Check):
    """Compares a row of several labels a scene with its artefacts."""

    def published(self) -> published.Published | None:
        """Return the published value of the network with its bands on the row's data set."""
        row = self.row
        return published.multilabel(row.dataset, row.model, runs.bands(row), self.width, row.split)

    def content(self, arrays: Mapping[str, Arrays]) -> None:
        """Compare the numbers of the row with those of its labels, probabilities and decisions."""
        row, predictions = self.row, arrays["predictions"]
        if not self.holds(predictions, "label", "probability", "called", "threshold", "filename"):
            return
        label, predicted = predictions["label"].astype(bool), predictions["called"].astype(bool)
        probability, threshold = predictions["probability"], predictions["threshold"]
        if len(predictions["filename"]) != len(label):
            self.fault("artefacts.predictions.filename", "not one for each image")
        self.compare("labels", len(row.class_names), label.shape[1])
        self.compare_measured(measure(label, probability, predicted, resamples=self.resamples or 1, seed=row.seed))
        self.compare("metrics_rechosen", row.metrics_rechosen, None)
        self.thresholds(threshold, arrays.get("validation"))
        if not np.array_equal(probability >= threshold, predicted):
            self.fault("artefacts.predictions.called", "not where the probability reaches the label's threshold")
        if (patches := arrays.get("patches")) is not None:
            self.patches(patches, len(label))

    def thresholds(self, threshold_k: np.ndarray, validation: Arrays | None) -> None:
        """Compare the threshold of every label with one half, or with the best one on the validation scenes."""
        row = self.row
        self.compare("threshold", row.threshold, None)
        if row.threshold_from is None:
            self.compare("objective", row.objective, None)
            if not np.array_equal(threshold_k, np.full(len(row.class_names), 0.5)):
                self.fault("artefacts.predictions.threshold", "not one half for every label")
        elif row.threshold_from != "validation":
            self.fault("threshold_from", f"{row.threshold_from!r} is no way to choose the thresholds of labels")
        elif row.objective not in OBJECTIVES:
            self.fault("objective", f"{row.objective!r} is nothing that a threshold can be best at")
        elif (known := self.validation(validation, "thresholds", "label", "probability")) is not None:
            best = class_thresholds(known["label"], known["probability"], row.objective).threshold_k
            for name, saved, expected in zip(row.class_names, threshold_k, best, strict=True):
                finite = float(saved) if np.isfinite(saved) else None
                self.compare(f"artefacts.predictions.threshold.{name}", finite, float(expected))

    def patches(self, patches: Arrays, scenes: int) -> None:
        """Check that the pictures are of scenes of the split, under the row's labels."""
        if not self.holds(patches, "class_names", "row", "thumb", artefact="patches"):
            return
        self.compare("class_names", self.row.class_names, [str(name) for name in patches["class_names"]])
        places = patches["row"]
        if len(places) != len(patches["thumb"]) or ((places < 0) | (places >= scenes)).any():
            self.fault("artefacts.patches.row", "not a place in the split for every picture")
