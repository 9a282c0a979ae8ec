"""Rows and artefacts that were tampered with, and what `verify` finds of them."""

import dataclasses
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mtsccd_jax.report import rows
from mtsccd_jax.report.verify import Difference
from mtsccd_jax.tasks.table import CHECKS

Change = Callable[[dict[str, np.ndarray]], object]


def differences(workdir: Path, row: rows.Row, **changes: object) -> list[Difference]:
    """Return what `verify` finds of a row, some of its fields changed."""
    return CHECKS[row.protocol](workdir, dataclasses.replace(row, **changes)).run()


def keys(workdir: Path, row: rows.Row, **changes: object) -> set[str]:
    """Return the keys that differ in a row, some of its fields changed."""
    return {difference.key for difference in differences(workdir, row, **changes)}


def resaved(workdir: Path, row: rows.Row, name: str, change: Change) -> rows.Row:
    """Return the row with an artefact written anew under another name, some of its arrays changed."""
    arrays = rows.load_artefact(workdir, row, name)
    assert arrays is not None
    change(arrays)
    path, checksum = rows.save_artefact(workdir, uuid.uuid4().hex, arrays)
    checksums = row.checksums | {"artefacts": row.checksums["artefacts"] | {name: checksum}}
    return dataclasses.replace(row, artefacts=row.artefacts | {name: path}, checksums=checksums)


def off(metrics: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return metrics that are all wrong by a little."""
    return {
        name: {key: None if value is None else value + 1e-6 for key, value in entry.items()}
        for name, entry in metrics.items()
    }


def metric_keys(metrics: dict[str, dict[str, float]]) -> set[str]:
    """Return the key of every number of some metrics."""
    return {f"metrics.{name}.{key}" for name, entry in metrics.items() for key in entry if entry[key] is not None}
