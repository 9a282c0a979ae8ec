"""The splits of MLRSNet: seeded, since the paper's random ones are not published.

The paper splits at random into 20-10-70, 30-10-60 and 40-10-50 percent (train, validation, test) and does not say
whether by category. Here every split has its share of every category, to one image or two. The splits do not depend on
which labels are used, and at full size the three ratios are nested: the validation split is the same in all of them,
and a smaller train split is part of a larger one.
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence

from tfds_builders.mlrsnet.names import SPLITS


def split_rows(
    filenames: Sequence[str],
    category_of_row: Sequence[str],
    *,
    train_percent: int,
    validation_percent: int,
    seed: int,
) -> dict[str, list[int]]:
    """Return the rows of every split, in the order they are stored (a seeded shuffle).

    Sizes are percentages of all rows, rounded to the nearest integer, but at least one row each where there are three.
    """
    rows: dict[str, list[int]] = defaultdict(list)
    for row, category in enumerate(category_of_row):
        rows[category].append(row)
    total = len(filenames)
    validation_total = _share(total, validation_percent)
    train_total = min(_share(total, train_percent), max(0, total - validation_total - 1))
    sizes = {category: len(of_category) for category, of_category in rows.items()}
    validation = in_proportion(sizes, validation_total)
    train = in_proportion({category: sizes[category] - validation[category] for category in sizes}, train_total)
    splits: dict[str, list[int]] = {split: [] for split in SPLITS}
    for category, of_category in rows.items():
        ordered = sorted(of_category, key=lambda row: _key(seed, filenames[row]))
        first, second = validation[category], validation[category] + train[category]
        splits["validation"] += ordered[:first]
        splits["train"] += ordered[first:second]
        splits["test"] += ordered[second:]
    return {
        split: sorted(of_split, key=lambda row: _key(seed, filenames[row], "order"))
        for split, of_split in splits.items()
    }


def in_proportion(sizes: Mapping[str, int], total: int) -> dict[str, int]:
    """Return whole numbers in proportion to `sizes` that sum to `total`; none is larger than its size.

    By largest remainder, in integers; ties go to the first. `total` is at most the sum of `sizes`.
    """
    whole = sum(sizes.values())
    if not whole:
        return dict.fromkeys(sizes, 0)
    counts = {name: size * total // whole for name, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda name: -(sizes[name] * total % whole))
    for name in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    return counts


def _share(rows: int, percent: int) -> int:
    return min(rows, max(1, (rows * percent + 50) // 100))


def _key(seed: int, *parts: str) -> bytes:
    """Return a number without pattern for these parts: sorting by it is a shuffle that no listing order changes."""
    return hashlib.blake2b("/".join((str(seed), *parts)).encode(), digest_size=16).digest()
