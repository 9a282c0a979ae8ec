"""One published value, as rows hold it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One published value, None where the table has none. `dataclasses.asdict` of it is the `published` of a row."""

    source: str  # paper and table
    model: str  # name of the network in the source
    oa: float | None = None
    kappa: float | None = None
    threshold: float | None = None
    possible: bool = True  # whether a two-class confusion matrix can have both numbers
    reason: str = ""  # why, in one sentence; for several labels an image, what the values are of
    metrics: dict[str, float] | None = None  # further metrics by name, in [0, 1]
