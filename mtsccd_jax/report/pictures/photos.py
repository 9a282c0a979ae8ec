"""Photographs: thumbnails for the page, and the parts of sheets of photographs as PNG."""

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

# Pixels a side on the page. Larger thumbnails of a row are reduced to this.
THUMB = 128
JPEG_QUALITY = 88

# Pixels: around a sheet, between photographs, and of a line of text.
MARGIN = 16
GAP = 6
TEXT = 18


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
    """Return a white image, its pen, and a readable font."""
    from PIL import Image, ImageDraw, ImageFont

    sheet = Image.new("RGB", (width, height), "white")
    return sheet, ImageDraw.Draw(sheet), ImageFont.load_default(size=12)


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
    """Return the image as PNG bytes."""
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
