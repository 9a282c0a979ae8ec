"""Open archives as people have them: a folder, a zip or a tar file. No path in them is trusted.

A folder may itself hold zip and tar files beside its images (one download per city or per sub-set); they are looked
into, and their members appear under the file's name without its suffix.
"""

import contextlib
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

_PACKED_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
# What zipfile, tarfile and the decompressors raise on a broken file.
_BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError)
_COPY_BYTES = 1 << 20
# The file by which a generated archive says that it is one.
GENERATED_MARK = "GENERATED.md"


class ArchiveError(ValueError):
    """The archive (not the program) is wrong: one line that says what, where, and what to do. Commands exit with 2."""


@dataclass(frozen=True)
class _Container:
    """One folder, zip or tar file; `members` maps names in the archive to names in the container."""

    path: Path
    members: dict[str, str]


@dataclass(frozen=True)
class Archive:
    """The files of one archive.

    `names` are relative, use "/" and are sorted. Hidden files and the litter of operating systems are left out.
    """

    path: Path
    names: tuple[str, ...]
    containers: tuple[_Container, ...]

    def read(self, name: str) -> bytes:
        """Return the content of one (small) file."""
        container = next(c for c in self.containers if name in c.members)
        if container.path.is_dir():
            try:
                return (container.path / container.members[name]).read_bytes()
            except OSError as error:
                raise ArchiveError(f"{container.path / name}: cannot be read ({error.strerror})") from error
        with _opened(container.path) as members:
            for member in members:
                if member.name == container.members[name]:
                    with member.open() as stream:
                        return stream.read()
        raise ArchiveError(f"{container.path}: '{name}' has gone; do not change the archive while it is read")

    def files(self, names: Iterable[str], scratch: Path) -> dict[str, str]:
        """Return a path for each of `names`: the file itself in a folder, a copy below `scratch` for a packed one."""
        wanted = set(names)
        paths = {}
        for number, container in enumerate(self.containers):
            inside = {inner: name for name, inner in container.members.items() if name in wanted}
            if container.path.is_dir():
                paths.update({name: str(container.path / inner) for inner, name in inside.items()})
            elif inside:
                target = scratch / str(number)
                for inner in _copy_members(container.path, target, inside):
                    paths[inside[inner]] = str(target / inner)
        return paths


def open_archive(path: Path | str, *, top_level: Callable[[str], bool] = lambda name: True) -> Archive:
    """Return the archive at `path`: a folder, a zip file or a tar file. Only names are read.

    `top_level` says which entries of a folder belong to the archive (a shared download folder holds other things too).

    Raises:
        ArchiveError: there is nothing at `path`, it is no archive, it is broken, or a path in it is unsafe.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise ArchiveError(f"{path}: no such archive; give the folder, zip or tar file that was downloaded")
    if path.is_dir():
        containers = _folder_containers(path.resolve(), top_level)
    else:
        containers = [_packed_container(path.resolve(), prefix="")]
    names = sorted(name for container in containers for name in container.members)
    return Archive(path.resolve(), tuple(names), tuple(containers))


def packed_stem(path: Path) -> str:
    """Return the name of a zip or tar file without its suffixes: `MtSCCD` for `MtSCCD.tar.gz`."""
    lower = path.name.lower()
    suffix = max((s for s in _PACKED_SUFFIXES if lower.endswith(s)), key=len, default="")
    return path.name[: len(path.name) - len(suffix)]


def is_generated(archive: Archive) -> bool:
    """Return whether the archive holds the mark of generated archives, which `tfds_builders.synthetic` writes."""
    return any(name.rpartition("/")[2] == GENERATED_MARK for name in archive.names)


def extract(path: Path | str, target: Path | str, names: Iterable[str] | None = None) -> list[str]:
    """Return the names of the files written below `target`: those of `names`, or all of a zip or tar file.

    Every path of the archive is checked before the first byte is written: none may be absolute, leave `target`, be a
    link or a device, or occur twice.
    """
    with _opened(Path(path)) as members:
        found = [member.name for member in members]
    return _copy_members(Path(path), Path(target), found if names is None else names)


def _copy_members(path: Path, target: Path, names: Iterable[str]) -> list[str]:
    wanted = set(names)
    written = []
    with _opened(path) as members:
        for member in members:
            if member.name in wanted:
                out = target / member.name
                out.parent.mkdir(parents=True, exist_ok=True)
                with member.open() as source, out.open("wb") as copy:
                    shutil.copyfileobj(source, copy, _COPY_BYTES)
                written.append(member.name)
    return written


@dataclass(frozen=True)
class _Member:
    """One regular file of a zip or tar file under its checked name."""

    name: str
    open: Callable[[], IO[bytes]]


def _safe_name(archive: Path, name: str, mode: int) -> str:
    """Return the relative "/" path of a member, or raise ArchiveError if extracting it could touch anything else."""
    posix = name.replace("\\", "/")
    parts = PurePosixPath(posix).parts
    if posix.startswith("/") or ".." in parts or "\0" in posix or (parts and ":" in parts[0]):
        raise ArchiveError(f"{archive}: '{name}' would be written outside the target folder; do not use this archive")
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise ArchiveError(f"{archive}: '{name}' is a link or a device, not a file; pack the archive without links")
    return "/".join(parts)


def _zip_name(info: zipfile.ZipInfo) -> str:
    """Return the member's name; names not marked as UTF-8 are tried as UTF-8 and GBK (Chinese Windows)."""
    if info.flag_bits & 0x800 or info.filename.isascii():
        return info.filename
    raw = info.filename.encode("cp437", errors="replace")
    for encoding in ("utf-8", "gbk"):
        with contextlib.suppress(UnicodeDecodeError):
            return raw.decode(encoding)
    return info.filename


def _zip_members(path: Path, packed: zipfile.ZipFile) -> Iterator[_Member]:
    for info in packed.infolist():
        if info.flag_bits & 0x1:
            raise ArchiveError(f"{path}: is encrypted; unpack it and give the folder")
        name = _safe_name(path, _zip_name(info), 0 if info.is_dir() else info.external_attr >> 16)
        if not info.is_dir():
            yield _Member(name, lambda info=info: packed.open(info))  # type: ignore[misc]


def _tar_members(path: Path, packed: tarfile.TarFile) -> Iterator[_Member]:
    for info in packed:
        kind = stat.S_IFREG if info.isreg() or info.isdir() else stat.S_IFLNK
        name = _safe_name(path, info.name, kind)
        if info.isreg():
            yield _Member(name, lambda info=info: _tar_file(packed, info))  # type: ignore[misc]


def _tar_file(packed: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    stream = packed.extractfile(info)
    assert stream is not None  # None only for directories and links
    return stream


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Iterator[_Member]]:
    """Yield the regular files of a zip or tar file, in its order; turn its errors into ArchiveError."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as zipped:
                yield _once(path, _zip_members(path, zipped))
        elif tarfile.is_tarfile(path):
            with tarfile.open(path) as tarred:
                yield _once(path, _tar_members(path, tarred))
        else:
            raise ArchiveError(f"{path}: neither a folder nor a zip or tar file; unpack it and give the folder")
    except _BROKEN as error:
        raise ArchiveError(f"{path}: broken or incomplete ({error}); download it again") from error
    except NotImplementedError as error:  # a compression that zipfile does not know
        raise ArchiveError(f"{path}: cannot be unpacked here ({error}); unpack it and give the folder") from error


def _once(path: Path, members: Iterator[_Member]) -> Iterator[_Member]:
    seen = set()
    for member in members:
        if member.name in seen:
            raise ArchiveError(f"{path}: holds '{member.name}' twice; pack it anew")
        seen.add(member.name)
        yield member


def _is_junk(name: str) -> bool:
    """Return whether a path is hidden, or left by macOS or Windows."""
    return any(part.startswith((".", "__MACOSX")) or part in ("Thumbs.db", "desktop.ini") for part in name.split("/"))


def _packed_container(path: Path, prefix: str) -> _Container:
    with _opened(path) as members:
        return _Container(path, {prefix + m.name: m.name for m in members if not _is_junk(m.name)})


def _folder_containers(root: Path, top_level: Callable[[str], bool]) -> list[_Container]:
    """Return the folder and the packed files at its top; a packed file whose folder lies beside it is passed over."""
    loose: dict[str, str] = {}
    packed = []
    for entry in sorted(root.iterdir()):
        if _is_junk(entry.name) or not top_level(entry.name):
            continue
        if entry.is_dir():
            loose.update({name: name for name in _walk(entry, entry.name)})
        elif not entry.name.lower().endswith(_PACKED_SUFFIXES):
            loose[entry.name] = entry.name
        elif not (root / packed_stem(entry)).is_dir():
            packed.append(_packed_container(entry, prefix=packed_stem(entry) + "/"))
    return [_Container(root, loose), *packed]


def _walk(folder: Path, prefix: str) -> Iterator[str]:
    """Yield the relative names of all files below `folder`, following links to folders, each folder once."""
    seen = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        status = os.stat(parent)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not _is_junk(name))
        inside = Path(parent).relative_to(folder).as_posix()
        start = prefix if inside == "." else f"{prefix}/{inside}"
        for name in files:
            if not _is_junk(name):
                yield f"{start}/{name}"
