"""Names that are short and still tell rows apart: what rows have in common is not repeated in their names."""

import itertools
from collections.abc import Sequence

from mtsccd_jax.report import label_results, words
from mtsccd_jax.report.rows import Row


def network_among(row: Row, rows: Sequence[Row]) -> str:
    """A row's network as `words.network` has it; where other recipes of the row's protocol in `rows` have it too, more.

    What follows are the bands, else the configuration of the data, else what is the recipe's own in its name.
    """
    name = words.network(row)
    alike = [row, *(other for other in rows if other.protocol == row.protocol and words.network(other) == name)]
    if len({words.recipe_name(other) for other in alike}) == 1:
        return name
    names = _told([name] * len(alike), [label_results.modality(words.bands(other)) for other in alike])
    names = _told(names, _configurations(alike, leak_free=False))
    return _by_recipe(names, alike)[0]


def rows_apart(rows: Sequence[Row], *, bands: bool = False) -> list[str]:
    """The rows' networks, all different, each with no more than tells it from the others.

    That is, in this order: bands, configuration of the data, recipe, seed, split, objective of the threshold, settings
    of the recipe, and the number of a repetition.

    Args:
        rows: The rows.
        bands: Whether bands are named in any case.
    """
    names, seen = [words.network(row) for row in rows], [label_results.modality(words.bands(row)) for row in rows]
    if bands:
        names = [f"{name}, {text}" if text else name for name, text in zip(names, seen, strict=True)]
    else:
        names = _told(names, seen)
    names = _told(names, _configurations(rows))
    names = _by_recipe(names, rows)
    for texts in (
        [f"seed {row.seed}" for row in rows],
        [words.split_name(row.split, "") for row in rows],
        [_called(row) for row in rows],
    ):
        names = _told(names, texts)
    for group in _namesakes(names):
        for i, text in zip(group, words.different_settings([rows[i] for i in group]), strict=True):
            names[i] = f"{names[i]}, {text}" if text else names[i]
    return _numbered(names)


def titles_apart(titles: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """Titles, all different, of groups of rows: what tells the first row's data from the others' follows where needed.

    Args:
        titles: As they would be if each stood alone.
        rows: The first row of each.
    """
    told = _told(list(titles), _configurations(rows))
    return _numbered(_told(told, [f"{row.n:,} images" for row in rows]))


def without_common(names: Sequence[str]) -> list[str]:
    """Names without the words, as underscores part them, that all of them begin or end with.

    Where one name would be left without a word, the words at that end stay.
    """
    return _own_words(names, least=1)


def pattern(names: Sequence[str]) -> str:
    """What `without_common` leaves out of all names, around "…" for what is each one's own."""
    begin, end = _common_words(names, least=1)
    parts = names[0].split("_")
    return "_".join([*parts[:begin], "…", *parts[len(parts) - end :]])


def _own_words(names: Sequence[str], *, least: int) -> list[str]:
    """`without_common` that leaves every name at least so many words."""
    begin, end = _common_words(names, least=least)
    parted = [name.split("_") for name in names]
    return ["_".join(parts[begin : len(parts) - end]) for parts in parted]


def _common_words(names: Sequence[str], *, least: int) -> tuple[int, int]:
    """How many words all names begin with, and end with besides; 0 where too few would be left of one name."""
    if len(set(names)) < 2:
        return 0, 0
    parted = [name.split("_") for name in names]
    found = []
    for _ in ("beginning", "end"):
        same = itertools.takewhile(lambda column: len(set(column)) == 1, zip(*parted, strict=False))
        common = len(list(same))
        found.append(common if min(map(len, parted)) - common >= least else 0)
        parted = [parts[found[-1] :][::-1] for parts in parted]
    return found[0], found[1]


def _configurations(rows: Sequence[Row], *, leak_free: bool = True) -> list[str]:
    """What tells the configurations of rows' data apart; empty for the plainest, and where there is but one."""
    names = {
        row.dataset: label_results.configuration(row.dataset)
        for row in rows
        if row.dataset.partition("/")[0] in words.DATA_NAMES
    }
    own = dict(zip(names, _own_words(list(names.values()), least=0), strict=True))
    plain = ["leak-free" if leak_free and words.is_leak_free(row) else "" for row in rows]
    return [own.get(row.dataset, text).replace("_", " ") for row, text in zip(rows, plain, strict=True)]


def _called(row: Row) -> str:
    """What the row's threshold is the best by; or that labels are called from one half on."""
    if row.objective:
        return f"best {row.objective}"
    return "from 0.5" if row.protocol == "multilabel" else ""


def _by_recipe(names: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """Names of rows, namesakes with what is their recipe's own in its name."""
    named = list(names)
    for group in _namesakes(names):
        recipes = [words.recipe_name(rows[i]) for i in group]
        different = list(dict.fromkeys(recipes))
        if len(different) > 1:
            own = dict(zip(different, without_common(different), strict=True))
            for i, recipe in zip(group, recipes, strict=True):
                named[i] = f"{names[i]}, {own[recipe]}"
    return named


def _told(names: list[str], texts: Sequence[str]) -> list[str]:
    """The names, with their texts where these tell namesakes apart."""
    named = list(names)
    for group in _namesakes(names):
        if len({texts[i] for i in group}) > 1:
            for i in group:
                named[i] = f"{names[i]}, {texts[i]}" if texts[i] else names[i]
    return named


def _numbered(names: Sequence[str]) -> list[str]:
    """The names, namesakes with their number."""
    named = list(names)
    for group in _namesakes(names):
        for number, i in enumerate(group, start=1):
            named[i] = f"{names[i]}, number {number}"
    return named


def _namesakes(names: Sequence[str]) -> list[list[int]]:
    """The places of every name that occurs more than once."""
    places: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        places.setdefault(name, []).append(i)
    return [group for group in places.values() if len(group) > 1]
