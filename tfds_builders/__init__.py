"""TFDS dataset builders of mtsccd-jax. Importing this package makes their names known to `tfds.load`.

Names, published tables, archive readers and generators need no TensorFlow Datasets (TFDS); only the builders do. TFDS
knows a data set once its builder class is defined. So `tfds_builders.builders` is imported right after TFDS, in
whatever order a program imports the two.
"""

import functools
import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfds_builders.bigearthnet_v1.config import BigEarthNetV1Config
    from tfds_builders.bigearthnet_v2.config import BigEarthNetV2Config
    from tfds_builders.builders import BUILDERS
    from tfds_builders.mlrsnet.config import MlrsnetConfig
    from tfds_builders.mtsccd.check import check_archive
    from tfds_builders.mtsccd.config import MtsccdConfig
    from tfds_builders.mtsccd.names import City
    from tfds_builders.reading.archive import ArchiveError
    from tfds_builders.reading.report import ArchiveReport
    from tfds_builders.writing.builder import BuildResult, DualFormatBuilder, build

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

# Public names by the module that defines them; it is imported when one of them is asked for.
_NAMES_OF_MODULE = {
    "bigearthnet_v1.config": ("BigEarthNetV1Config",),
    "bigearthnet_v2.config": ("BigEarthNetV2Config",),
    "builders": ("BUILDERS",),
    "mlrsnet.config": ("MlrsnetConfig",),
    "mtsccd.check": ("check_archive",),
    "mtsccd.config": ("MtsccdConfig",),
    "mtsccd.names": ("City",),
    "reading.archive": ("ArchiveError",),
    "reading.report": ("ArchiveReport",),
    "writing.builder": ("BuildResult", "DualFormatBuilder", "build"),
}
_TFDS = "tensorflow_datasets"


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562)."""
    for module, names in _NAMES_OF_MODULE.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


class _Registration(importlib.abc.MetaPathFinder):
    """Import `tfds_builders.builders` as soon as TFDS is imported and no module of this package is half imported.

    A module of this package may itself be the first to import TFDS. The builders, which need that module, must wait for
    the end of its import.
    """

    def __init__(self) -> None:
        self._running = 0  # imports of TFDS and of this package's modules

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the spec that the other finders give for TFDS and this package's modules, its loader watched."""
        if name != _TFDS and not name.startswith(f"{__name__}."):
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next((spec for finder in others if (spec := finder.find_spec(name, path, target))), None)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = functools.partial(self._load, spec.loader.exec_module)  # type: ignore[method-assign]
        return spec

    def _load(self, load: Callable[[ModuleType], None], module: ModuleType) -> None:
        self._running += 1
        try:
            load(module)
        finally:
            self._running -= 1
        if not self._running and _tfds_is_there() and self in sys.meta_path:
            sys.meta_path.remove(self)
            importlib.import_module(f"{__name__}.builders")


def _tfds_is_there() -> bool:
    return sys.modules.get(_TFDS) is not None


if _tfds_is_there():
    importlib.import_module(f"{__name__}.builders")
else:
    sys.meta_path.insert(0, _Registration())
