"""The builders of all data sets. Importing this needs TensorFlow Datasets, and makes their names known to it."""

import importlib

from tfds_builders.bigearthnet_v1.config import BigEarthNetV1Config
from tfds_builders.bigearthnet_v2.config import BigEarthNetV2Config
from tfds_builders.catalog import DATA_SETS
from tfds_builders.mlrsnet.config import MlrsnetConfig
from tfds_builders.mtsccd.config import MtsccdConfig
from tfds_builders.writing.builder import BuildResult, DualFormatBuilder, build

# TFDS's own convention: data set `x` is `x/x_dataset_builder.py`, and there a class `Builder`.
BUILDERS: dict[str, type[DualFormatBuilder]] = {
    name: importlib.import_module(f"tfds_builders.{name}.{name}_dataset_builder").Builder for name in DATA_SETS
}

__all__ = [
    "BUILDERS",
    "BigEarthNetV1Config",
    "BigEarthNetV2Config",
    "BuildResult",
    "DualFormatBuilder",
    "MlrsnetConfig",
    "MtsccdConfig",
    "build",
]
