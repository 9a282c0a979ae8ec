"""Rows in one line for people."""

import pytest
from made_up_rows import change_row

from mtsccd_jax.tasks.table import summary_line

MOSTLY_CHANGED = [[10, 15], [12, 27]]
UNKNOWN = (None, None, None)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "oa 0.8500 [0.8300, 0.8700]  kappa 0.3000 [0.2000, 0.4000]  n = 100  trivial (all unchanged): oa 0.8000"),
        ({"kappa": (-0.1, -0.2, 0.1)}, "oa 0.8000, kappa 0.0000; BELOW it in kappa"),
        ({"oa": (0.7, 0.6, 0.8)}, "; BELOW it in oa"),
        ({"oa": UNKNOWN, "kappa": UNKNOWN}, "oa -  kappa -  n = 100"),
        ({"baseline": None}, "kappa 0.3000 [0.2000, 0.4000]  n = 100"),
        # A row that was written when "all unchanged" was the only trivial answer.
        (
            {"oa": (0.578, 0.5, 0.6), "n": 64, "confusion": MOSTLY_CHANGED, "trivial": 25 / 64},
            "n = 64  trivial (all changed): oa 0.6094, kappa 0.0000; BELOW it in oa",
        ),
    ],
)
def test_a_row_is_shown_beside_its_trivial_answer(fields, words):
    line = summary_line(change_row(**fields))
    assert line.startswith("cfsm       test_a      oa ")
    assert words in line
    assert ("BELOW" in line) == ("BELOW" in words)
