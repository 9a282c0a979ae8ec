"""TFDS dataset builders of mtsccd-jax. Importing this package makes their names known to `tfds.load`.

Where TensorFlow Datasets (TFDS) is not installed, published facts, archive readers and generators work all the same.
TFDS and a builder are imported when something asks for them: each command would wait half a second for them.
`tfds.list_builders()` has the names once `tfds_builders.BUILDERS` has been asked for.
"""

import importlib
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tfds_builders.catalog import DATA_SETS
from tfds_builders.mtsccd.check import check_archive
from tfds_builders.mtsccd.names import City
from tfds_builders.reading.archive import ArchiveError
from tfds_builders.reading.report import ArchiveReport

if TYPE_CHECKING:
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


_TFDS = "tensorflow_datasets"
# Public names that need it, by the module that has them.
_OF_TFDS = {
    "BUILDERS": "builders",
    "BigEarthNetV1Config": "bigearthnet_v1.config",
    "BigEarthNetV2Config": "bigearthnet_v2.config",
    "BuildResult": "writing.builder",
    "DualFormatBuilder": "writing.builder",
    "MlrsnetConfig": "mlrsnet.config",
    "MtsccdConfig": "mtsccd.config",
    "build": "writing.builder",
    "convert": "writing.conversion",
}


def __getattr__(name: str) -> Any:
    """Import a public name that needs TFDS on first use (PEP 562)."""
    if name not in _OF_TFDS:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{__name__}.{_OF_TFDS[name]}"), name)


class _Provider:
    """What TFDS asks for a builder that it does not know."""

    def has_dataset(self, name: str) -> bool:
        """Return whether the data set of this name is one of ours."""
        return name in DATA_SETS

    def get_builder_cls(self, name: str) -> Any:
        """Return the builder of one of our data sets."""
        return importlib.import_module("tfds_builders.builders").BUILDERS[name]


def __dir__() -> list[str]:
    return __all__


class _Finder:
    """Makes the names of our data sets known to TFDS as soon as that is imported."""

    of_tfds_builders = True

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return how TFDS is imported, with our provider added at the end; None for any other module."""
        if name != _TFDS:
            return None
        found = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, found), None)
        if spec and spec.loader:
            execute = spec.loader.exec_module

            def execute_and_add(module: ModuleType) -> None:
                execute(module)
                sys.meta_path.remove(self)
                _add_provider()

            spec.loader.exec_module = execute_and_add  # type: ignore[method-assign]
        return spec


def _add_provider() -> None:
    importlib.import_module(f"{_TFDS}.core.registered").add_dataset_builder_provider(_Provider())


if sys.modules.get(_TFDS):
    _add_provider()
else:
    # One alone, also where this module is loaded again.
    sys.meta_path[:] = [finder for finder in sys.meta_path if not hasattr(finder, "of_tfds_builders")]
    sys.meta_path.insert(0, _Finder())
