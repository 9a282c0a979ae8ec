"""Shift between cities, as the commands know it."""

from mtsccd_jax.tasks.kind import RowKind
from mtsccd_jax.tasks.shift import SUMS_UP
from mtsccd_jax.tasks.shift.verify import ShiftCheck

SHIFT = RowKind(protocols=tuple(SUMS_UP), headline=("out_of_city_oa", "gap_oa"), check=ShiftCheck)
