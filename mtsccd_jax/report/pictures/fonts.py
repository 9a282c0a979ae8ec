"""Find glyphs for the names of people's data, whatever script they are in.

A chart's text stays text in its SVG, which readers see in fonts of their own. Where no font of this machine has a
letter, another one of its width stands for it while the chart is laid out, and in the PNG a number stands for the word.
"""

import functools
import logging
import re
from collections.abc import Iterable

logger = logging.getLogger(__name__)

FAMILY = "DejaVu Sans"  # comes with matplotlib
# Families with Chinese, Japanese or Korean letters, as systems have them, and those with nearly everything.
FAMILIES = (
    *("Noto Sans CJK SC", "Noto Sans CJK TC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Noto Sans SC", "Noto Sans JP"),
    *("Noto Sans KR", "Source Han Sans SC", "Source Han Sans CN", "Source Han Sans JP", "Source Han Sans KR"),
    *("WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback", "AR PL UMing CN", "IPAGothic", "TakaoGothic"),
    *("VL Gothic", "NanumGothic", "UnDotum", "Microsoft YaHei", "SimHei", "SimSun", "Microsoft JhengHei"),
    *("Yu Gothic", "Meiryo", "MS Gothic", "Malgun Gothic", "PingFang SC", "Heiti TC", "Hiragino Sans GB"),
    *("Hiragino Sans", "Apple SD Gothic Neo", "AppleGothic", "Arial Unicode MS", "Unifont"),
)
# Symbols of the family that comes with matplotlib are about as wide as the letters of these scripts.
_FIRST_SYMBOL = 0x2190


def choose(text: str) -> tuple[dict[str, str], str]:
    """Return the installed families (with their files) that have the letters of a text, and the letters that none has.

    The family that comes with matplotlib is the first, and the only one that may have none of them.
    """
    missing = set(map(ord, text)) - {ord("\n")}
    files = {}
    for family, file in _installed():
        found = missing & _letters(file)
        if found or family == FAMILY:
            files[family] = file
        missing -= found
    if missing:
        _warn()
    return files, "".join(map(chr, sorted(missing)))


def stand_ins(missing: str, text: str) -> dict[int, str]:
    """Return letter -> a symbol that is not in `text`, for `str.translate`, of letters that no font has."""
    taken = set(map(ord, text))
    free = (code for code in sorted(_letters(_installed()[0][1])) if code >= _FIRST_SYMBOL and code not in taken)
    return dict(zip(map(ord, missing), map(chr, free), strict=False))


def numbered(text: str, missing: Iterable[str], words: list[str]) -> str:
    """Return a text with a number, such as [1], for every word of missing letters; new words are added to `words`."""

    def number(word: re.Match[str]) -> str:
        if word[0] not in words:
            words.append(word[0])
        return f"[{words.index(word[0]) + 1}]"

    letters = "".join(missing)
    return re.sub(f"[{re.escape(letters)}]+", number, text) if letters else text


def said_of(words: Iterable[str]) -> str:
    """Return, for the description of a picture, what its numbers stand for."""
    return "; ".join(f"[{number}] {word}" for number, word in enumerate(words, start=1))


@functools.cache
def _warn() -> None:
    """Log, once, that some letters are in no font of this machine."""
    logger.warning("no font here has some letters of the names: pictures show numbers for them; install Noto Sans CJK")


def _installed() -> list[tuple[str, str]]:
    """Return family and file of the fonts to choose from, in the order of preference."""
    from matplotlib.font_manager import fontManager

    files: dict[str, str] = {}
    for font in sorted(fontManager.ttflist, key=lambda font: (font.style != "normal", abs(int(font.weight) - 400))):
        files.setdefault(font.name, font.fname)
    return [(family, files[family]) for family in (FAMILY, *FAMILIES) if family in files]


@functools.cache
def _letters(path: str) -> frozenset[int]:
    from matplotlib.font_manager import get_font

    return frozenset(get_font(path).get_charmap())
