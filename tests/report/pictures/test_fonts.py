"""Names in any script: with a font that has their letters, and without one. Every warning is an error here."""

import io
import logging
from html import unescape

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.font_manager import fontManager
from PIL import Image

from mtsccd_jax.report.pictures import charts, fonts, photos

NAMES = ("林地 wood", "住宅用地", "住宅", "ひらがな", "도시", "water")
LETTERS = "".join(sorted({letter for name in NAMES for letter in name if ord(letter) > 0x2E80}))
SOME_FONT = bool({family for family, _ in fonts._installed()} & set(fonts.FAMILIES))
without_font = pytest.mark.skipif(SOME_FONT, reason="a font with these letters is installed")


def confusion(names=NAMES):
    return charts.confusion(np.eye(len(names), dtype=int) * 7, names, "what it shows")


def pareto(names=NAMES):
    speeds = [charts.Speed(10.0 * at, 1 / at, name, f"kind {name}") for at, name in enumerate(names, start=1)]
    return charts.pareto(speeds, "精度" if names is NAMES else "accuracy", "what it shows")


def intervals(names=NAMES):
    return charts.intervals([charts.Estimate(name, 0.5, 0.4, 0.6) for name in names], "kappa", "what it shows")


CHARTS = {"confusion": confusion, "pareto": pareto, "intervals": intervals}
every_chart = pytest.mark.parametrize("draw", CHARTS.values(), ids=CHARTS)


def png(content):
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("L")), image.text.get("Description", "")


@pytest.fixture
def font(tmp_path):
    """Install a font with the letters, each a full square."""
    builder = FontBuilder(1000, isTTF=True)
    glyphs = [".notdef", *(f"letter{at}" for at in range(len(LETTERS)))]
    builder.setupGlyphOrder(glyphs)
    builder.setupCharacterMap({ord(letter): name for letter, name in zip(LETTERS, glyphs[1:], strict=True)})
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 800), (900, 800), (900, 0)):
        pen.lineTo(corner)
    pen.closePath()
    square = pen.glyph()
    builder.setupGlyf(dict.fromkeys(glyphs, square))
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (1000, 0)))
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": fonts.FAMILIES[0], "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(tmp_path / "squares.ttf")
    before = [*fontManager.ttflist]
    fontManager.addfont(tmp_path / "squares.ttf")
    yield
    fontManager.ttflist[:] = before


@every_chart
def test_a_page_has_the_names_as_they_are(draw):
    svg = unescape(draw().svg)
    for name in NAMES:
        assert name in svg
    assert set(fonts.choose(svg)[1]) <= set(LETTERS) | set("精度"), "no symbol is left in place of a letter"
    assert not any(chr(code) in svg for code in range(fonts._FIRST_SYMBOL, 0x2E80))


@without_font
@every_chart
def test_without_a_font_a_picture_has_numbers_and_says_what_they_are(draw):
    _, description = png(draw().png)
    assert description.startswith("what it shows; [1] ")
    for word in ("林地", "住宅用地", "住宅", "ひらがな", "도시"):
        assert f"] {word}" in description
    assert "wood" not in description


@without_font
def test_a_missing_font_is_logged_once(caplog):
    fonts._warn.cache_clear()
    with caplog.at_level(logging.WARNING):
        confusion()
        confusion()
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "no font here has some letters of the names"
    ]


@every_chart
def test_an_installed_font_draws_the_letters(draw, font, caplog):
    drawn = draw([*NAMES])
    pixels, description = png(drawn.png)
    assert (description, caplog.messages) == ("what it shows", [])
    plain, _ = png(draw(["x" * len(name) for name in NAMES]).png)
    assert (pixels < 100).sum() > (plain < 100).sum() + 1_000, "squares are drawn"
    assert fonts.FAMILY not in drawn.svg
    assert fonts.FAMILIES[0] not in drawn.svg, "a page uses the reader's fonts, whatever this machine has"


@every_chart
def test_names_in_latin_letters_are_drawn_as_ever(draw, caplog):
    names = ["café", "Ødegård", "κ → 1", "a_b", "…", "лес"]
    drawn = draw(names)
    assert all(name in unescape(drawn.svg) for name in names)
    assert (png(drawn.png)[1], caplog.messages) == ("what it shows", [])


def test_letters_that_no_file_may_hold_are_replaced():
    svg = intervals(["\udcc1\udcd6 gbk", "b"]).svg
    assert "\ufffd\ufffd gbk" in svg
    svg.encode()


def sheet(text):
    image, draw, font = photos.canvas(200, 40)
    draw.text((4, 4), photos.fitting(text, draw, font), fill="black", font=font)
    return png(photos.png(image))


@without_font
def test_a_sheet_has_numbers_for_words_that_no_font_has():
    pixels, description = sheet("林地 wood 住宅")
    assert description == "[1] 林地; [2] 住宅"
    assert (pixels < 200).any()


def test_a_sheet_uses_a_font_that_has_the_letters(font):
    pixels, description = sheet("林林林林")
    assert description == ""
    assert (pixels < 100).sum() > 200
    assert sheet("plain")[1] == ""
