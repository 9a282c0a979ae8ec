"""What the page shows of the tasks, one line each; a page is made from files, so importing this needs no engine."""

from mtsccd_jax.tasks.certainty.report import REPORT as CERTAINTY
from mtsccd_jax.tasks.change.report import REPORT as CHANGE
from mtsccd_jax.tasks.labels.report import REPORT as LABELS
from mtsccd_jax.tasks.scenes.report import REPORT as SCENES
from mtsccd_jax.tasks.search.report import REPORT as SEARCH
from mtsccd_jax.tasks.shift.report import REPORT as SHIFT

# In the order of the page.
REPORTS = (
    SCENES,
    CHANGE,
    SHIFT,
    CERTAINTY,
    LABELS,
    SEARCH,
)
