"""Rows whose calls stand alone: each is looked up in the record, else made ready, measured and added."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax

from mtsccd_jax.errors import InputError
from mtsccd_jax.perf.bench.windows import Protocol, time_calls
from mtsccd_jax.perf.records import Measurement, RecordFile, Scalar, measurement
from mtsccd_jax.perf.timing import Timing

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ready:
    """What is timed, made ready.

    Attributes:
        call: returns what is to be waited for.
        amount: how many of the unit (images, pairs) one call does.
        details: of the row, from the finished timing.
    """

    call: Callable[[], Any]
    amount: int
    details: Callable[[Timing], Mapping[str, Scalar]] = field(default=lambda timing: {})


@dataclass(frozen=True)
class Case:
    """A row to come; `prepare` raises InputError with the reason where there can be none."""

    name: str
    conditions: Mapping[str, Scalar]
    unit: str
    prepare: Callable[[], Ready]


def run_cases(cases: list[Case], protocol: Protocol, record: RecordFile) -> list[Measurement]:
    """The rows of all cases, those that the record has already and those that are measured now."""
    rows = []
    for case in cases:
        row = record.find(case.name, case.conditions, case.unit)
        if row is None:
            row = _measured(case, protocol)
            record.add(row)
            logger.info(line(row))
        rows.append(row)
    return rows


def _measured(case: Case, protocol: Protocol) -> Measurement:
    try:
        ready = case.prepare()
    except InputError as error:
        return Measurement(name=case.name, conditions=case.conditions, unit=case.unit, reason=str(error))

    def waited() -> None:
        jax.block_until_ready(ready.call())  # results may be large: none is kept while the next is made

    timing = time_calls({case.name: waited}, protocol)[case.name]
    return measurement(case.name, case.conditions, case.unit, timing, ready.amount, ready.details(timing))


def line(row: Measurement) -> str:
    """A row in one line, for people."""
    if row.rate is None:
        return f"{row.title()}: {row.reason}"
    rates = f"{_short(row.rate)} {row.unit} ({_short(row.rate_p10)} to {_short(row.rate_p90)})"
    others = [f"{name} {_short(value)}" for name, value in row.details.items() if isinstance(value, float)]
    return ", ".join([f"{row.title()}: {rates}", *others])


def _short(value: float | None) -> str:
    """A number with four digits that count."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
