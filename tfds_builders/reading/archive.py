"""Open archives as people have them: a folder, a zip or a tar file. No path in them is trusted.

A folder may itself hold zip and tar files beside its images (one download per city or per sub-set); they are looked
into, and their members appear under the file's name without its suffix.
"""

import contextlib
import itertools
import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from tfds_builders.reading.files import is_of_the_machine, opened, read_file, writing
from tfds_builders.reading.folders import tree_of
from tfds_builders.reading.limits import KEPT_BYTES, most_unpacked
from tfds_builders.reading.names import as_text, is_junk

_PACKED_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_UNREAD_SUFFIXES = (".rar", ".7z", ".tar.zst")
# What zipfile, tarfile and the decompressors raise on a broken file.
_BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, struct.error),
    *(OverflowError, ValueError, KeyError, IndexError, RecursionError),
)
# Of a tar file's headers, those that hold a long name or such, which is read whole, and how long it may be.
_WITH_CONTENT = (
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)
_MOST_CONTENT = 1 << 17
# The first bytes of files that are no zip or tar file, and what they are.
_OTHER_FILES = (
    (b"PK\3\4", "incomplete (the end of the zip file is missing); download it again"),
    (b"PK\7\x08", "one part of a split zip file; join the parts and give the whole"),
    (b"<", "a web page instead of an archive, of a download that failed; download it again"),
    (b"version https://git-lfs", "a note of Git LFS instead of the archive; fetch the file with git lfs pull"),
)
_COPY_BYTES = 1 << 20
# The file by which a generated archive says that it is one.
GENERATED_MARK = "GENERATED.md"


class ArchiveError(ValueError):
    """The archive (not the program) is wrong: one line that says what, where, and what to do. Commands exit with 2."""


@dataclass(frozen=True)
class _Container:
    """One folder, zip or tar file.

    `members` maps names in the archive to names in the container; `kept` holds the content of some.
    """

    path: Path
    members: Mapping[str, str]
    kept: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Archive:
    """The files of one archive.

    `names` are relative, use "/", are text (`as_text`) and sorted. Hidden files and litter (`is_junk`) are left out.
    """

    path: Path
    names: tuple[str, ...]
    containers: tuple[_Container, ...]

    def read(self, name: str) -> bytes:
        """Return the content of one (small) file: at once for those that `open_archive` was told to keep."""
        container = next(c for c in self.containers if name in c.members)
        if name in container.kept:
            return container.kept[name]
        if container.path.is_dir():
            try:
                return read_file(container.path / container.members[name])
            except OSError as error:
                if is_of_the_machine(error):
                    raise
                raise ArchiveError(f"{container.path / name}: cannot be read ({error.strerror})") from error
        with _opened(container.path) as members:
            for member in members:
                if member.name == container.members[name]:
                    return member.content(KEPT_BYTES)
        raise ArchiveError(f"{container.path}: '{name}' has gone; do not change the archive while it is read")

    def files(self, names: Iterable[str], scratch: Path) -> dict[str, str]:
        """Return a path for each of `names`: the file itself in a folder, a copy below `scratch` for a packed one.

        Copies are numbered: names of another system may be too long, or equal but for their case, on this one.
        """
        wanted = set(names)
        paths = {}
        for number, container in enumerate(self.containers):
            inside = {inner: name for name, inner in container.members.items() if name in wanted}
            if container.path.is_dir():
                paths.update({name: str(container.path / inner) for inner, name in inside.items()})
            elif inside:
                with _opened(container.path) as members:
                    for index, member in enumerate(members):
                        if member.name in inside:
                            copy = scratch / str(number) / str(index)
                            member.copy(copy)
                            paths[inside[member.name]] = str(copy)
        return paths

    def refuse_packed(self) -> None:
        """Raise ArchiveError where zip or tar files lie in the archive, which are not looked into."""
        for name in filter(is_packed, self.names):
            raise ArchiveError(f"{self.path}: '{name}' is packed in it; unpack both and give the folder")


def open_archive(
    path: Path | str,
    *,
    top_level: Callable[[str], bool] = lambda name: True,
    keep: Callable[[str], bool] = lambda name: False,
) -> Archive:
    """Return the archive at `path`: a folder, a zip file or a tar file.

    Only names are read, and of a packed file, in the same pass, the content of the files that `keep` chooses by name.
    `top_level` says which entries of a folder belong to the archive (a shared download folder holds other things too).

    Raises:
        ArchiveError: there is nothing at `path`, it is no archive, it is broken, or a path in it is unsafe.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise ArchiveError(f"{path}: no such archive; give the folder, zip or tar file that was downloaded")
    if path.is_dir():
        containers = _folder_containers(path.resolve(), top_level, keep)
    else:
        containers = [_packed_container(path.resolve(), "", keep)]
    names = sorted(name for container in containers for name in container.members)
    _refuse_twice(path, names)
    return Archive(path.resolve(), tuple(names), tuple(containers))


def is_packed(name: str) -> bool:
    """Return whether a file's name is that of a packed file, of a kind that is read here or another one."""
    return name.lower().endswith(_PACKED_SUFFIXES + _UNREAD_SUFFIXES)


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
    wanted = set(found if names is None else names)
    written = []
    with _opened(Path(path)) as members:
        for member in members:
            if member.name in wanted:
                member.copy(Path(target) / member.name)
                written.append(member.name)
    return written


@dataclass(frozen=True)
class _Member:
    """One regular file of a zip or tar file under its checked name; `size` is what it may unpack to."""

    archive: Path
    name: str
    size: int
    open: Callable[[], IO[bytes]]

    def content(self, most: int) -> bytes:
        """Return the content, of at most so many bytes."""
        if self.size > most:
            raise ArchiveError(
                f"{self.archive}: '{as_text(self.name)}' unpacks to {self.size:,} bytes and is read whole, {most:,} at "
                "most; unpack it and give the folder"
            )
        with self.open() as stream:
            return stream.read()

    def copy(self, out: Path) -> None:
        out.parent.mkdir(parents=True, exist_ok=True)
        with self.open() as source, writing(out) as copy:
            shutil.copyfileobj(source, copy, _COPY_BYTES)


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
        if info.header_offset < 0:
            raise ArchiveError(f"{path}: its beginning is missing (one part of a split zip file?); give the whole")
        name = _safe_name(path, _zip_name(info), 0 if info.is_dir() else info.external_attr >> 16)
        if not info.is_dir():
            yield _Member(path, name, info.file_size, lambda info=info: packed.open(info))  # type: ignore[misc]


def _tar_members(path: Path, packed: tarfile.TarFile) -> Iterator[_Member]:
    most_bytes, most_members = most_unpacked(path.stat().st_size)
    for number in itertools.count():
        info = packed.next()
        if info is None:
            return
        packed.members.clear()  # type: ignore[attr-defined]  # `tarfile` keeps every header
        if info.size < 0:  # it would go back and read the same again
            raise tarfile.ReadError("a member of negative size")
        if packed.offset > most_bytes or number >= most_members:  # headers, which nobody asks for, count too
            raise _unpacks_to_too_much(path)
        kind = stat.S_IFREG if info.isreg() or info.isdir() else stat.S_IFLNK
        name = _safe_name(path, info.name, kind)
        if info.isreg():
            yield _Member(path, name, info.size, lambda info=info: _tar_file(packed, info))  # type: ignore[misc]


def _tar_file(packed: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    stream = packed.extractfile(info)
    assert stream is not None  # None only for directories and links
    return stream


class _StrictHeader(tarfile.TarInfo):
    """A header whose damage is an error; `tarfile` takes a cut or damaged one behind the first for the end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_StrictHeader":
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if len(buf) == tarfile.BLOCKSIZE and not any(buf):  # the mark at the end
                raise
            raise tarfile.ReadError(str(error)) from error
        if header.type in _WITH_CONTENT and not 0 <= header.size <= _MOST_CONTENT:
            raise tarfile.ReadError(f"a name or note of {header.size:,} bytes")
        return header


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Iterator[_Member]]:
    """Yield the regular files of a zip or tar file, in its order; turn its errors into ArchiveError."""
    try:
        with opened(path) as file:
            is_zip = zipfile.is_zipfile(file)
            file.seek(0)
            if is_zip:
                with zipfile.ZipFile(file) as zipped:
                    yield _checked(path, _zip_members(path, zipped))
            elif tarfile.is_tarfile(file):
                with tarfile.open(fileobj=file, tarinfo=_StrictHeader) as tarred:
                    yield _checked(path, _tar_members(path, tarred))
            else:
                raise ArchiveError(f"{path}: {_described(file)}")
    except ArchiveError:
        raise
    except _BROKEN as error:
        raise ArchiveError(f"{path}: broken or incomplete ({error}); download it again") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise ArchiveError(f"{path}: broken or incomplete ({error}); download it again") from error  # gzip and bz2
    except NotImplementedError as error:  # a compression that zipfile does not know
        raise ArchiveError(f"{path}: cannot be unpacked here ({error}); unpack it and give the folder") from error


def _described(file: IO[bytes]) -> str:
    """Return what a file is that is neither zip nor tar, and what to do."""
    file.seek(0)
    start = file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start:
        return "empty; download it again"
    other = (text for magic, text in _OTHER_FILES if start.startswith(magic))
    return next(other, "neither a folder nor a zip or tar file; unpack it and give the folder")


def _checked(path: Path, members: Iterator[_Member]) -> Iterator[_Member]:
    """Yield the members; raise ArchiveError where one is there twice, or all together are beyond the limits."""
    seen, unpacked = set(), 0
    most_bytes, most_members = most_unpacked(path.stat().st_size)
    for member in members:
        if member.name in seen:
            raise ArchiveError(f"{path}: holds '{as_text(member.name)}' twice; pack it anew")
        seen.add(member.name)
        unpacked += member.size
        if unpacked > most_bytes or len(seen) > most_members:
            raise _unpacks_to_too_much(path)
        yield member


def _unpacks_to_too_much(path: Path) -> ArchiveError:
    size = path.stat().st_size
    most_bytes, most_members = most_unpacked(size)
    return ArchiveError(
        f"{path}: {size:,} bytes that unpack to more than {most_bytes:,} or to more than {most_members:,} files, as no "
        "archive of images does; if you trust it, unpack it and give the folder"
    )


def _packed_container(path: Path, prefix: str, keep: Callable[[str], bool]) -> _Container:
    """Return the content of a zip or tar file, in one pass."""
    members: dict[str, str] = {}
    kept, left = {}, KEPT_BYTES
    with _opened(path) as found:
        for member in found:
            if any(map(is_junk, member.name.split("/"))):
                continue
            name = _noted(path, prefix + member.name, member.name, members)
            if keep(name):
                kept[name] = member.content(left)
                left -= member.size
    return _Container(path, members, kept)


def _folder_containers(root: Path, top_level: Callable[[str], bool], keep: Callable[[str], bool]) -> list[_Container]:
    """Return the folder and the packed files at its top; a packed file whose folder lies beside it is passed over."""
    loose: dict[str, str] = {}
    packed = []
    for inner in tree_of(root, top_level).files:
        if "/" in inner or not inner.lower().endswith(_PACKED_SUFFIXES):
            _noted(root, inner, inner, loose)
        elif not (root / (stem := packed_stem(Path(inner)))).is_dir():
            packed.append(_packed_container(root / inner, f"{stem}/", keep))
    return [_Container(root, loose), *packed]


def _noted(path: Path, name: str, inner: str, members: dict[str, str]) -> str:
    """Note a file in `members` under the text of its name, and return that."""
    text = as_text(name)
    if text in members:
        raise ArchiveError(f"{path}: holds two files called '{text}', in two ways to write it; keep one")
    members[text] = inner
    return text


def _refuse_twice(path: Path, names: Sequence[str]) -> None:
    """Raise ArchiveError where two containers hold a file of the same name."""
    for name, following in itertools.pairwise(names):
        if name == following:
            raise ArchiveError(f"{path}: holds '{name}' twice, in two packed files of one name; keep one of them")
