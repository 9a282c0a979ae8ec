"""Look through the features of a built data set before TFDS does, which imports the modules that they name."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mtsccd_jax.errors import InputError
from mtsccd_jax.files import read_bytes

FEATURES_FILE = "features.json"
# Modules with nothing but kinds of features.
_OF_TFDS = "tensorflow_datasets.core.features."
# The keys of a class, in the three forms of the file that TFDS reads.
_KEYS = ("pythonClassName", "python_class_name", "type")


def check_features(data_set: Path) -> None:
    """Raise InputError where a build of a data set names features of other modules than TFDS's own to import."""
    for path in sorted([*data_set.glob(f"*/{FEATURES_FILE}"), *data_set.glob(f"*/*/{FEATURES_FILE}")]):
        try:
            features = json.loads(read_bytes(path))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: damaged ({error}); remove the data set and build it again") from None
        for name in _classes(features):
            if not name.startswith(_OF_TFDS):
                raise InputError(f"{path}: names '{name}', code to import; remove the data set and build it yourself")


def _classes(value: Any) -> Iterator[str]:
    """Yield what a value of JSON, or one inside it, calls its class."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield from (str(value[key]) for key in _KEYS if isinstance(value.get(key), str))
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
