"""Whether the numbers of a scene row follow from its labels and predictions."""

from collections.abc import Mapping

import numpy as np

from mtsccd_jax.report.published import Published
from mtsccd_jax.report.verify import Arrays, Check
from mtsccd_jax.tasks.scenes.evaluate import measure, published_value


class SceneCheck(Check):
    """Compares a scene row with its artefacts."""

    def published(self) -> Published | None:
        """Return the entry of Table 6."""
        return published_value(self.row.dataset, self.row.model, self.row.split, self.width)

    def content(self, arrays: Mapping[str, Arrays]) -> None:
        """Compare the numbers of the row with those of its predictions."""
        predictions, row = arrays["predictions"], self.row
        if not self.holds(predictions, "label", "prediction"):
            return
        label, prediction = (predictions[name].astype(np.int64) for name in ("label", "prediction"))
        for name, of in {"probability": "probability", "decision": "decision value"}.items():
            if name in predictions and not np.array_equal(predictions[name].argmax(1), prediction):
                self.fault("artefacts.predictions.prediction", f"not the class of the largest {of} everywhere")
        self.compare_measured(
            measure(label, prediction, len(row.class_names), resamples=self.resamples or 1, seed=row.seed)
        )
        if (scenes := arrays.get("scenes")) is not None and "class_names" in scenes:
            self.compare("class_names", row.class_names, [str(name) for name in scenes["class_names"]])
