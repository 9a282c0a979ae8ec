"""The form of a task's table of definitions."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from mtsccd_jax.report.rows import Row

Arrays = Mapping[str, np.ndarray]

Average = Literal["none", "micro", "macro", "samples"]
# Versions that the definitions of the libraries describe, and that the tests compare with.
SCIKIT_LEARN, TORCHMETRICS = "scikit-learn 1.9", "torchmetrics 1.9"


class Definition(NamedTuple):
    """What a metric of ours is.

    Attributes:
        average: "none": one number of all examples, or of one class; "micro": over all decisions; "macro": the mean
            over classes or labels; "samples": the mean over examples.
        denominator: What the sum is divided by, with facts of the row in braces: "{n} scenes".
        text: What is computed, in a sentence, with facts likewise.
    """

    average: Average
    denominator: str
    text: str

    def with_facts(self, facts: Mapping[str, str]) -> "Definition":
        """Return the definition with the facts of a row in it."""
        return Definition(self.average, self.denominator.format_map(facts), self.text.format_map(facts))


# Metrics that rows of any task may have, where something is known.
OF_ALL_TASKS = {
    "known_places": Definition(
        "none",
        "the examples",
        "Share of the examples that show a place of the network's training split, at whatever date.",
    ),
    "leaked": Definition(
        "none",
        "the examples",
        "Share of the examples whose image, or a copy of it, is in the training split, as a list of `data audit` says.",
    ),
}


@dataclass(frozen=True, eq=False)
class Evidence:
    """A row, and the arrays of the artefact that its numbers follow from; none where its file is not there."""

    row: Row
    arrays: Arrays

    @property
    def confusion(self) -> np.ndarray:
        """The counts of the row, int64."""
        return np.asarray(self.row.confusion, np.int64)

    def value(self, metric: str) -> float | None:
        """Return the row's own value of a metric, or None."""
        return self.row.metrics.get(metric, {}).get("value")


def pattern(row: Row, metric: str) -> str:
    """Return the name of a metric with its cut-off as a letter: "map_at_10_of_found" is "map_at_k_of_found"."""
    return re.sub(r"_at_\d+", "_at_k", metric)


@dataclass(frozen=True)
class Peer:
    """A definition of somebody else, beside a metric of ours.

    Attributes:
        who: Library with its version, paper, or the habit of a field.
        name: How it is called there.
        metric: The metric of ours that it is taken for; `_at_k` stands for every cut-off.
        text: What it does, and where this differs from ours.
        value: Computes it from the row and its arrays, given the name of our metric; None where it is undefined.
        needs: Arrays that this takes.
        dataset: Beginning of the data sets that it is of; empty for all.
    """

    who: str
    name: str
    metric: str
    text: str
    value: Callable[[Evidence, str], float | None]
    needs: tuple[str, ...] = ()
    dataset: str = ""


@dataclass(frozen=True)
class Definitions:
    """What the numbers of a task's rows mean.

    Attributes:
        metrics: Name -> definition; `_at_k` stands for every cut-off.
        peers: Definitions of others.
        artefact: Its rows' artefact that `Peer.value` takes arrays of.
        decision: Says in a sentence by what decision a row was made.
        facts: Returns the facts of a row that stand in its definitions.
        absent: Returns the names of the classes that no example has.
        name_of: Returns the name in `metrics` of a metric of a row.
    """

    metrics: Mapping[str, Definition]
    peers: Sequence[Peer]
    artefact: str
    decision: Callable[[Row], str]
    facts: Callable[[Evidence], Mapping[str, str]]
    absent: Callable[[Evidence], list[str]]
    name_of: Callable[[Row, str], str] = pattern

    def of(self, row: Row, metric: str) -> Definition | None:
        """Return the definition of a metric of a row; None where it has none."""
        return self.metrics.get(self.name_of(row, metric), OF_ALL_TASKS.get(metric))


def own(evidence: Evidence, metric: str) -> float | None:
    """Return the row's own value: the definition of a peer that is the same in everything."""
    return evidence.value(metric)
