"""One row beside what its artefacts give: what differs, and what every protocol's rows have in common."""

import abc
import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtsccd_jax.errors import InputError
from mtsccd_jax.report import published, rows, runs
from mtsccd_jax.report.published.tables import METHOD_NAMES
from mtsccd_jax.report.rows import Row

Arrays = dict[str, np.ndarray]

# Both sides are float64 from the same integers; they may differ in the order of a few operations.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Difference:
    """A key of a row that is not what the artefacts give.

    Attributes:
        workdir: The work directory of the row.
        row: The row's id.
        what: Protocol, split, network and seed of the row, in runs.
        key: Dotted name of the value, such as "metrics.kappa.low" or "artefacts.predictions".
        reason: What is saved and what was recomputed, or why it cannot be.
    """

    workdir: Path
    row: str
    what: str
    key: str
    reason: str


class Check(abc.ABC):
    """Compares one row with its artefacts and keeps what differs."""

    def __init__(self, workdir: Path, row: Row):
        self.workdir, self.row = workdir, row
        self.main = "queries" if row.protocol == "retrieval" else "predictions"
        self.differences: list[Difference] = []
        settings = row.recipe.get("change")
        self.settings: Mapping[str, Any] = settings if isinstance(settings, dict) else {}
        resamples = (row.recipe.get("evaluation") or {}).get("resamples")
        self.resamples = resamples if isinstance(resamples, int) and resamples > 0 else None

    @abc.abstractmethod
    def content(self, arrays: Mapping[str, Arrays]) -> None:
        """Nothing; compares the figures of the row with what its artefacts, `predictions` or `queries` first, give."""

    def fault(self, key: str, reason: str) -> None:
        """Keeps that a value cannot be right, and why."""
        row = self.row
        what = f"{row.protocol} on {row.split}, {runs.network(row)}, seed {row.seed}"
        self.differences.append(Difference(self.workdir, row.id, what, key, reason))

    def compare(self, key: str, saved: Any, recomputed: Any) -> None:
        """Keeps the value, or those leaves of nested ones, that differ."""
        if isinstance(saved, Mapping) and isinstance(recomputed, Mapping):
            for name in dict.fromkeys([*recomputed, *saved]):
                self.compare(f"{key}.{name}", saved.get(name), recomputed.get(name))
        elif not _agree(saved, recomputed):
            self.fault(key, f"saved {_shown(saved)}, recomputed {_shown(recomputed)}")

    def identity(self) -> None:
        """The row's id, seed, network and published value follow from its recipe, split and protocol."""
        row = self.row
        objective = row.objective if row.objective != self.settings.get("objective") else None
        data = rows.data_identity(row.dataset, str(row.checksums.get("data")))
        identity = rows.row_id(row.recipe, row.split, row.protocol, row.seed, objective=objective, dataset=data)
        self.compare("id", row.id, identity)
        self.compare("seed", row.seed, row.recipe.get("seed"))
        self.compare("model", row.model, (row.recipe.get("model") or {}).get("name"))
        paper = self.paper()
        self.compare("published", row.published, dataclasses.asdict(paper) if paper else None)
        if self.resamples is None:
            self.fault("recipe.evaluation.resamples", "not a positive number, so no interval can be recomputed")

    def paper(self) -> published.Published | None:
        """What is published of the row's network, data and protocol."""
        row, width = self.row, runs.width(self.row)
        if row.protocol == "multilabel":
            return published.multilabel(row.dataset, row.model, runs.bands(row), width, row.split)
        if not row.dataset.startswith("mtsccd_"):
            return None
        if row.protocol in METHOD_NAMES:
            return published.change(row.protocol, row.model, row.split, width)
        return published.scene(row.model, row.split, width) if row.protocol == "scene" else None

    def artefact(self, name: str) -> Arrays | None:
        """The arrays of an artefact; None, and why, where its file is missing, not the row's own or not readable."""
        key, relative = f"artefacts.{name}", self.row.artefacts[name]
        path = self.workdir / relative
        if not path.is_file():
            self.fault(key, f"{relative} is missing")
            return None
        expected = (self.row.checksums.get("artefacts") or {}).get(name)
        actual = hashlib.sha256(path.read_bytes()).hexdigest()
        if expected is None:
            self.fault(key, f"the row has no checksum of {relative}")
        elif expected != actual:
            self.fault(key, f"{relative} is not the file of this row (sha256 {actual[:12]}…, not {expected[:12]}…)")
            return None
        try:
            return rows.load_artefact(self.workdir, self.row, name)
        except InputError as error:
            self.fault(key, str(error))
            return None

    def holds(self, arrays: Arrays, *names: str) -> bool:
        """Whether the row's main artefact has all these arrays; keeps those that it lacks."""
        absent = [name for name in names if name not in arrays]
        if absent:
            self.fault(f"artefacts.{self.main}", f"lacks {', '.join(absent)}")
        return not absent


def _agree(saved: Any, recomputed: Any) -> bool:
    """Whether two values are the same; numbers up to `TOLERANCE`, and what is not finite is null in a row."""
    if isinstance(recomputed, float) and not math.isfinite(recomputed):
        return saved is None
    if isinstance(saved, bool) or isinstance(recomputed, bool) or saved is None or recomputed is None:
        return saved is recomputed
    if isinstance(saved, int | float) and isinstance(recomputed, int | float):
        return math.isclose(saved, recomputed, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(saved == recomputed)


def _shown(value: Any) -> str:
    """The value in at most 80 characters."""
    text = "null" if value is None or (isinstance(value, float) and not math.isfinite(value)) else str(value)
    if isinstance(value, list | dict):
        text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
