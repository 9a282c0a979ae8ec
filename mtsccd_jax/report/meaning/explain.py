"""A row explained: what was measured, by what decision, and what peers would say of the same predictions."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtsccd_jax.errors import InputError
from mtsccd_jax.report import runs, text
from mtsccd_jax.report.meaning.definitions import Definition, Definitions, Evidence, Peer
from mtsccd_jax.report.rows import Row, load_artefact
from mtsccd_jax.report.sections import TaskReport
from mtsccd_jax.report.workdirs import load_all

# Where work directories lie unless they are named.
USUAL_FOLDER = "runs"
# Values that differ by less are the same in another order of operations.
_SAME = 1e-9
# Rows that a message names.
_NAMED = 6
# What arrays that do not belong together raise.
_UNFITTING = (ValueError, IndexError, TypeError)


@dataclass(frozen=True)
class Reading:
    """A peer's definition, read on the predictions of a row."""

    peer: Peer
    metric: str  # of the row
    value: float | None  # None where it is undefined, or where its arrays are not there
    own: float | None
    missing: str = ""  # why it could not be computed

    @property
    def same(self) -> bool:
        """Whether it gives the value of the row."""
        if self.value is None or self.own is None:
            return self.value is self.own and not self.missing
        return math.isclose(self.value, self.own, rel_tol=_SAME, abs_tol=_SAME)

    @property
    def name(self) -> str:
        """How the peer calls it, with the cut-off of the metric."""
        cut = self.metric.partition("_at_")[2].partition("_")[0]
        return self.peer.name.replace("@k", f"@{cut}").replace("top_k=k", f"top_k={cut}") if cut else self.peer.name


@dataclass(frozen=True)
class Explanation:
    """A row with what its numbers mean."""

    row: Row
    definitions: Definitions
    facts: Mapping[str, str]  # that stand in denominators
    absent: list[str]  # classes that no example has
    readings: tuple[Reading, ...]

    @property
    def decision(self) -> str:
        """By what decision the row was made, in a sentence."""
        return self.definitions.decision(self.row)

    @property
    def present(self) -> list[str]:
        """The classes that some example has."""
        return [name for name in self.row.class_names if name not in self.absent]

    def definition(self, metric: str) -> Definition | None:
        """Return the definition of a metric with the facts of the row in it; None where it has none."""
        found = self.definitions.of(self.row, metric)
        return found and found.with_facts(self.facts)

    @property
    def record(self) -> dict[str, Any]:
        """The same as plain values."""
        row = self.row
        metrics = {}
        for name, entry in row.metrics.items():
            found = self.definition(name)
            metrics[name] = {
                **{end: entry[end] for end in ("value", "low", "high")},
                "average": found.average if found else None,
                "denominator": found.denominator if found else None,
                "definition": found.text if found else None,
            }
        peers = [
            {
                "who": reading.peer.who,
                "name": reading.name,
                "metric": reading.metric,
                "definition": reading.peer.text,
                "value": reading.value,
                "same": reading.same,
            }
            for reading in self.readings
        ]
        return {
            "row": row.id,
            **{
                name: getattr(row, name) for name in ("protocol", "dataset", "split", "generated", "model", "seed", "n")
            },
            "decision": self.decision,
            "threshold": {"value": row.threshold, "objective": row.objective, "from": row.threshold_from},
            "classes": self.present,
            "classes_absent": self.absent,
            "metrics": metrics,
            "baseline": text.baseline(row) or None,
            "published": row.published,
            "peers": peers,
        }


def explain(workdir: Path, row: Row, task: TaskReport) -> Explanation:
    """Explain a row of a work directory by the definitions of its task.

    Where the artefact is absent or not the row's own, what needs its arrays is not known.

    Raises:
        InputError: The counts of the row do not fit its classes.
    """
    definitions, missing = task.definitions, ""
    try:
        arrays = load_artefact(workdir, row, definitions.artefact) or {}
    except InputError as error:
        arrays, missing = {}, str(error)
    evidence = Evidence(row, arrays)
    try:
        facts, absent = definitions.facts(evidence), definitions.absent(evidence)
    except _UNFITTING as error:
        raise InputError(f"row {row.id}: its counts do not fit its classes ({error}); evaluate it again") from None
    readings = tuple(
        _read(peer, metric, evidence, missing)
        for metric in row.metrics
        for peer in definitions.peers
        if peer.metric == definitions.name_of(row, metric) and row.dataset.startswith(peer.dataset)
    )
    return Explanation(row, definitions, facts, absent, readings)


def _read(peer: Peer, metric: str, evidence: Evidence, missing: str) -> Reading:
    """Read a peer's definition on the predictions of a row."""
    own = evidence.value(metric)
    if absent := [name for name in peer.needs if name not in evidence.arrays]:
        return Reading(peer, metric, None, own, missing or f"no array {', '.join(absent)} with the row")
    try:
        return Reading(peer, metric, peer.value(evidence, metric), own)
    except _UNFITTING as error:
        return Reading(peer, metric, None, own, f"its arrays do not fit together ({error})")


def find(wanted: str, workdirs: Sequence[str | os.PathLike[str]]) -> tuple[Path, Row]:
    """Return the row that is meant, with its work directory.

    Args:
        wanted: The id of a row, the beginning of one, or "PROTOCOL:SPLIT".
        workdirs: Where to look; without any in `runs`.

    Raises:
        InputError: No row is meant, or more than one; or a work directory has no rows.
    """
    if not workdirs and not Path(USUAL_FOLDER).is_dir():
        raise InputError(
            f"{USUAL_FOLDER}: no such folder; name the work directory: mtsccd-jax explain {wanted} WORKDIR"
        )
    loaded = load_all(workdirs or [USUAL_FOLDER])
    by_place = [entry for entry in loaded if _place(entry[1]) == wanted]
    found = (
        [entry for entry in loaded if entry[1].id == wanted]
        or by_place
        or [entry for entry in loaded if wanted and entry[1].id.startswith(wanted)]
    )
    if len(found) == 1:
        return found[0]
    if not found:
        places = ", ".join(dict.fromkeys(_place(row) for _, row in loaded))
        raise InputError(
            f"{wanted!r}: no row's id begins so, and none is of this protocol and split; there are {places}"
        )
    rows = [row for _, row in found]
    named = ", ".join(
        f"{row.id} ({', '.join(filter(None, (_place(row), runs.network(row), f'seed {row.seed}', different)))})"
        for row, different in zip(rows[:_NAMED], runs.different_settings(rows), strict=False)
    )
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    raise InputError(f"{wanted!r} is {len(found)} rows; give the beginning of one id: {named}{more}")


def _place(row: Row) -> str:
    return f"{row.protocol}:{row.split}"
