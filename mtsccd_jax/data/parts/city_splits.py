"""Splits of a data set of several cities by city: networks learn from all cities but one and are judged in every one.

A hash cuts each city by its tiles into training, validation and test scenes, 64, 16 and 20 % of them. So both dates of
a tile, and its pair, lie on one side in every data set of the same tiles, and a city's test scenes are the same whether
networks know the city or not. No network learns from them or is chosen by them.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

from mtsccd_jax.data.parts.subset import Subset
from mtsccd_jax.data.parts.tiles import FIELDS, tile_names
from mtsccd_jax.data.sources import Source
from mtsccd_jax.errors import InputError, nearest

# Share of the tiles whose hash makes them training, and of those below which it makes them validation.
_TRAIN, _VALIDATION = 0.64, 0.80
# Fingerprint of a source -> `_places` of it; of two data sets with ten splits.
_KNOWN: dict[str, tuple[np.ndarray, np.ndarray]] = {}
_MOST_KNOWN = 20


def city_split(sources: Sequence[Source], split: str, left_out: str) -> Subset:
    """Return a split of all sources together: "train" or "validation" without a city, or "test_<city>" of any.

    Raises:
        InputError: the data have no cities or not this one, or there is no such split or nothing in it.
    """
    cities = cities_of(sources)
    if left_out not in cities:
        hint = nearest(left_out, cities)
        raise InputError(f"{sources[0].name}: has no city '{left_out}', it has {', '.join(cities)}.{hint}")
    known = split_names(cities)
    if split not in known:
        raise InputError(f"{sources[0].name}: has no split '{split}' by city, it has {', '.join(known)}")

    def taken(source: Source) -> np.ndarray:
        city, role = _places(source)
        if split in ("train", "validation"):
            return np.flatnonzero((role == split) & (city != left_out))
        return np.flatnonzero((role == "test") & (city == split.removeprefix("test_")))

    parts = [(source, taken(source)) for source in sources]
    if not any(len(rows) for _, rows in parts):
        raise InputError(f"{sources[0].name}: too small to be split by city; nothing is left for '{split}'")
    return Subset(parts, split)


def cities_of(sources: Sequence[Source]) -> tuple[str, ...]:
    """Return the cities that have scenes, in the order of the data set; InputError where there are no cities."""
    first = sources[0]
    if not set(FIELDS) <= set(first.fields) or "city" not in first.names:
        need = ", ".join(FIELDS)
        raise InputError(f"{first.name}: to leave a city out, scenes need the fields {need}, as those of MtSCCD have")
    there = {city for source in sources for city in np.unique(_places(source)[0]).tolist()}
    return tuple(name for name in first.names["city"] if name in there)


def split_names(cities: Sequence[str]) -> tuple[str, ...]:
    """Return the splits by city: train, validation, and the test split of every city."""
    return ("train", "validation", *(f"test_{city}" for city in cities))


def _places(source: Source) -> tuple[np.ndarray, np.ndarray]:
    """Return the city of each row and its role, by a hash of its tile, (n,) text each.

    Both are told by reading every record, so they are kept for the sources that were read last.
    """
    key = source.fingerprint()
    if key not in _KNOWN:
        while len(_KNOWN) >= _MOST_KNOWN:
            _KNOWN.pop(next(iter(_KNOWN)))
        tiles = tile_names(source)
        assert tiles is not None  # as `cities_of` has told
        city = np.array(source.names["city"])[source.column("city")]
        share = np.array([_share(tile) for tile in tiles.tolist()])
        _KNOWN[key] = city, np.where(share < _TRAIN, "train", np.where(share < _VALIDATION, "validation", "test"))
    return _KNOWN[key]


def _share(text: str) -> float:
    """Return a number from 0 to 1 without pattern for a text."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) / 2**64
