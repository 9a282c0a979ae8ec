"""The builders of all data sets. Importing this makes their names known to TensorFlow Datasets."""

import importlib

from tfds_builders.catalog import DATA_SETS
from tfds_builders.writing.builder import DualFormatBuilder

# TFDS's own convention: data set `x` is `x/x_dataset_builder.py`, and there a class `Builder`.
BUILDERS: dict[str, type[DualFormatBuilder]] = {
    name: importlib.import_module(f"tfds_builders.{name}.{name}_dataset_builder").Builder for name in DATA_SETS
}
