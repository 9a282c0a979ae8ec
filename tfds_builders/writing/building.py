"""Let one process at a time make a folder, a data set's or an archive's, and remove what killed ones left beside it."""

import contextlib
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

# Ends the name of an archive's folder that is being written.
UNFINISHED = ".unfinished"

_LOG = logging.getLogger(__name__)


@contextlib.contextmanager
def building_alone(folder: Path) -> Iterator[None]:
    """Wait until no other process builds `folder`, and keep others waiting while the block runs.

    The lock is a file beside `folder` that ends with its process, however that ends. Who holds it knows that unfinished
    folders beside it belong to no living build, and removes them once its own is done. File systems without locks have
    none: there, builds run side by side, and nothing is removed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.parent / f".{folder.name}.lock"
    descriptor = _locked(path)
    try:
        yield
        if descriptor is not None:
            _remove(folder)
    finally:
        if descriptor is not None:
            try:
                path.unlink(missing_ok=True)
            finally:
                os.close(descriptor)


def _locked(path: Path) -> int | None:
    """Return a descriptor that holds the lock, or None where the system or the file system has no locks."""
    try:
        import fcntl
    except ImportError:
        return None
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _LOG.warning("%s: another process builds it; this one waits for it", path.parent)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Who held it has removed the file: the lock that counts is that of the file by this name.
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
            os.close(descriptor)
        except OSError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise


def remove_unfinished(folder: Path) -> None:
    """Remove what killed builds left beside data that are built already, unless the folder cannot be written to."""
    if _unfinished(folder):
        with contextlib.suppress(OSError), building_alone(folder):
            pass


def _unfinished(folder: Path) -> list[Path]:
    # TFDS builds in `incomplete.<random>_<version>` and renames it in the end.
    patterns = f"incomplete.*_{folder.name}", f".{folder.name}-*{UNFINISHED}"
    return sorted(path for pattern in patterns for path in folder.parent.glob(pattern))


def _remove(folder: Path) -> None:
    for left in _unfinished(folder):
        num_bytes = sum(file.stat().st_size for file in left.rglob("*") if file.is_file())
        shutil.rmtree(left, ignore_errors=True)
        _LOG.warning("%s: removed, %.1f MB of a build that was killed", left, num_bytes / 1e6)
