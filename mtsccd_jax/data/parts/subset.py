"""A source that is a part of other sources: some of their rows, in a given order, as one split."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from mtsccd_jax.data.sources import Source

# A source, and the rows of it that are taken, (n,) int64.
Part = tuple[Source, np.ndarray]


class Subset:
    """Rows of sources of one data set, those of the first source first."""

    def __init__(self, parts: Sequence[Part], split: str):
        """Take parts, of which one at least has a row; the sources have the same fields and names."""
        self.parts = tuple((source, np.asarray(rows, np.int64)) for source, rows in parts if len(rows))
        self.split = split
        first: Any = self.parts[0][0]
        self.name, self.dataset = first.name, first.dataset
        self.fields, self.image_fields, self.band_fields = first.fields, first.image_fields, first.band_fields
        self.names, self.class_names, self.generated = first.names, first.class_names, first.generated
        self.stored_bands = getattr(first, "stored_bands", ())
        self.skipped = tuple(line for source, _ in self.parts for line in source.skipped)
        self._stops = np.cumsum([len(rows) for _, rows in self.parts])
        self._rows = np.concatenate([rows for _, rows in self.parts])

    def reading(self, bands: Sequence[str]) -> "Subset":
        """Return a source over the same rows that reads other bands."""
        parts: Any = self.parts
        return Subset([(source.reading(bands), rows) for source, rows in parts], self.split)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> dict[str, np.ndarray]:
        return {field: value[0] for field, value in self.read(np.array([row])).items()}

    def read(self, row_b: np.ndarray) -> dict[str, np.ndarray]:
        """Read rows as one batch, those of each source at once."""
        found: list[tuple[np.ndarray, dict[str, np.ndarray]]] = [
            (places, source.read(rows)) for places, source, rows in self._by_source(row_b)
        ]
        if len(found) == 1:
            return found[0][1]
        types = {field: np.result_type(*(batch[field].dtype for _, batch in found)) for field in found[0][1]}
        whole = {
            field: np.empty((len(row_b), *values.shape[1:]), types[field]) for field, values in found[0][1].items()
        }
        for places, batch in found:
            for field, values in batch.items():
                whole[field][places] = values
        return whole

    def encoded(self, row_b: np.ndarray) -> list[bytes]:
        """Return the encoded images of the rows, one field after the other."""
        files: dict[int, list[bytes]] = {}
        for places, source, rows in self._by_source(row_b):
            of_source = np.array(source.encoded(rows), object).reshape(-1, len(rows))
            files |= dict(zip(places.tolist(), of_source.T.tolist(), strict=True))
        return [files[place][field] for field in range(len(self.image_fields)) for place in range(len(row_b))]

    def column(self, field: str) -> np.ndarray:
        """Return all values of a field that is neither image nor band, (n,) or (n, k)."""
        return np.concatenate([source.column(field)[rows] for source, rows in self.parts])

    def fingerprint(self) -> str:
        """Return a SHA-256 of the sources and of the rows that are taken."""
        digest = hashlib.sha256(self.split.encode())
        for source, rows in self.parts:
            digest.update(source.fingerprint().encode() + rows.astype("<i8").tobytes())
        return digest.hexdigest()

    def _by_source(self, row_b: np.ndarray) -> list[tuple[np.ndarray, Any, np.ndarray]]:
        """Return, of each source with rows in the batch, their places in the batch and their rows in the source."""
        row_b = np.asarray(row_b)
        if ((row_b < 0) | (row_b >= len(self))).any():
            raise IndexError(f"rows {row_b.tolist()} of {len(self)}")
        part_b = np.searchsorted(self._stops, row_b, side="right")
        return [
            (places, self.parts[part][0], self._rows[row_b[places]])
            for part in np.unique(part_b).tolist()
            for places in [np.flatnonzero(part_b == part)]
        ]
