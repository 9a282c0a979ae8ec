"""Paths as people write them, and files that are written whole or not at all."""

import errno
import io
import os
import re
import secrets
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from mtsccd_jax.errors import InputError

AnyPath = str | os.PathLike[str]

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

    Of many processes the first alone writes; what the others write goes nowhere.
    """
    processes = sys.modules.get("mtsccd_jax.processes")  # not imported: it would import JAX
    if processes is not None and not processes.is_first():
        yield _Nowhere()
        return
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}"
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)  # less the umask
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
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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
