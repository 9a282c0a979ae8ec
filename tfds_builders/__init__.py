"""TFDS dataset builders of mtsccd-jax. Importing this package makes their names known to `tfds.load`."""

from tfds_builders.archives import ArchiveError
from tfds_builders.formats import BuildResult, DualFormatBuilder, build
from tfds_builders.mtsccd import City, MtsccdConfig
from tfds_builders.mtsccd.check import ArchiveReport, check_archive
from tfds_builders.mtsccd_lucd import mtsccd_lucd_dataset_builder
from tfds_builders.mtsccd_lusc import mtsccd_lusc_dataset_builder

BUILDERS: dict[str, type[DualFormatBuilder]] = {
    "mtsccd_lucd": mtsccd_lucd_dataset_builder.Builder,
    "mtsccd_lusc": mtsccd_lusc_dataset_builder.Builder,
}

__all__ = [
    "BUILDERS",
    "ArchiveError",
    "ArchiveReport",
    "BuildResult",
    "City",
    "DualFormatBuilder",
    "MtsccdConfig",
    "build",
    "check_archive",
]
