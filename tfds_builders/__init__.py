"""TFDS dataset builders of mtsccd-jax. Importing this package makes their names known to `tfds.load`.

Where TensorFlow Datasets (TFDS) is not installed, published facts, archive readers and generators work all the same.
"""

import importlib
import importlib.util
from typing import Any

from tfds_builders.mtsccd.check import check_archive
from tfds_builders.mtsccd.names import City
from tfds_builders.reading.archive import ArchiveError
from tfds_builders.reading.report import ArchiveReport

if importlib.util.find_spec("tensorflow_datasets") is not None:
    from tfds_builders.bigearthnet_v1.config import BigEarthNetV1Config
    from tfds_builders.bigearthnet_v2.config import BigEarthNetV2Config
    from tfds_builders.builders import BUILDERS
    from tfds_builders.mlrsnet.config import MlrsnetConfig
    from tfds_builders.mtsccd.config import MtsccdConfig
    from tfds_builders.writing.builder import BuildResult, DualFormatBuilder, build
    from tfds_builders.writing.conversion import convert

__all__ = [
    "BUILDERS",
    "ArchiveError",
    "ArchiveReport",
    "BigEarthNetV1Config",
    "BigEarthNetV2Config",
    "BuildResult",
    "City",
    "DualFormatBuilder",
    "MlrsnetConfig",
    "MtsccdConfig",
    "build",
    "check_archive",
    "convert",
]


def __getattr__(name: str) -> Any:
    """Raise the error of the missing TFDS for a public name that needs it (PEP 562)."""
    if name in __all__:
        importlib.import_module("tensorflow_datasets")
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
