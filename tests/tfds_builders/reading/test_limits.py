"""Small files that ask for much: they are refused by their headers, before memory or disk are taken."""

import gzip
import io
import os
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import image_files
import numpy as np
import pytest

from mtsccd_jax.data.decode import ImageBatch, decode_rgb
from mtsccd_jax.data.folder_source import image_files as source_of
from mtsccd_jax.errors import InputError
from tfds_builders.reading import limits
from tfds_builders.reading.archive import ArchiveError, extract, open_archive
from tfds_builders.reading.images import load_image
from tfds_builders.reading.limits import MAX_PIXELS, most_pixels
from tfds_builders.reading.tiff import read_tiff_header

SIDE = 30_000


def with_size(form: str) -> bytes:
    """Return a small image file whose header says 30,000 x 30,000."""
    data = bytearray(image_files.tiff() if form == "TIFF" else image_files.encoded(form))
    if form == "PNG":
        data[16:24] = struct.pack(">II", SIDE, SIDE)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    if form == "JPEG":
        frame = data.index(b"\xff\xc0")
        data[frame + 5 : frame + 9] = struct.pack(">HH", SIDE, SIDE)
    if form == "BMP":
        data[18:26] = struct.pack("<ii", SIDE, SIDE)
    if form == "TIFF":
        data = bytearray(image_files.with_tags(bytes(data), {256: SIDE, 257: SIDE, 278: SIDE}))
    return bytes(data)


REFUSED = "of 30000x30000 pixels, more than 178,956,970 for a file of its size; cut it into tiles, or set"


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "TIFF"])
def test_a_header_of_too_many_pixels_is_refused_by_every_reader(tmp_path, form):
    data = with_size(form)
    (tmp_path / "a.img").write_bytes(data)
    with pytest.raises(InputError, match=f"^a holds a {form} {REFUSED} {MAX_PIXELS}=900000000 to decode it"):
        decode_rgb(data, "a")
    with pytest.raises(InputError, match=f"^a holds a {form} {REFUSED}"):
        ImageBatch(1, 8).decode(0, data, "a")
    with pytest.raises(ArchiveError, match=f"^a.zip/a: a {form} {REFUSED}"):
        load_image(str(tmp_path / "a.img"), "a.zip/a", (24, 18))


def test_a_jpeg_with_zeros_is_not_decoded_to_look_for_a_hole(monkeypatch):
    monkeypatch.setattr("tfds_builders.reading.image_headers.has_hole", lambda data: pytest.fail("decoded"))
    with pytest.raises(InputError, match=f"^a holds a JPEG {REFUSED}"):
        decode_rgb(with_size("JPEG"), "a")


def test_a_jpeg_that_goes_over_its_pixels_again_and_again_is_refused(monkeypatch):
    data = image_files.encoded("JPEG", progressive=True)
    again = data[:-2] + 300 * data[data.rindex(b"\xff\xda") : -2] + data[-2:]
    assert decode_rgb(data, "a").shape == (18, 24, 3)
    monkeypatch.setattr(limits, "_LARGE_PIXELS", 400)
    assert decode_rgb(data, "a").shape == (18, 24, 3)
    with pytest.raises(InputError, match=r"^a holds a JPEG of more scans than any program writes; convert it"):
        decode_rgb(again, "a")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
def test_the_limit_can_be_set(monkeypatch, form):
    data = image_files.tiff() if form == "TIFF" else image_files.encoded(form)
    monkeypatch.setenv(MAX_PIXELS, "432")
    assert decode_rgb(data, "a").shape == (18, 24, 3)
    monkeypatch.setenv(MAX_PIXELS, "431")
    with pytest.raises(InputError, match="of 24x18 pixels, more than 431 for"):
        decode_rgb(data, "a")
    monkeypatch.setenv(MAX_PIXELS, "1e9")
    with pytest.raises(InputError, match=f"more than 0 for.*, or set {MAX_PIXELS}=432 to decode"):
        decode_rgb(data, "a")


def test_a_real_scene_of_20000_passes_and_a_bomb_of_that_size_does_not():
    assert most_pixels(20 << 20) >= 20_000 * 20_000 > most_pixels(10 << 20)
    assert most_pixels(1 << 40) == 1 << 30


def test_pillow_opens_as_many_pixels():
    from PIL import Image

    assert most_pixels(0) == 2 * Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({322: 1 << 20, 323: 1 << 10}, "a TIFF of 24x18 pixels, more than"),  # tiles far larger than the image
        ({325: 1 << 16}, "its strips or tiles are larger than the file"),
    ],
)
def test_tiles_ask_for_no_more_than_pixels(tags, reason):
    data = image_files.tiff(tile=(32, 32))
    assert read_tiff_header(data).tiles == 1
    with pytest.raises(ValueError, match=reason):
        read_tiff_header(image_files.with_tags(data, tags))


def test_a_picture_in_a_tile_is_not_decoded_where_its_size_is_another():
    inner = image_files.encoded("JPEG", np.zeros((18, 24), np.uint8))
    frame = inner.index(b"\xff\xc0")
    inner = inner[: frame + 5] + struct.pack(">HH", SIDE, SIDE) + inner[frame + 9 :]
    tags = {256: 24, 257: 18, 258: 8, 259: 7, 262: 1, 273: 122, 277: 1, 278: 18, 279: len(inner)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    data = b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4) + inner
    with pytest.raises(InputError, match=r"a tile of \(30000, 30000\) instead of \(24, 18\) pixels"):
        decode_rgb(data, "a")


def test_a_chain_of_directories_ends():
    count = 200_000
    directory = struct.pack("<HHHIII", 1, 256, 3, 1, 24, 0)
    chain = b"".join(directory[:-4] + struct.pack("<I", 8 + len(directory) * (at + 1)) for at in range(count))
    with pytest.raises(ValueError, match="a width, height"):
        read_tiff_header(b"II*\0\x08\0\0\0" + chain + directory)


def test_a_large_image_is_resized_to_the_same_pixels(monkeypatch):
    data = image_files.encoded("PNG", np.random.default_rng(0).integers(0, 256, (97, 131, 3), np.uint8))
    small, large = ImageBatch(1, 31), ImageBatch(1, 31)
    small.decode(0, data, "a")
    monkeypatch.setattr("mtsccd_jax.data.decode._LARGE", 0)
    large.decode(0, data, "a")
    np.testing.assert_array_equal(small.image_bhwc, large.image_bhwc)


def packed(path: Path, members: dict[str, bytes]) -> Path:
    """Write a zip or tar file, by its suffix."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        return path
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w:xz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture
def low_limits(monkeypatch):
    monkeypatch.setattr(limits, "_ANY_BYTES", 100_000)
    monkeypatch.setattr(limits, "_ANY_MEMBERS", 100)


@pytest.mark.usefixtures("low_limits")
@pytest.mark.parametrize(
    ("name", "members"),
    [
        *((name, {"a.csv": bytes(1 << 20)}) for name in ("a.zip", "a.tar.gz", "a.tar.xz")),
        ("a.tar.gz", {f"{at}/x.csv": b"" for at in range(3000)}),
    ],
)
def test_an_archive_unpacks_to_no_more_than_a_hundred_times_its_size(tmp_path, name, members):
    path = packed(tmp_path / name, members)
    for read in (lambda: open_archive(path, keep=lambda name: True), lambda: extract(path, tmp_path / "out")):
        with pytest.raises(
            ArchiveError, match=r"bytes that unpack to more than .*; if you trust it, unpack it and give"
        ):
            read()
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("low_limits")
def test_folders_in_an_archive_count(tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        for number in range(3000):
            folder = tarfile.TarInfo(f"{number}/")
            folder.type = tarfile.DIRTYPE
            archive.addfile(folder)
    with pytest.raises(ArchiveError, match="unpack to more than"):
        open_archive(tmp_path / "a.tar.gz")


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_what_is_kept_in_memory_has_a_limit_of_its_own(tmp_path, monkeypatch, name):
    path = packed(tmp_path / name, {"a.csv": bytes(600), "b.csv": bytes(600), "c.csv": bytes(2000)})
    monkeypatch.setattr("tfds_builders.reading.archive.KEPT_BYTES", 1000)
    with pytest.raises(ArchiveError, match=r"'b\.csv' unpacks to 600 bytes and is read whole, 400 at most"):
        open_archive(path, keep=lambda name: True)
    with pytest.raises(ArchiveError, match=r"'c\.csv' unpacks to 2,000 bytes and is read whole, 1,000 at most"):
        open_archive(path).read("c.csv")


def header(kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo("a.jpg")
    info.type, info.size = kind, abs(size)
    made = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    if size < 0:
        made[124:136] = b"\xff" + (size + (1 << 88)).to_bytes(11, "big")
        made[148:156] = f"{tarfile.calc_chksums(made)[0]:06o}\0 ".encode()
    return bytes(made)


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        (tarfile.GNUTYPE_LONGNAME, 1 << 33),
        (tarfile.XHDTYPE, 1 << 33),
        (tarfile.XGLTYPE, 1 << 20),
        (tarfile.REGTYPE, -1024),
        (tarfile.REGTYPE, 1 << 40),
    ],
)
def test_sizes_in_the_header_of_a_tar_file(tmp_path, kind, size):
    whole = header(tarfile.REGTYPE, 0).replace(b"a.jpg", b"b.jpg")
    made = bytearray(whole)
    made[148:156] = f"{tarfile.calc_chksums(made)[0]:06o}\0 ".encode()
    (tmp_path / "a.tgz").write_bytes(gzip.compress(bytes(made) + header(kind, size) + bytes(1 << 20)))
    with pytest.raises(ArchiveError, match=r"a\.tgz: (broken or incomplete|1,\d+ bytes that unpack to more)"):
        open_archive(tmp_path / "a.tgz")


def test_pipes_and_devices_are_no_images(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        with pytest.raises(ArchiveError, match=rf"^{name}: cannot be read \(a pipe or a device\)"):
            load_image(str(tmp_path / f"{name}.jpg"), name, (1, 1))
    image = image_files.encoded("PNG")
    (tmp_path / "pipe.jpg").unlink()
    (tmp_path / "zero.jpg").unlink()
    (tmp_path / "a.png").write_bytes(image)
    source = source_of(tmp_path)
    (tmp_path / "a.png").unlink()
    (tmp_path / "a.png").symlink_to("/dev/zero")
    with pytest.raises(InputError, match=r"a\.png cannot be read \(a pipe or a device\)"):
        source[0]
