"""Names of files and folders: their text, and which of them mean a split or litter, in archives and plain folders."""

import contextlib
import os
import re
import unicodedata

# What people call the folder or list of each split, in any case and with any of space, "-" and "_" between words.
SPLIT_NAMES: dict[str, tuple[str, ...]] = {
    "train": ("train", "training", "trainset", "train_set", "training_set"),
    "validation": ("val", "valid", "validation", "valset", "val_set", "validation_set"),
    "test": ("test", "testing", "testset", "test_set"),
}
_SPLIT_OF_NAME = {name: split for split, names in SPLIT_NAMES.items() for name in names}

# What operating systems, network disks and GIS programs leave beside images; compared in lower case.
_JUNK_FILES = ("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r")
_JUNK_FOLDERS = ("@eadir", "$recycle.bin", "lost+found", "system volume information")
_JUNK_NAMES = frozenset(_JUNK_FILES + _JUNK_FOLDERS)
_JUNK_STARTS = (".", "__macosx")
_WORLD_FILES = (
    *(".wld", ".tfw", ".tifw", ".tiffw", ".jgw", ".jpw", ".jpgw", ".jpegw"),
    *(".pgw", ".pngw", ".bpw", ".bmpw", ".gfw", ".j2w"),
)
_JUNK_ENDS = (".aux.xml", ".ovr", ".prj", *_WORLD_FILES)
_IMAGE_ENDS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".webp")
# Control characters, halves of characters, and separators of lines: they have no place in a line of text.
_UNPRINTABLE = frozenset(("Cc", "Cs", "Zl", "Zp"))


def folded(name: str) -> str:
    """Return a name in lower case, its words joined by one underscore."""
    return re.sub(r"[\s_-]+", "_", name.strip().lower())


def split_of_name(name: str) -> str | None:
    """Return "train", "validation" or "test" for a name that means a split, else None."""
    return _SPLIT_OF_NAME.get(folded(name))


def is_junk(name: str) -> bool:
    """Return whether a file or folder is hidden, litter, or a README; `name` has no "/"."""
    lower = name.lower()
    return (
        lower.startswith(_JUNK_STARTS)
        or lower.endswith(_JUNK_ENDS)
        or lower in _JUNK_NAMES
        or (lower.startswith("readme") and not lower.endswith(_IMAGE_ENDS))
    )


def as_text(path: str) -> str:
    """Return a path as text that every file, terminal and program can hold, the same on every system.

    A file system stores bytes. Those that are not UTF-8 are read as GBK, which Chinese Windows writes, or else stand as
    backslash escapes; so do control characters. Accents are composed (NFC), whichever way the system stores them.
    """
    if path.isascii() and path.isprintable():
        return path
    return "/".join(map(_part_as_text, path.split("/")))


def is_utf8(path: str) -> bool:
    """Return whether the bytes of a path are UTF-8; Python keeps others as single surrogates."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _part_as_text(part: str) -> str:
    text = unicodedata.normalize("NFC", _decoded(part))
    return "".join(_escaped(c) if unicodedata.category(c) in _UNPRINTABLE else c for c in text)


def _decoded(part: str) -> str:
    """Return a name whose bytes are not UTF-8 but GBK as that says."""
    if not is_utf8(part):
        with contextlib.suppress(UnicodeError):
            return os.fsencode(part).decode("gbk")
    return part


def _escaped(character: str) -> str:
    code = ord(character)
    is_byte = 0xDC80 <= code <= 0xDCFF
    return f"\\x{code - 0xDC00:02x}" if is_byte else character.encode("unicode_escape").decode()
