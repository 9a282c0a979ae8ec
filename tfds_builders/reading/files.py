"""Read a whole file, and nothing that only looks like one: no named pipe without an end, and no device."""

import errno
import os
import stat

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
    while part := os.read(descriptor, min(_AT_ONCE, max(_AT_LEAST, status.st_size + 1))):
        parts.append(part)
    return b"".join(parts)
