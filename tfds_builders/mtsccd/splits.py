"""The splits of MtSCCD: the paper's rule, recovered from its tables, and the rule that keeps both dates together.

Tables 3 and 4 follow from section 2.2 exactly if LUSC takes 80 % of each city's images of each class, both dates
merged, and LUCD 80 % of each city's pairs, each rounded to the nearest integer; which ones, the paper leaves to
chance.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

from tfds_builders.mtsccd.archive import Listing, Scene, pairs_of
from tfds_builders.mtsccd.names import SPLITS, City

Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)
Pair = tuple[Scene, Scene]


def train_count(items: int) -> int:
    """Return 80 % of `items`, rounded to the nearest integer (0.8 n never ends in .5)."""
    return (8 * items + 5) // 10


def split_scenes(listing: Listing, *, paired: bool, seed: int) -> dict[str, list[Scene]]:
    """Return LUSC's splits: name -> scenes in the order they are stored (a seeded shuffle)."""
    roles = {city.name: city.role for city in listing.cities}
    if paired:
        cut_of_city = {city: _cut(pairs, seed) for city, pairs in _pairs_of_cities(listing).items()}
    splits: dict[str, list[Scene]] = defaultdict(list)
    for city, scenes in _by(listing.scenes, lambda scene: scene.name.city).items():
        if roles[city] != "train":
            splits[roles[city]] += scenes
        elif paired:
            cut = cut_of_city.get(city, b"")
            for scene in scenes:
                splits["train" if _key(seed, *scene.tile) <= cut else "validation"].append(scene)
        elif any(scene.split for scene in scenes):
            _follow_folders(scenes, splits, listing)
        else:
            for same_class in _by(scenes, lambda scene: scene.name.label).values():
                _cut_off(same_class, lambda scene: _scene_key(seed, scene), splits)
    return _arranged(splits, listing.cities, lambda scene: _scene_key(seed, scene, "order"))


def split_pairs(listing: Listing, *, paired: bool, seed: int) -> dict[str, list[Pair]]:
    """Return LUCD's splits: name -> pairs in the order they are stored (a seeded shuffle).

    A tile whose dates lie in different split folders is moved to `listing.bad`.
    """
    roles = {city.name: city.role for city in listing.cities}
    splits: dict[str, list[Pair]] = defaultdict(list)
    for city, pairs in _pairs_of_cities(listing).items():
        if roles[city] != "train":
            splits[roles[city]] += pairs
        elif not paired and any(scene.split for pair in pairs for scene in pair):
            for first, second in pairs:
                if first.split is None or first.split != second.split:
                    where = f"{first.split or 'no split folder'} and {second.split or 'no split folder'}"
                    listing.bad.append(f"{first.path}: the tile's dates lie in {where}; use the configuration paired")
                else:
                    splits[first.split].append((first, second))
        else:
            _cut_off(pairs, lambda pair: _key(seed, *pair[0].tile), splits)
    return _arranged(splits, listing.cities, lambda pair: _key(seed, *pair[0].tile, "order"))


def split_names(cities: Iterable[City]) -> tuple[str, ...]:
    """Return the splits that these cities make: train, validation, test_a, test_b, then those of added cities."""
    return (*SPLITS, *(city.role for city in cities if city.role not in SPLITS))


def _pairs_of_cities(listing: Listing) -> dict[str, list[Pair]]:
    return _by(pairs_of(listing.scenes), lambda pair: pair[0].name.city)


def _by(items: Iterable[Item], group: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    groups: dict[Key, list[Item]] = defaultdict(list)
    for item in items:
        groups[group(item)].append(item)
    return groups


def _key(seed: int, *parts: object) -> bytes:
    """Return a number without pattern for these parts: sorting by it is a shuffle that no listing order changes."""
    return hashlib.blake2b("/".join(map(str, (seed, *parts))).encode(), digest_size=16).digest()


def _scene_key(seed: int, scene: Scene, *parts: str) -> bytes:
    return _key(seed, *scene.tile, scene.name.date, *parts)


def _cut_off(items: Sequence[Item], key: Callable[[Item], bytes], splits: dict[str, list[Item]]) -> None:
    """Add the 80 % of `items` with the smallest keys to train, the others to validation."""
    ordered = sorted(items, key=key)
    count = train_count(len(ordered))
    splits["train"] += ordered[:count]
    splits["validation"] += ordered[count:]


def _cut(pairs: Sequence[Pair], seed: int) -> bytes:
    """Return the largest key of a training tile, so that a tile with one date finds its split too."""
    keys = sorted(_key(seed, *first.tile) for first, _ in pairs)
    return keys[train_count(len(keys)) - 1] if keys else b""


def _follow_folders(scenes: Sequence[Scene], splits: dict[str, list[Scene]], listing: Listing) -> None:
    for scene in scenes:
        if scene.split is None:
            listing.bad.append(f"{scene.path}: in no split, unlike other images of {scene.name.city}; move or list it")
        else:
            splits[scene.split].append(scene)


def _arranged(
    splits: dict[str, list[Item]], cities: Iterable[City], order: Callable[[Item], bytes]
) -> dict[str, list[Item]]:
    return {name: sorted(splits[name], key=order) for name in split_names(cities)}
