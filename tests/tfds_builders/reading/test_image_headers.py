"""Image checks against PIL and OpenCV, and against files cut short at every place."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from tfds_builders.reading.archive import ArchiveError
from tfds_builders.reading.image_headers import load_image, load_image_size


def noise(width: int = 12, height: int = 10) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    out = io.BytesIO()
    (image or Image.fromarray(noise())).save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        encoded("JPEG"),
        encoded("JPEG", progressive=True),
        encoded("JPEG", Image.fromarray(noise()).convert("L")),
        encoded("JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"),
        encoded("PNG"),
        encoded("PNG", Image.fromarray(noise()).convert("P")),
        encoded("JPEG") + bytes(20),  # padded
    ],
    ids=["jpeg", "progressive", "grey", "exif", "png", "palette", "padded"],
)
def test_sound_images_are_stored_as_they_are(tmp_path, data):
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    assert load_image(str(path), "a.jpg", (12, 10)) == data
    with Image.open(path) as image:
        assert load_image_size(str(path), "a.jpg") == image.size == (12, 10)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_file_cut_anywhere_is_refused(tmp_path, kind):
    data = encoded(kind)
    path = tmp_path / "cut.jpg"
    for length in [*range(0, len(data) - 40, 7), *range(len(data) - 40, len(data) - 1)]:
        path.write_bytes(data[:length])
        with pytest.raises(ArchiveError, match=r"^archive\.zip/cut\.jpg: (empty file|truncated|broken|not a JPEG)"):
            load_image(str(path), "archive.zip/cut.jpg", (12, 10))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"<html>Too many requests</html>", "not a JPEG, PNG, TIFF or BMP"),
        (encoded("JPEG", Image.fromarray(noise()).convert("CMYK")), "4 channels"),
        (cv2.imencode(".png", noise().astype(np.uint16) * 256)[1].tobytes(), "16 bits"),
        (encoded("TIFF", Image.fromarray(noise()[:, :, 0].astype(np.float32))), "mode F"),
        (encoded("TIFF")[:-300], "broken or truncated"),
        (encoded("BMP")[:-100], "broken or truncated"),
    ],
    ids=["empty", "html", "cmyk", "png16", "float tiff", "cut tiff", "cut bmp"],
)
def test_what_is_no_scene_is_refused(tmp_path, data, reason):
    (tmp_path / "a.img").write_bytes(data)
    with pytest.raises(ArchiveError, match=rf"a\.img: .*{reason}"):
        load_image(str(tmp_path / "a.img"), "a.img", (12, 10))


def test_another_size_is_refused(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encoded("JPEG"))
    with pytest.raises(ArchiveError, match=r"size 12x10, unlike the other images \(300x300\)"):
        load_image(str(tmp_path / "a.jpg"), "a.jpg", (300, 300))


@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}, {"compression": "tiff_deflate"}])
def test_tiff_becomes_png_with_the_same_pixels(tmp_path, options):
    (tmp_path / "a.tif").write_bytes(encoded("TIFF", **options))
    data = load_image(str(tmp_path / "a.tif"), "a.tif", (12, 10))
    assert data.startswith(b"\x89PNG")
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1], noise())


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
def test_bmp_becomes_png_with_the_same_pixels(tmp_path, mode):
    image = Image.fromarray(noise()).convert(mode)
    (tmp_path / "a.bmp").write_bytes(encoded("BMP", image))
    stored = Image.open(io.BytesIO(load_image(str(tmp_path / "a.bmp"), "a.bmp", (12, 10))))
    np.testing.assert_array_equal(np.asarray(stored.convert("RGB")), np.asarray(image.convert("RGB")))


def test_an_unreadable_file_is_named(tmp_path):
    with pytest.raises(ArchiveError, match=r"missing\.jpg: cannot be read"):
        load_image(str(tmp_path / "missing.jpg"), "missing.jpg", (12, 10))
    with pytest.raises(ArchiveError, match="cannot be read"):
        load_image_size(str(tmp_path), "a folder")
