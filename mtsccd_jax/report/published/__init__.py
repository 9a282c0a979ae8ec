"""Values that papers print, and which of them are possible.

`tables` holds Tables 5 to 7 of the MtSCCD paper, `labels` the published results with several labels an image.
`confusion_feasibility` decides which (overall accuracy, kappa) a two-class confusion matrix can have,
`scores_feasibility` which scores of several classes or labels go together, and `audit` applies both to Table 7 or to
the `entries` of a file. `scene`, `change` and `multilabel` return the published value beside one row.
"""

from mtsccd_jax.report.published.labels import multilabel
from mtsccd_jax.report.published.tables import change, scene
from mtsccd_jax.report.published.value import Published

__all__ = ["Published", "change", "multilabel", "scene"]
