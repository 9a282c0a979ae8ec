"""Read files, and nothing that only looks like one: no named pipe without an end, and no device.

A disk that fails is told as such and with the name of the file, which the system's errors of reading lack.
"""

import contextlib
import errno
import io
import os
import stat
from collections.abc import Iterator
from typing import IO, Any, NoReturn

# Errors of the system that tell of one path. Others, such as too many open files, tell of the machine.
_OF_THE_PATH = (
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG),
    *(errno.EINVAL, errno.EILSEQ, errno.ENXIO),  # the last of a socket
)
_AT_LEAST, _AT_ONCE = 1 << 12, 1 << 30  # Linux gives at most 2 GiB at once


def read_file(path: str | os.PathLike[str]) -> bytes:
    """Return the content of a regular file.

    Raises:
        OSError: it cannot be read, or is a pipe, a device or the like.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe would wait for a writer
    try:
        return read_open(descriptor, path)
    finally:
        os.close(descriptor)


def read_open(descriptor: int, path: str | os.PathLike[str], start: bytes = b"") -> bytes:
    """Return `start`, which was read already, and the rest of the regular file that is open; raise OSError likewise."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        raise OSError(errno.EINVAL, "a pipe or a device", os.fspath(path))
    parts = [start] if start else []
    try:
        while part := os.read(descriptor, min(_AT_ONCE, max(_AT_LEAST, status.st_size + 1))):
            parts.append(part)
    except OSError as error:
        raise_named(error, path)
    return b"".join(parts)


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Give a file to a library that takes a failing disk for the end of it, or for damage: the block ends with OSError.

    The error is that of the first read that failed, whatever the library has made of it.
    """
    with _Noted(path) as file, io.BufferedReader(file) as stream:
        try:
            yield stream
        finally:
            if file.error is not None:
                raise_named(file.error, path)


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Give a new file to write; the error of a full disk names it."""
    try:
        with open(path, "wb") as stream:
            yield stream
    except OSError as error:
        if error.errno is None:  # a decompressor's
            raise
        raise_named(error, path)


class _Noted(io.FileIO):
    """A file that keeps the first error of its reads."""

    error: OSError | None = None

    def readinto(self, buffer: Any) -> int | None:
        try:
            return super().readinto(buffer)
        except OSError as error:
            self.error = self.error or error
            raise

    def readall(self) -> bytes:
        try:
            return super().readall()
        except OSError as error:
            self.error = self.error or error
            raise


def raise_named(error: OSError, path: str | os.PathLike[str]) -> NoReturn:
    """Raise an error of the system again, with the file that it is of."""
    raise OSError(error.errno, error.strerror, os.fspath(path)) from None


def is_of_the_machine(error: BaseException) -> bool:
    """Return whether an error tells of the machine, such as a failing disk or no memory, and nothing of the file.

    No file is skipped or called damaged for it. Other errors of the system tell of one path: another may be read.
    """
    if isinstance(error, OSError):
        return error.errno not in _OF_THE_PATH
    return isinstance(error, MemoryError)
