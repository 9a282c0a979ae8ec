"""One published value, as rows hold it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One published value. `dataclasses.asdict` of it is the `published` of a row.

    Attributes:
        source: Paper and table.
        model: Name of the network in the source.
        oa: Overall accuracy in [0, 1], or None where the table has none.
        kappa: Cohen's kappa, or None where the table has none.
        threshold: The printed threshold, or None.
        possible: Whether a two-class confusion matrix can have this overall accuracy and kappa.
        reason: Why, in one sentence; for several labels an image, what the values are of.
        metrics: Further metrics by name, in [0, 1], or None where the table has no others.
    """

    source: str
    model: str
    oa: float | None = None
    kappa: float | None = None
    threshold: float | None = None
    possible: bool = True
    reason: str = ""
    metrics: dict[str, float] | None = None
