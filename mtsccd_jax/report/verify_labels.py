"""Whether the figures of a row of several labels an image follow from its labels, probabilities and thresholds."""

from collections.abc import Mapping

import numpy as np

from mtsccd_jax.ops.multilabel import METRICS as LABEL_METRICS
from mtsccd_jax.report import recompute, recompute_labels
from mtsccd_jax.report.row_check import Arrays, Check


class LabelCheck(Check):
    """Compares a row of several labels an image with its artefacts."""

    def content(self, arrays: Mapping[str, Arrays]) -> None:
        """The figures of the row follow from what is true, what it is called, and how likely."""
        row, predictions = self.row, arrays["predictions"]
        if not self.holds(predictions, "label", "probability", "called", "threshold", "filename"):
            return
        label, called = predictions["label"].astype(bool), predictions["called"].astype(bool)
        probability = predictions["probability"]
        self.compare("n", row.n, len(label))
        self.compare("confusion", row.confusion, _confusions(label, called))
        self.compare("labels", len(row.class_names), label.shape[1])
        if len(predictions["filename"]) != len(label):
            self.fault("artefacts.predictions.filename", "not one for each image")
        self.figures(label, probability, called)
        share = label.mean(0)
        frequent = np.broadcast_to(share, label.shape)
        trivial = {"name": "label frequencies", **recompute_labels.measured(label, frequent, frequent >= 0.5)}
        self.compare("baseline", row.baseline, trivial)
        self.thresholds(predictions["threshold"], arrays.get("validation"), label.shape[1])
        if not np.array_equal(probability >= predictions["threshold"], called):
            self.fault("artefacts.predictions.called", "not where the probability reaches the label's threshold")
        if (patches := arrays.get("patches")) is not None:
            self.patches(patches, len(label))

    def figures(self, label_nk: np.ndarray, probability_nk: np.ndarray, called_nk: np.ndarray) -> None:
        """Every metric of the row is that of its predictions, with the interval of the recipe's seed and resamples."""
        if self.resamples is None:
            return
        values = recompute_labels.measured(label_nk, probability_nk, called_nk)
        drawn = recompute_labels.redrawn(label_nk, probability_nk, called_nk, self.resamples, self.row.seed)
        expected = {name: {"value": values[name], **recompute.interval(drawn[name])} for name in LABEL_METRICS}
        self.compare("metrics", self.row.metrics, expected)
        self.compare("metrics_rechosen", self.row.metrics_rechosen, None)

    def thresholds(self, threshold_k: np.ndarray, validation: Arrays | None, labels: int) -> None:
        """Every label's threshold is one half, or the best one of the label on the validation images."""
        row = self.row
        self.compare("threshold", row.threshold, None)
        if row.threshold_from is None:
            self.compare("objective", row.objective, None)
            if not np.array_equal(threshold_k, np.full(labels, 0.5)):
                self.fault("artefacts.predictions.threshold", "not one half for every label")
        elif row.threshold_from != "validation":
            self.fault("threshold_from", f"{row.threshold_from!r} is no way to choose the thresholds of labels")
        elif row.objective not in recompute.METRICS:
            self.fault("objective", f"{row.objective!r} is nothing that a threshold can be best at")
        elif "validation" not in row.artefacts:
            self.fault("artefacts.validation", "the row names none, so its thresholds cannot be recomputed")
        elif validation is not None:
            if absent := {"label", "probability"} - validation.keys():
                self.fault("artefacts.validation", f"lacks {', '.join(sorted(absent))}")
                return
            known, seen = validation["label"].astype(bool), validation["probability"].astype(np.float64)
            best = [recompute.best_threshold(seen[:, k], known[:, k], row.objective) for k in range(labels)]
            for name, saved, expected in zip(row.class_names, threshold_k, best, strict=True):
                finite = float(saved) if np.isfinite(saved) else None
                self.compare(f"artefacts.predictions.threshold.{name}", finite, expected)

    def patches(self, patches: Arrays, images: int) -> None:
        """The pictures are of images of the split, under the row's labels."""
        if absent := {"thumb", "row", "class_names"} - patches.keys():
            self.fault("artefacts.patches", f"lacks {', '.join(sorted(absent))}")
            return
        self.compare("class_names", self.row.class_names, [str(name) for name in patches["class_names"]])
        places = patches["row"]
        if len(places) != len(patches["thumb"]) or ((places < 0) | (places >= images)).any():
            self.fault("artefacts.patches.row", "not a place in the split for every picture")


def _confusions(label_nk: np.ndarray, called_nk: np.ndarray) -> list[list[int]]:
    """[tn, fp, fn, tp] of every label as scikit-learn counts them."""
    from sklearn.metrics import multilabel_confusion_matrix

    return multilabel_confusion_matrix(label_nk, called_nk).reshape(-1, 4).tolist()
