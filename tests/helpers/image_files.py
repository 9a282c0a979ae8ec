"""Made-up images as people's files have them: sound ones with the pixels they must give, and others."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import tifffile
from PIL import Image

WIDTH, HEIGHT = 24, 18


def scene(bands: int = 3) -> np.ndarray:
    """Return noise (height, width, bands)."""
    return np.random.default_rng(bands).integers(0, 256, (HEIGHT, WIDTH, bands), np.uint8)


def encoded(form: str, image: Image.Image | np.ndarray | None = None, **options: Any) -> bytes:
    """Return an image file that Pillow writes."""
    file = io.BytesIO()
    image = scene() if image is None else image
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, form, **options)
    return file.getvalue()


def tiff(image: np.ndarray | None = None, **options: Any) -> bytes:
    """Return a TIFF file that tifffile writes; red, green and blue unless told otherwise."""
    file = io.BytesIO()
    tifffile.imwrite(file, scene() if image is None else image, **({"photometric": "rgb", "metadata": None} | options))
    return file.getvalue()


def interlaced_png(image: np.ndarray) -> bytes:
    """Return a PNG file of RGB in the seven passes of Adam7."""
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    rows = [row for y, x, dy, dx in passes for row in image[y::dy, x::dx]]

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", image.shape[1], image.shape[0], 8, 2, 0, 0, 1)
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def without_tiles(data: bytes, numbers: tuple[int, ...]) -> bytes:
    """Return a TIFF file of which some strips or tiles are not there, as GDAL's SPARSE_OK writes it."""
    changed = bytearray(data)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tags = file.pages.first.tags
        for code in (273, 279) if 273 in tags else (324, 325):
            tag = tags[code]
            size = {3: 2, 4: 4, 16: 8}[tag.dtype]
            for number in numbers:
                changed[tag.valueoffset + size * number : tag.valueoffset + size * (number + 1)] = bytes(size)
    return bytes(changed)


def with_tags(data: bytes, values: dict[int, int]) -> bytes:
    """Return a little-endian TIFF file with other values of some tags; one that it lacks takes the place of tag 296."""
    changed = bytearray(data)
    start = int.from_bytes(data[4:8], "little") + 2
    entries = range(start, start + 12 * int.from_bytes(data[start - 2 : start], "little"), 12)
    places = {int.from_bytes(data[entry : entry + 2], "little"): entry for entry in entries}
    for tag, value in values.items():
        entry = places.get(tag, places[296])
        changed[entry : entry + 2] = tag.to_bytes(2, "little")
        changed[entry + 8 : entry + 12] = value.to_bytes(4, "little")
    return bytes(changed)


def _pillow_rgb(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def _other_images() -> dict[str, bytes]:
    """Files whose pixels are those of Pillow."""
    rgb, grey = Image.fromarray(scene()), Image.fromarray(scene(1)[..., 0])
    rgba = Image.fromarray(scene(4))
    jpeg = encoded("JPEG")
    return {
        "JPEG": jpeg,
        "JPEG 4:4:4": encoded("JPEG", quality=95, subsampling=0),
        "JPEG progressive": encoded("JPEG", progressive=True),
        "JPEG grey": encoded("JPEG", grey),
        "JPEG CMYK": encoded("JPEG", rgb.convert("CMYK")),
        "JPEG stored as RGB": encoded("JPEG", keep_rgb=True),
        "JPEG with orientation": encoded("JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"),
        "JPEG padded to a block": jpeg + bytes(4096),
        "JPEG with a trailer": jpeg + b"TRAILER!" * 40,
        "PNG": encoded("PNG"),
        "PNG interlaced": interlaced_png(scene()),
        "PNG grey": encoded("PNG", grey),
        "PNG one bit": encoded("PNG", grey.convert("1")),
        "PNG two bits": encoded("PNG", grey.quantize(4), bits=2),
        "PNG palette": encoded("PNG", rgb.quantize(16)),
        "PNG transparent palette": encoded("PNG", rgb.quantize(16), transparency=3),
        "PNG alpha": encoded("PNG", rgba),
        "PNG grey and alpha": encoded("PNG", rgba.convert("LA")),
        "PNG transparent colour": encoded("PNG", transparency=tuple(scene()[0, 0].tolist())),
        "PNG transparent grey": encoded("PNG", grey, transparency=7),
        "BMP": encoded("BMP"),
        "BMP grey": encoded("BMP", grey),
        "BMP palette": encoded("BMP", rgb.quantize(16)),
        "BMP one bit": encoded("BMP", grey.convert("1")),
        "BMP alpha": encoded("BMP", rgba),
        "WebP": encoded("WEBP"),
        "WebP lossless": encoded("WEBP", lossless=True),
        "WebP alpha": encoded("WEBP", rgba, lossless=True, exact=True),
        "TIFF MINISWHITE": tiff(scene(1)[..., 0], photometric="miniswhite"),
        "TIFF palette": encoded("TIFF", rgb.quantize(16)),
        "TIFF one bit": encoded("TIFF", grey.convert("1")),
        "TIFF four bits": with_tags(tiff(scene(1)[:, : WIDTH // 2, 0], photometric="minisblack"), {256: WIDTH, 258: 4}),
        "TIFF CMYK": encoded("TIFF", rgb.convert("CMYK")),
        "TIFF JPEG": encoded("TIFF", compression="jpeg"),
        "TIFF JPEG grey": encoded("TIFF", grey, compression="jpeg"),
    }


def _tiff_images() -> dict[str, tuple[bytes, np.ndarray]]:
    """TIFF files of the first three bands, or of one grey band, as they are stored."""
    rgb, four, planes = scene(), scene(4), np.ascontiguousarray(np.moveaxis(scene(), 2, 0))
    grey, and_alpha = scene(1), scene(2)
    unassociated, associated = {"extrasamples": ("unassalpha",)}, {"extrasamples": ("assocalpha",)}
    colours = np.arange(768, dtype=np.uint16).reshape(3, 256) % 251
    files = {
        "palette of 8 bits": (
            tiff(grey[..., 0], photometric="palette", colormap=colours),
            colours.T.astype(np.uint8)[grey[..., 0]],
        ),
        "plain": (tiff(), rgb),
        "strips": (tiff(rowsperstrip=5), rgb),
        "tiles": (tiff(tile=(16, 16)), rgb),
        "planes": (tiff(planes, planarconfig="separate"), rgb),
        "planes in tiles": (tiff(planes, planarconfig="separate", tile=(16, 16), compression="zlib"), rgb),
        "deflate": (tiff(compression="zlib", predictor=True), rgb),
        "LZMA": (tiff(compression="lzma"), rgb),
        "LZW": (encoded("TIFF", compression="tiff_lzw"), rgb),
        "LZW predictor": (encoded("TIFF", compression="tiff_lzw", tiffinfo={317: 2}), rgb),
        "PackBits": (encoded("TIFF", compression="packbits"), rgb),
        "ZSTD": (encoded("TIFF", compression="zstd"), rgb),
        "BigTIFF": (tiff(bigtiff=True), rgb),
        "big endian": (tiff(byteorder=">", bigtiff=True), rgb),
        "near infrared": (tiff(four), four[..., :3]),
        "near infrared tagged as alpha": (tiff(four, **unassociated), four[..., :3]),
        "near infrared tagged as multiplied alpha": (tiff(four, **associated), four[..., :3]),
        "MINISBLACK": (tiff(photometric="minisblack", planarconfig="contig"), rgb),
        "MINISBLACK, planes": (tiff(planes, photometric="minisblack", planarconfig="separate"), rgb),
        "MINISBLACK and near infrared": (tiff(four, photometric="minisblack", planarconfig="contig"), four[..., :3]),
        "grey": (tiff(grey[..., 0], photometric="minisblack"), grey.repeat(3, 2)),
        "grey and alpha": (
            tiff(and_alpha, photometric="minisblack", planarconfig="contig", **unassociated),
            and_alpha[..., :1].repeat(3, 2),
        ),
        "overviews": (_with_second(rgb, rgb[::2, ::2], photometric="rgb", subfiletype=1), rgb),
        "a mask": (_with_second(rgb, np.ones((HEIGHT, WIDTH), bool), photometric=4, subfiletype=4), rgb),
    }
    sparse = without_tiles(tiff(rowsperstrip=5, extratags=[(42113, "s", 0, "9", True)]), (0, 2))
    holes = rgb.copy()
    holes[:5], holes[10:15] = 9, 9
    return files | {"sparse": (sparse, holes)}


def _with_second(rgb: np.ndarray, second: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as out:
        out.write(rgb, photometric="rgb", metadata=None)
        out.write(second, metadata=None, **options)
    return file.getvalue()


def sound_images() -> dict[str, tuple[bytes, np.ndarray]]:
    """Return files of every kind that is read, with the pixels (height, width, 3) that they must give."""
    others = {name: (data, _pillow_rgb(data)) for name, data in _other_images().items()}
    return others | {f"TIFF {name}": value for name, value in _tiff_images().items()}


def other_files() -> dict[str, tuple[bytes, str]]:
    """Return sound files that hold no 8-bit image, with what must be said of them."""
    deep = scene(1)[..., 0].astype(np.uint16) * 257
    rgb = Image.fromarray(scene())
    moving = {"save_all": True, "append_images": [Image.fromarray(255 - scene())]}
    bands = {"photometric": "minisblack", "planarconfig": "contig"}
    jpeg = encoded("JPEG")
    frame = jpeg.index(b"\xff\xc0")
    return {
        "JPEG of 12 bits": (jpeg[: frame + 4] + b"\x0c" + jpeg[frame + 5 :], "a JPEG with 12 bits and 3 channels"),
        "JPEG lossless": (jpeg[: frame + 1] + b"\xc3" + jpeg[frame + 2 :], r"a JPEG of a lossless .* \(SOF3\)"),
        "PNG of 16 bits": (encoded("PNG", deep), r"a PNG of 16 bits a channel \(grey\)"),
        "PNG animated": (encoded("PNG", rgb, **moving), "an animated PNG"),
        "WebP animated": (encoded("WEBP", rgb, lossless=True, **moving), "an animated WebP"),
        "GIF": (encoded("GIF", rgb), "a GIF image"),
        "JPEG 2000": (encoded("JPEG2000", rgb), "a JPEG 2000 image"),
        "TIFF of 16 bits": (tiff(deep, photometric="minisblack"), "1 band of uint16"),
        "TIFF of 13 bands": (tiff(scene(13).astype(np.uint16), **bands), "13 bands of uint16"),
        "TIFF of 5 bands": (tiff(scene(5), **bands), "5 bands of uint8"),
        "TIFF of 2 bands": (tiff(scene(2), **bands), "2 bands of uint8"),
        "TIFF signed": (tiff(scene().astype(np.int8)), "3 bands of int8"),
        "TIFF float": (tiff(scene().astype(np.float32)), "3 bands of float32"),
        "TIFF CIELab": (tiff(photometric="cielab"), "a TIFF of CIELab"),
        "TIFF of two images": (_with_second(scene(), scene(), photometric="rgb"), "2 images in one TIFF file"),
        "TIFF fax": (encoded("TIFF", rgb.convert("1"), compression="group4"), "a TIFF compressed with CCITT fax"),
    }
