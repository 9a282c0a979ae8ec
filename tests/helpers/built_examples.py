"""Read what was built."""

from pathlib import Path

import tensorflow_datasets as tfds


def read_splits(name: str, data_dir: Path, **options: object) -> dict[str, list[dict]]:
    """Return the examples of every split, in the order they are stored."""
    builder = tfds.builder(name, data_dir=data_dir, **options)
    return {split: list(builder.as_data_source(split)) for split in builder.info.splits}


def read_all(name: str, data_dir: Path, **options: object) -> list[dict]:
    """Return the examples of all splits, each with its split."""
    splits = read_splits(name, data_dir, **options)
    return [example | {"split": split} for split, examples in splits.items() for example in examples]
