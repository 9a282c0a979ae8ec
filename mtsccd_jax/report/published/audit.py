"""Which published results are possible: overall accuracy and kappa of the MtSCCD paper's Table 7, or those of a file.

`entries` says what a file may hold. Every entry gets one of four answers: possible; impossible at any size; within the
bounds, but no table of the known counts prints so; or not decided.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mtsccd_jax.report.published import tables
from mtsccd_jax.report.published.confusion_feasibility import Feasibility, State, feasibility
from mtsccd_jax.report.published.entries import Entry, ScoresEntry, read
from mtsccd_jax.report.published.scores_feasibility import Decision, decide, kappa_bounds


@dataclass(frozen=True)
class Finding:
    """An entry and which confusion matrices it allows."""

    entry: Entry
    audit: Feasibility

    @property
    def state(self) -> State:
        """Whether the entry is possible."""
        return self.audit.state

    @property
    def numbers(self) -> tuple[float | None, ...]:
        """The overall accuracy, kappa, and the largest kappa that the overall accuracy allows."""
        return self.entry.oa, self.entry.kappa, self.audit.bound

    @property
    def text(self) -> str:
        """Whether the entry is possible, in a few words."""
        entry, audit = self.entry, self.audit
        if entry.kappa > audit.bound and not audit.possible:
            text = f"impossible: kappa is at most {audit.bound:.4f}"
        elif not audit.possible:
            text = "impossible: kappa is too low"
        elif audit.tables is None:
            text = "possible"
        elif audit.recovered is not None:
            tn, fp, fn, tp = audit.recovered
            text = f"TN {tn}, FP {fp}, FN {fn}, TP {tp}"
        elif audit.tables:
            text = f"possible: {len(audit.tables)} tables fit"
        elif audit.cut_off:
            text = "possible if both are cut off, not rounded"
        else:
            positives = f" with {entry.positives:,} positives" if entry.positives is not None else ""
            text = f"no table of {entry.n:,}{positives} rounds to both"
        return f"{text}; OA of never saying 'changed'" if audit.all_unchanged else text

    @property
    def record(self) -> dict[str, Any]:
        """The same as plain values; the table is (tn, fp, fn, tp), or None unless exactly one fits."""
        entry, audit = self.entry, self.audit
        return {
            **entry.label,
            "oa": entry.oa,
            "kappa": entry.kappa,
            "kappa_bound": audit.bound,
            "possible": audit.possible,
            "state": self.state,
            "all_unchanged": audit.all_unchanged,
            "table": audit.recovered if audit.possible else None,
        }


@dataclass(frozen=True)
class ScoresFinding:
    """An entry of several classes or labels, and whether some table prints so."""

    entry: ScoresEntry
    decision: Decision

    @property
    def state(self) -> State:
        """Whether the entry is possible."""
        return self.decision.state

    @property
    def numbers(self) -> tuple[float | None, ...]:
        """The overall accuracy, kappa, and the largest kappa that the overall accuracy allows; None where not known."""
        scores = self.entry.scores
        oa = scores.values.get("oa")
        return oa, scores.values.get("kappa"), None if oa is None else kappa_bounds(oa, scores.k)[1]

    @property
    def text(self) -> str:
        """Whether the entry is possible, in a few words."""
        state, reason = self.decision
        if state == "no_table":
            return reason
        words = {"not_decided": "not decided: nothing contradicts it, and no table was found"}.get(state, state)
        return f"{words}: {reason}" if reason else words

    @property
    def record(self) -> dict[str, Any]:
        """The same as plain values."""
        scores = self.entry.scores
        return {
            **self.entry.label,
            "labels" if scores.several else "classes": scores.k,
            **scores.values,
            **scores.by_class,
            "kappa_bound": self.numbers[2],
            "possible": {"possible": True, "not_decided": None}.get(self.state, False),
            "state": self.state,
            "reason": self.decision.reason,
        }


def audit(path: str | os.PathLike[str] | None = None) -> list[Finding | ScoresFinding]:
    """Audit every entry of a file, or the 46 of the paper's Table 7."""
    return [examine(entry) for entry in entries(path)]


def entries(path: str | os.PathLike[str] | None = None) -> Sequence[Entry | ScoresEntry]:
    """Return the entries of a file, or the 46 of the paper's Table 7."""
    return table_7() if path is None else read(path)


def examine(entry: Entry | ScoresEntry) -> Finding | ScoresFinding:
    """Find out whether an entry is possible."""
    if isinstance(entry, ScoresEntry):
        return ScoresFinding(entry, decide(entry.scores))
    return Finding(entry, feasibility(entry.oa, entry.kappa, entry.n, entry.positives, entry.decimals))


def counts(found: Sequence[Finding | ScoresFinding]) -> dict[str, int]:
    """Count the entries: all, by their states, with the all-unchanged accuracy, and with a single matrix."""
    states = [finding.state for finding in found]
    audits = [finding.audit for finding in found if isinstance(finding, Finding)]
    return {
        "entries": len(found),
        "impossible": states.count("impossible"),
        "no_table": states.count("no_table"),
        "not_decided": states.count("not_decided"),
        "all_unchanged": sum(bool(audit.all_unchanged) for audit in audits),
        "recovered": sum(audit.possible and audit.recovered is not None for audit in audits),
    }


def table_7() -> list[Entry]:
    """Return the 46 entries of the MtSCCD paper's Table 7: 23 lines, two test sets each."""
    return [
        Entry(
            {
                "method": tables.METHOD_NAMES[entry.method],
                "network": entry.model,
                "test set": f"{entry.split[-1].upper()} ({tables.CITIES[entry.split]})",
            },
            entry.oa,
            entry.kappa,
            *tables.PAIRS_CHANGED[entry.split],
        )
        for entry in tables.table_7()
    ]
