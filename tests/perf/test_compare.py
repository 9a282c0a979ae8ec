"""The guard against slower rows, on made-up records."""

import json

import pytest

from benchmarks.compare import main
from mtsccd_jax.perf.records import Measurement, Record, save

ENVIRONMENT = {"platform": "cpu", "cpu": "a", "cores": 2, "versions": {"jax": "0.10.2"}}


def row(name, rate, width=0.02, unit="images/s", batch=8):
    """Return a row whose 10th and 90th percentile lie `width` of the rate below and above it."""
    rates = {"rate": rate, "rate_p10": rate * (1 - width), "rate_p90": rate * (1 + width)} if rate else {"reason": "no"}
    return Measurement(name=name, conditions={"batch": batch}, unit=unit, windows=5, **rates)


@pytest.fixture
def compared(tmp_path, capsys):
    """Compare two lists of rows; return exit status, JSON and standard error."""

    def call(old, new, *options, environment=ENVIRONMENT):
        for name, rows, around in (("old", old, ENVIRONMENT), ("new", new, environment)):
            made = Record(benchmark="m", command="c", date="d", environment=around, rows=tuple(rows))
            save(made, tmp_path / f"{name}.json")
        status = main([str(tmp_path / "old.json"), str(tmp_path / "new.json"), *options])
        said = capsys.readouterr()
        return status, json.loads(said.out) if said.out else None, said.err

    return call


@pytest.mark.parametrize(
    ("old", "new", "change", "status"),
    [
        (row("a", 100), row("a", 80), "slower", 1),
        (row("a", 100), row("a", 120), "faster", 0),
        (row("a", 100), row("a", 97, 0.001), "same", 0),  # apart, but by less than the tolerance
        (row("a", 100, 0.2), row("a", 80, 0.2), "same", 0),  # the intervals overlap
        (row("a", 100, 0.2), row("a", 70, 0.1), "slower", 1),
        (row("a", 100), row("a", None), "slower", 1),
        (row("a", None), row("a", 100), "faster", 0),
        (row("a", None), row("a", None), "same", 0),
    ],
)
def test_a_row_changes_beyond_spread_and_tolerance(compared, old, new, change, status):
    found, counts, said = compared([old], [new])
    assert found == status
    assert {name: count for name, count in counts.items() if count and name != "differences"} == {change: 1}
    assert change in said


def test_the_tolerance_is_the_callers(compared):
    assert compared([row("a", 100, 0.001)], [row("a", 97, 0.001)], "--tolerance", "0.02")[0] == 1


def test_rows_in_one_record_only_or_of_another_unit_or_batch_are_not_compared(compared):
    new = [row("a", 1, unit="batches/s"), row("a", 1, batch=16), row("b", 100)]
    status, counts, said = compared([row("a", 100), row("b", 100)], new)
    assert status == 0
    assert (counts["same"], counts["gone"], counts["new"]) == (1, 1, 2)
    assert "gone    a batch=8" in said
    assert "new     a batch=16" in said


def test_other_hardware_and_versions_are_said(compared):
    other = ENVIRONMENT | {"versions": {"jax": "0.12.0"}}
    status, counts, said = compared([row("a", 100)], [row("a", 100)], environment=other)
    assert status == 0
    assert counts["differences"] == ["jax 0.10.2 there, 0.12.0 here"]
    assert "differs: jax 0.10.2 there, 0.12.0 here" in said


def test_records_that_cannot_be_compared(compared, tmp_path, capsys):
    status, counts, said = compared([row("a", 100)], [row("b", 100)])
    assert (status, counts) == (2, None)
    assert "no row is in both" in said
    assert main([str(tmp_path / "old.json"), str(tmp_path / "none.json")]) == 2
    assert "cannot be read" in capsys.readouterr().err
