"""Photographs: thumbnails for the page, and the parts of sheets of photographs as PNG."""

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from mtsccd_jax.report.pictures import fonts

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

# Pixels a side on the page. Larger thumbnails of a row are reduced to this.
THUMB = 128
JPEG_QUALITY = 88

# Pixels: around a sheet, between photographs, and of a line of text.
MARGIN = 16
GAP = 6
TEXT = 18
# Of letters, and where a sheet keeps the words that no font has.
_SIZE, _WORDS = 12, "words"


def data_uri(image: np.ndarray) -> str:
    """Return a thumbnail (h, w, 3) uint8 as a data URI for <img>; JPEG, since PNG makes photographs 4 times larger."""
    buffer = io.BytesIO()
    photo(image, enlarge=False).save(buffer, format="JPEG", quality=JPEG_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def photo(image: np.ndarray, *, enlarge: bool = True) -> "Image.Image":
    """Return the image (h, w, 3) uint8 with THUMB pixels a side; a smaller one only where `enlarge`."""
    from PIL import Image

    shown = Image.fromarray(np.ascontiguousarray(image))
    if shown.size != (THUMB, THUMB) and (enlarge or max(shown.size) > THUMB):
        shown = shown.resize((THUMB, THUMB), Image.Resampling.LANCZOS)
    return shown


def canvas(width: int, height: int) -> tuple["Image.Image", "ImageDraw.ImageDraw", Any]:
    """Return a white image, its pen, and a readable font.

    The pen takes another font for a text whose letters this one lacks, and numbers for words that no font here has.
    """
    from PIL import Image, ImageDraw, ImageFont

    class Pen(ImageDraw.ImageDraw):
        def text(self, xy: Any, text: Any, fill: Any = None, font: Any = None, **more: Any) -> None:  # type: ignore[override]
            text, font = _readable(text, font, words)
            super().text(xy, text, fill, font, **more)

        def textlength(self, text: Any, font: Any = None, **more: Any) -> float:  # type: ignore[override]
            return super().textlength(*_readable(text, font, words), **more)

    sheet = Image.new("RGB", (width, height), "white")
    words = sheet.info[_WORDS] = []
    return sheet, Pen(sheet), ImageFont.load_default(size=_SIZE)


def _readable(text: str, font: Any, words: list[str]) -> tuple[str, Any]:
    """Return a text and the font to write it in; numbers stand for words that no font has, added to `words`."""
    from PIL import ImageFont

    try:
        text.encode("cp1252")  # what the usual font has
    except UnicodeEncodeError:
        files, missing = fonts.choose(text)
        return fonts.numbered(text, missing, words), ImageFont.truetype([*files.values()][-1], _SIZE)
    return text, font


def fitting(text: str, draw: "ImageDraw.ImageDraw", font: Any, width: float = THUMB) -> str:
    """Cut the text to a width in pixels."""
    if draw.textlength(text, font) <= width:
        return text
    return next(cut for n in range(len(text), -1, -1) if draw.textlength(cut := f"{text[:n]}…", font) <= width)


def on_two_lines(text: str, draw: "ImageDraw.ImageDraw", font: Any) -> list[str]:
    """Break the text into one or two lines as wide as a photograph; what does not fit is cut off."""
    first, rest = "", text
    while rest and draw.textlength(more := f"{first} {rest.partition(' ')[0]}".strip(), font) <= THUMB:
        first, rest = more, rest.partition(" ")[2]
    return [line for line in (first, fitting(rest, draw, font)) if line]


def png(sheet: "Image.Image") -> bytes:
    """Return the image as PNG bytes; its description says what numbers stand for words that no font has."""
    from PIL.PngImagePlugin import PngInfo

    description = PngInfo()
    if words := sheet.info.get(_WORDS):
        description.add_text("Description", fonts.said_of(words))
    buffer = io.BytesIO()
    # A photograph's noise stays noise: the default level takes twice as long as this one, the highest five times.
    sheet.save(buffer, format="PNG", compress_level=3, pnginfo=description)
    return buffer.getvalue()
