"""TFDS dataset builders of mtsccd-jax. Importing this package makes their names known to `tfds.load`."""

from tfds_builders.bigearthnet_v1 import bigearthnet_v1_dataset_builder
from tfds_builders.bigearthnet_v1.config import BigEarthNetV1Config
from tfds_builders.bigearthnet_v2 import bigearthnet_v2_dataset_builder
from tfds_builders.bigearthnet_v2.configs import BigEarthNetV2Config
from tfds_builders.mlrsnet import mlrsnet_dataset_builder
from tfds_builders.mlrsnet.names import MlrsnetConfig
from tfds_builders.mtsccd import City, MtsccdConfig
from tfds_builders.mtsccd.check import check_archive
from tfds_builders.mtsccd_lucd import mtsccd_lucd_dataset_builder
from tfds_builders.mtsccd_lusc import mtsccd_lusc_dataset_builder
from tfds_builders.reading.archive import ArchiveError
from tfds_builders.reading.report import ArchiveReport
from tfds_builders.writing.builder import BuildResult, DualFormatBuilder, build

BUILDERS: dict[str, type[DualFormatBuilder]] = {
    "bigearthnet_v1": bigearthnet_v1_dataset_builder.Builder,
    "bigearthnet_v2": bigearthnet_v2_dataset_builder.Builder,
    "mlrsnet": mlrsnet_dataset_builder.Builder,
    "mtsccd_lucd": mtsccd_lucd_dataset_builder.Builder,
    "mtsccd_lusc": mtsccd_lusc_dataset_builder.Builder,
}

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
]
