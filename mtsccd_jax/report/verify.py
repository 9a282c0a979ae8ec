"""Whether rows are what their artefacts say: every number of a row computed again from what was saved with it.

The numbers are recomputed by the functions that made them, so `verify` finds rows and artefacts that were changed or do
not belong together. That the functions are right is shown by the tests, which compare them with other implementations.
"""

import abc
import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mtsccd_jax.errors import InputError
from mtsccd_jax.files import read_bytes
from mtsccd_jax.report import rows, runs, text
from mtsccd_jax.report.arrays import damaged_arrays
from mtsccd_jax.report.measured import Measured
from mtsccd_jax.report.published import Published
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.workdirs import work_directories

Arrays = dict[str, np.ndarray]

# Both sides are float64 from the same integers; they may differ in the order of a few operations.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Difference:
    """A key of a row that is not what the artefacts give."""

    workdir: Path
    row: str  # the row's id
    what: str  # protocol, split, network and seed of the row
    key: str  # dotted name of the value, such as "metrics.kappa.low" or "artefacts.predictions"
    reason: str  # what is saved and what was recomputed, or why it cannot be


def verify(
    folder: str | os.PathLike[str], checks: Mapping[str, type["Check"]]
) -> Iterator[tuple[Path, Row, list[Difference]]]:
    """Check every row of a work directory, or of a folder of them, by its protocol; yield it with its differences.

    Raises:
        InputError: there are no rows, or a line of a `rows.jsonl` cannot be read.
    """
    workdirs = work_directories(folder)
    loaded = [(workdir, *line) for workdir in workdirs for line in _last_lines(workdir)]
    if not loaded:
        raise InputError(f"{Path(folder) / rows.ROWS_FILE}: no rows to verify; run `mtsccd-jax evaluate` first")
    for workdir, where, row, changed in loaded:
        check = checks[row.protocol](workdir, row)
        told = {difference.key.partition(".")[0] for difference in check.run()}
        for key in changed:
            if key not in told:
                check.fault(key, f"changed after it was written ({where})")
        yield workdir, row, check.differences


def _last_lines(workdir: Path) -> list[tuple[str, Row, list[str]]]:
    """Return the last line of every row of a work directory, as `rows.read` yields it."""
    return list({row.id: (where, row, changed) for where, row, changed in rows.read(workdir)}.values())


class Check(abc.ABC):
    """Compares one row with its artefacts and keeps the differences."""

    # The artefact that the numbers follow from.
    main: ClassVar[str] = "predictions"

    def __init__(self, workdir: Path, row: Row):
        self.workdir, self.row = workdir, row
        self.differences: list[Difference] = []
        self.width = runs.width(row)
        resamples = (row.recipe.get("evaluation") or {}).get("resamples")
        self.resamples = resamples if isinstance(resamples, int) and resamples > 0 else None
        self.leaked: np.ndarray | None = None  # which examples have a copy in training, where the row tells

    @abc.abstractmethod
    def published(self) -> Published | None:
        """Return the published value of the row's network, data and protocol."""

    @abc.abstractmethod
    def content(self, arrays: Mapping[str, Arrays]) -> None:
        """Compare the numbers of the row with those of its artefacts, of which `main` is there."""

    def run(self) -> list[Difference]:
        """Return what of the row differs from what its artefacts give; empty where all agrees."""
        self.identity()
        arrays = {name: found for name in self.row.artefacts if (found := self.artefact(name)) is not None}
        if self.main not in self.row.artefacts:
            self.fault(f"artefacts.{self.main}", "the row names none, so nothing of it can be recomputed")
        elif self.main in arrays:
            self.leaked = arrays[self.main].get("leaked")
            try:
                self.content(arrays)
            except (ValueError, IndexError, TypeError) as error:
                self.fault(f"artefacts.{self.main}", f"its arrays do not fit together ({error})")
        return self.differences

    def fault(self, key: str, reason: str) -> None:
        """Keep that a value cannot be right, and why."""
        row = self.row
        what = f"{row.protocol} on {row.split}, {runs.network(row)}, seed {row.seed}"
        self.differences.append(Difference(self.workdir, row.id, what, key, reason))

    def compare(self, key: str, saved: Any, recomputed: Any) -> None:
        """Keep the value, or the leaves of nested values, that differ."""
        if isinstance(saved, Mapping) and isinstance(recomputed, Mapping):
            for name in dict.fromkeys([*recomputed, *saved]):
                self.compare(f"{key}.{name}", saved.get(name), recomputed.get(name))
        elif not _agree(saved, recomputed):
            self.fault(key, f"saved {_shown(saved)}, recomputed {_shown(recomputed)}")

    def compare_measured(self, measured: Measured) -> None:
        """Compare the numbers of the row with recomputed ones; the intervals only where resamples are known."""
        row = self.row
        if self.leaked is not None:
            measured = measured.with_share("leaked", self.leaked)
        self.compare("n", row.n, measured.n)
        self.compare("confusion", row.confusion, measured.confusion.tolist())
        if self.resamples is not None:
            self.compare("metrics", row.metrics, measured.metrics)
        self.compare("baseline", text.baseline(row) or None, measured.baseline)

    def identity(self) -> None:
        """Compare id, seed, network and published value with what the recipe, split and protocol give."""
        row = self.row
        change = row.recipe.get("change")
        usual = change.get("objective") if isinstance(change, dict) else None
        objective = row.objective if row.objective != usual else None
        data = rows.data_identity(row.dataset, str(row.checksums.get("data")), row.recipe)
        identity = rows.row_id(row.recipe, row.split, row.protocol, row.seed, objective=objective, dataset=data)
        self.compare("id", row.id, identity)
        self.compare("seed", row.seed, row.recipe.get("seed"))
        self.compare("model", row.model, (row.recipe.get("model") or {}).get("name"))
        paper = self.published()
        self.compare("published", row.published, dataclasses.asdict(paper) if paper else None)
        if self.resamples is None:
            self.fault("recipe.evaluation.resamples", "not a positive number, so no interval can be recomputed")

    def artefact(self, name: str) -> Arrays | None:
        """Read the arrays of an artefact; keep why, and return None, where its file is missing or not the row's own."""
        key, relative = f"artefacts.{name}", self.row.artefacts[name]
        path = self.workdir / relative
        if not path.is_file():
            self.fault(key, f"{relative} is missing")
            return None
        expected = (self.row.checksums.get("artefacts") or {}).get(name)
        content = read_bytes(path)
        actual = hashlib.sha256(content).hexdigest()
        if expected is None:
            self.fault(key, f"the row has no checksum of {relative}")
        elif expected != actual:
            sums = f"sha256 {actual[:12]}…, not {expected[:12]}…"
            self.fault(key, f"{relative} is not the file of this row ({sums}): {damaged_arrays(content)}")
            return None
        try:
            return rows.load_artefact(self.workdir, self.row, name)
        except InputError as error:
            self.fault(key, str(error))
            return None

    def holds(self, arrays: Arrays, *names: str, artefact: str | None = None) -> bool:
        """Return whether an artefact, `main` unless named, has all these arrays; keep those that it lacks."""
        absent = [name for name in names if name not in arrays]
        if absent:
            self.fault(f"artefacts.{artefact or self.main}", f"lacks {', '.join(absent)}")
        return not absent

    def validation(self, found: Arrays | None, chosen: str, *names: str) -> Arrays | None:
        """Return the artefact that a threshold was chosen on, with these arrays; keep why where it is not there."""
        if "validation" not in self.row.artefacts:
            self.fault("artefacts.validation", f"the row names none, so its {chosen} cannot be recomputed")
            return None
        return found if found is not None and self.holds(found, *names, artefact="validation") else None


def _agree(saved: Any, recomputed: Any) -> bool:
    """Return whether two values are the same: numbers within `TOLERANCE`; null is what is not finite."""
    if isinstance(recomputed, float) and not math.isfinite(recomputed):
        return saved is None
    if isinstance(saved, bool) or isinstance(recomputed, bool) or saved is None or recomputed is None:
        return saved is recomputed
    if isinstance(saved, int | float) and isinstance(recomputed, int | float):
        return math.isclose(saved, recomputed, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(saved == recomputed)


def _shown(value: Any) -> str:
    """Return the value in at most 80 characters."""
    text = "null" if value is None or (isinstance(value, float) and not math.isfinite(value)) else str(value)
    if isinstance(value, list | dict):
        text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
