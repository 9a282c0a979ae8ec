"""Rows that a list of `data audit` names: left out of a source, or marked in it."""

import numpy as np

from mtsccd_jax.data.parts.subset import Subset
from mtsccd_jax.data.sources import Source
from mtsccd_jax.errors import InputError
from tfds_builders.exclude_list import (
    NAME_FIELDS,
    Line,
    is_name,
    joined_name,
    names_fingerprint,
    read_exclude_list,
)
from tfds_builders.reading.archive import ArchiveError


def image_names(source: Source) -> np.ndarray:
    """Return the names of the images of every row, (n, 1) or of pairs (n, 2) text; row numbers where it has none."""
    for names in NAME_FIELDS:
        if set(names) <= set(source.fields):
            return np.stack([source.column(name).astype(str) for name in names], 1)
    return np.arange(len(source)).astype(str)[:, None]


def row_names(source: Source) -> list[str]:
    """Return the name of every row, as lists have it."""
    return [joined_name(names) for names in image_names(source)]


def without_listed(source: Source, path: str) -> Source:
    """Return a source without the rows that a list names; the source itself where it names none.

    Raises:
        InputError: The list cannot be read, was made for other data, or leaves nothing.
    """
    listed = {int(line.row) for line in _lines(source, path)}
    if not listed:
        return source
    kept = np.setdiff1d(np.arange(len(source)), sorted(listed))
    if not len(kept):
        raise InputError(f"{path}: names all rows of {source.dataset} {source.split}; nothing would be left")
    return Subset([(source, kept)], source.split)


def copies_of_training(source: Source, path: str, trained_on: str) -> np.ndarray:
    """Return which rows have a copy in the training split of a data set, as a list says, (n,) bool.

    Raises:
        InputError: As `without_listed`, the list was made without the training split, or the source has splits of its
            own by city.
    """
    if isinstance(source, Subset):
        if any(part.split != source.split for part, _ in source.parts):
            raise InputError(f"{path}: knows the splits that {source.dataset} was built with, and not {source.split}")
        return np.concatenate([copies_of_training(part, path, trained_on)[rows] for part, rows in source.parts])
    leaked, seen = np.zeros(len(source), bool), (trained_on, "train")
    lines = _lines(source, path)
    if not read_exclude_list(path).has(*seen):
        raise InputError(
            f"{path}: was made without {trained_on} train, which the network has learned from; audit "
            f"{source.dataset.partition('/')[0]} with --against {trained_on}"
        )
    leaked[[int(line.row) for line in lines if (line.kept_dataset, line.kept_split) == seen]] = True
    return leaked


def _lines(source: Source, path: str) -> list[Line]:
    """Return the lines with rows of a source; InputError where the list was made for other data."""
    try:
        lines = read_exclude_list(path).of(source.dataset, source.split)
    except ArchiveError as error:
        raise InputError(str(error)) from error
    names = row_names(source)
    rows = [line for line in lines if line.row]
    fits = {line.fingerprint for line in lines} == {names_fingerprint(names)}
    if not fits or any(int(line.row) >= len(names) or not is_name(line.name, names[int(line.row)]) for line in rows):
        raise InputError(
            f"{path}: was made for another {source.dataset} {source.split} (the names of its rows differ); "
            f"audit this one, {source.name}"
        )
    return rows
