"""Images of every kind against Pillow, tifffile and TensorFlow, and files cut short or changed at every place."""

import cv2
import image_files
import numpy as np
import pytest

from tfds_builders.reading.archive import ArchiveError
from tfds_builders.reading.image_headers import UnsupportedImage
from tfds_builders.reading.images import decode_image, load_image, load_image_size

SOUND = image_files.sound_images()
OTHERS = image_files.other_files()
SIZE = (image_files.WIDTH, image_files.HEIGHT)
STORED_AS_THEY_ARE = {
    *("JPEG", "JPEG 4:4:4", "JPEG progressive", "JPEG stored as RGB", "JPEG with orientation", "PNG", "PNG interlaced"),
    *("JPEG padded to a block", "JPEG with a trailer"),
}
# GDAL gives the numbers of colours, inks and small values, and has an inverse transform of its own.
GIVEN_OTHERWISE = ("MINISWHITE", "palette", "bit", "bits", "CMYK", "JPEG")


def load(tmp_path, data: bytes, size: tuple[int, int] = SIZE) -> bytes:
    (tmp_path / "a.img").write_bytes(data)
    return load_image(str(tmp_path / "a.img"), "archive.zip/a.img", size)


@pytest.mark.parametrize("name", SOUND)
def test_pixels_are_those_of_the_reference(name):
    data, expected = SOUND[name]
    image = decode_image(data)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("name", SOUND)
def test_what_is_stored_is_the_same_for_every_decoder(tmp_path, name):
    data, expected = SOUND[name]
    stored = load(tmp_path, data)
    assert (stored == data) == (name in STORED_AS_THEY_ARE)
    assert load_image_size(str(tmp_path / "a.img"), "a.img") == SIZE
    # `tfds.data_source` decodes with these flags.
    unchanged = cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(unchanged[..., ::-1], expected)


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
def test_tiffs_are_as_gdal_reads_them(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    for name, (data, _) in SOUND.items():
        if name.startswith("TIFF") and not name.endswith(GIVEN_OTHERWISE):
            (tmp_path / "a.tif").write_bytes(data)
            with rasterio.open(tmp_path / "a.tif") as file:
                stored = file.read()
            bands = stored[:3] if len(stored) > 2 else stored[:1].repeat(3, axis=0)
            np.testing.assert_array_equal(decode_image(data), np.moveaxis(bands, 0, 2), err_msg=name)


@pytest.mark.parametrize("name", OTHERS)
def test_sound_files_of_other_kinds_are_named_and_not_called_damaged(tmp_path, name):
    data, what = OTHERS[name]
    with pytest.raises(UnsupportedImage, match=f"^{what}"):
        decode_image(data)
    with pytest.raises(ArchiveError, match=rf"^archive\.zip/a\.img: {what}.*; convert it to 8-bit RGB$"):
        load(tmp_path, data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"<html>Too many requests</html>", "damaged or not an image .*, but a web page"),
        (b"some text", "damaged or not an image"),
        (b"\x1f\x8b\x08\0" + bytes(30), "damaged or not an image .*, but a gzip file"),
        (image_files.tiff()[:-300], "a truncated TIFF"),
        (image_files.encoded("BMP")[:-100], "a damaged or truncated BMP"),
    ],
    ids=["empty", "html", "text", "gzip", "cut tiff", "cut bmp"],
)
def test_what_is_no_image_is_refused(tmp_path, data, reason):
    with pytest.raises(ArchiveError, match=rf"^archive\.zip/a\.img: {reason}"):
        load(tmp_path, data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_file_cut_anywhere_is_refused(tmp_path, kind):
    data = image_files.encoded(kind)
    for length in [*range(1, len(data) - 40, 37), *range(len(data) - 40, len(data) - 1)]:
        with pytest.raises(ArchiveError, match=r"^archive\.zip/a\.img: .*(damaged|truncated)"):
            load(tmp_path, data[:length])


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_image(tmp_path):
    thumbnail = b"\xff\xe1" + (2 + len(image_files.encoded("JPEG"))).to_bytes(2, "big") + image_files.encoded("JPEG")
    data = image_files.encoded("JPEG")
    with_it = data[:2] + thumbnail + data[2:]
    assert load(tmp_path, with_it) == with_it
    with pytest.raises(ArchiveError, match="truncated JPEG"):
        load(tmp_path, with_it[: -len(data) // 2])


def test_another_size_is_refused(tmp_path):
    with pytest.raises(ArchiveError, match=r"size 24x18, unlike the other images \(300x300\)"):
        load(tmp_path, image_files.encoded("JPEG"), (300, 300))


def test_an_unreadable_file_is_named(tmp_path):
    with pytest.raises(ArchiveError, match=r"missing\.jpg: cannot be read"):
        load_image(str(tmp_path / "missing.jpg"), "missing.jpg", (12, 10))
    with pytest.raises(ArchiveError, match="cannot be read"):
        load_image_size(str(tmp_path), "a folder")
