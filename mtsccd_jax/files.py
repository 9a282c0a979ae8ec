"""Paths as people write them, and files that are written whole or not at all."""

import errno
import fcntl
import functools
import io
import logging
import os
import re
import secrets
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from mtsccd_jax.errors import InputError

AnyPath = str | os.PathLike[str]

# Ends the name of a file that is being written. Its writer holds its lock, so one without a lock was left by a kill.
UNFINISHED = ".unfinished"

logger = logging.getLogger(__name__)

# "gs://bucket", "file:///x"; a pathlib.Path has lost one of the slashes.
_SCHEME = re.compile(r"([A-Za-z][\w+.-]+):/")


def local_path(text: AnyPath, what: str) -> Path:
    """Return the path that somebody wrote, with their home for `~`; shells leave it in `--data-dir=~/x` and lists.

    Raises:
        InputError: The text is empty or names something that is no file of this machine; `what` says whose it is.
    """
    given = os.fspath(text)
    if not given.strip():
        raise InputError(f"{what}: the path is empty; name one ('.' is the folder that you are in)")
    if found := _SCHEME.match(given):
        way = "write the path alone" if found[1].lower() == "file" else "copy or mount it and name the local path"
        raise InputError(f"{what} {given}: {found[1]}: is no folder or file of this machine; {way}")
    if "\0" in given:
        raise InputError(f"{what} {given}: no path holds a NUL")
    path = Path(os.path.expanduser(given))
    return path.absolute() if str(path).startswith("~") else path  # a folder of that name, which nobody expands again


class _Nowhere(io.BytesIO):
    """A stream that keeps nothing."""

    def write(self, content: Any) -> int:
        """Take the content and drop it."""
        return memoryview(content).nbytes

    def seekable(self) -> bool:
        """Return that what was written cannot be changed: archives are then written in one go."""
        return False


@contextmanager
def replacing(path: AnyPath) -> Iterator[BinaryIO]:
    """Give a stream whose content becomes the file at `path` if the block ends without an error.

    What killed processes left beside it is removed. Of many processes of one command the first alone writes; what the
    others write goes nowhere.
    """
    if not _is_writer():
        yield _Nowhere()
        return
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_unfinished(path.parent.resolve())
        handle, temporary = _locked_file(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None  # `path`, not the temporary name
    try:
        with open(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
            os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename in (None, str(temporary)):
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from None
        raise


@contextmanager
def naming(path: AnyPath) -> Iterator[None]:
    """Name a file in the system's errors of the block; those of reads and writes name none."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from None


def read_bytes(path: AnyPath) -> bytes:
    """Return the content of a file; OSError names it where it cannot be read."""
    with naming(path):
        return Path(path).read_bytes()


def _is_writer() -> bool:
    """Return whether this process writes the files of its command: the first one of them does."""
    processes = sys.modules.get("mtsccd_jax.processes")  # not imported: it would import JAX
    return processes is None or bool(processes.is_first())


def _locked_file(path: Path) -> tuple[int, Path]:
    """Return a new file beside `path`, open and locked, and its name; its rights follow the umask."""
    while True:
        temporary = path.parent / f".{path.name[:100]}.{secrets.token_hex(4)}{UNFINISHED}"
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(handle).st_nlink:
                return handle, temporary
        except BlockingIOError:  # another process is about to remove it
            pass
        except OSError:
            return handle, temporary  # no locks here, so nobody removes files either
        os.close(handle)


@functools.cache
def _remove_unfinished(folder: Path) -> None:
    """Remove the files that killed processes were writing in a folder; once, as it costs a look at all names."""
    for left in folder.glob(f".*.{'[0-9a-f]' * 8}{UNFINISHED}"):
        with suppress(OSError), left.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()
            logger.info(f"{left}: removed, a killed process was writing it")


@contextmanager
def locked(path: AnyPath) -> Iterator[None]:
    """Hold the lock of a file, which stays; wait while another process holds it.

    The system frees the lock when the process ends in any way. A file system without locks costs one warning. Of many
    processes of one command the first alone needs it.
    """
    if not _is_writer():
        yield
        return
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            _warn_without_locks(path.parent, error.strerror)
        yield


@functools.cache
def _warn_without_locks(folder: Path, reason: str) -> None:
    logger.warning(f"{folder}: this file system has no locks ({reason}); let one process at a time write here")


def utf8(text: str) -> bytes:
    """Return text as UTF-8. A path's byte that is not UTF-8 becomes an escape, which JSON reads back as that byte."""
    return text.encode(errors="backslashreplace")


def check_utf8(path: AnyPath, advice: str) -> None:
    """Raise InputError, ending in `advice`, for a path whose bytes are not UTF-8: JAX's libraries take no other."""
    try:
        str(Path(path).absolute()).encode()
    except UnicodeEncodeError:
        raise InputError(f"{Path(path).absolute()}: not a path in UTF-8; {advice}") from None


def check_writable(folder: AnyPath, advice: str = "choose another folder") -> None:
    """Raise InputError, ending in `advice`, unless files can be written in a folder, or in the one to make it in.

    No file is left there.
    """
    check_utf8(folder, advice)
    place = Path(folder).absolute()
    while not place.exists():
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise InputError(f"{folder}: {(error.strerror or 'cannot be written').lower()}; {advice}") from None
