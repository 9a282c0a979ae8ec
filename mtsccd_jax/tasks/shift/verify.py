"""Whether the numbers of a shift row follow from the predictions of its networks."""

from collections.abc import Mapping

import numpy as np

from mtsccd_jax.report.verify import Arrays, Check
from mtsccd_jax.tasks.shift.measure import measure


class ShiftCheck(Check):
    """Compares a shift row with its artefact."""

    def published(self) -> None:
        """Return nothing: no source has such values."""

    def content(self, arrays: Mapping[str, Arrays]) -> None:
        """Compare the numbers of the row with those of its predictions."""
        predictions, row = arrays["predictions"], self.row
        if not self.holds(predictions, "truth", "predicted", "city", "city_names", "classes"):
            return
        self.compare("class_names", row.class_names, predictions["city_names"].tolist())
        self.compare_measured(
            measure(
                predictions["truth"].astype(np.int64),
                predictions["predicted"].astype(np.int64),
                predictions["city"].astype(np.int64),
                row.class_names,
                int(predictions["classes"]),
                resamples=self.resamples or 1,
                seed=row.seed,
            )
        )
