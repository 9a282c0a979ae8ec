"""Short names that tell rows apart: what all rows have in common is left out."""

import itertools
from collections.abc import Sequence

from mtsccd_jax.report import text
from mtsccd_jax.report.published.labels import configuration, modality
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.runs import bands as bands_of
from mtsccd_jax.report.runs import different_settings, network, recipe_name


def network_among(row: Row, rows: Sequence[Row]) -> str:
    """Return a row's network, and more where other recipes of the row's protocol in `rows` have that network too.

    Bands follow, else the configuration of the data, else the recipe's own words in its name.
    """
    name = network(row)
    alike = [row, *(other for other in rows if other.protocol == row.protocol and network(other) == name)]
    if len({recipe_name(other) for other in alike}) == 1:
        return name
    names = _with_texts([name] * len(alike), [modality(bands_of(other)) for other in alike])
    names = _with_texts(names, _configurations(alike, leak_free=False))
    return _with_recipes(names, alike)[0]


def rows_apart(rows: Sequence[Row], *, bands: bool = False, without_objective: str = "") -> list[str]:
    """Return the rows' networks, all different, each with no more than tells it from the others.

    In this order they get: bands (with `bands` in any case), configuration of the data, recipe, seed, split, objective
    of the threshold or `without_objective`, settings of the recipe, and the number of a repetition.
    """
    names, seen = [network(row) for row in rows], [modality(bands_of(row)) for row in rows]
    if bands:
        names = [", ".join(filter(None, parts)) for parts in zip(names, seen, strict=True)]
    names = _with_texts(names, seen)
    names = _with_texts(names, _configurations(rows))
    names = _with_recipes(names, rows)
    for texts in (
        [f"seed {row.seed}" for row in rows],
        [text.split_name(row.split, "") for row in rows],
        [f"best {row.objective}" if row.objective else without_objective for row in rows],
        [text.data_title(row.dataset) for row in rows],
    ):
        names = _with_texts(names, texts)
    for group in _namesakes(names):
        for i, different in zip(group, different_settings([rows[i] for i in group]), strict=True):
            names[i] = f"{names[i]}, {different}" if different else names[i]
    return _numbered(names)


def titles_apart(titles: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """Return titles of groups, all different: where needed, configuration, data, images or a number follow."""
    named = _with_texts(titles, _configurations(rows))
    named = _with_texts(named, [text.data_title(row.dataset) for row in rows])
    return _numbered(_with_texts(named, [f"{row.n:,} images" for row in rows]))


def without_common(names: Sequence[str], *, least: int = 1) -> list[str]:
    """Return names without the words, joined by underscores, that all of them begin or end with.

    Where one name would keep fewer than `least` words, the words at that end stay.
    """
    begin, end = _common_words(names, least=least)
    parted = [name.split("_") for name in names]
    return ["_".join(parts[begin : len(parts) - end]) for parts in parted]


def pattern(names: Sequence[str]) -> str:
    """Return the words that `without_common` leaves out, around "…" for each name's own words."""
    begin, end = _common_words(names, least=1)
    parts = names[0].split("_")
    return "_".join([*parts[:begin], "…", *parts[len(parts) - end :]])


def _common_words(names: Sequence[str], *, least: int) -> tuple[int, int]:
    """Return how many words all names begin and end with; 0 where a name would keep fewer than `least` words."""
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
    """Return what tells the configurations of the rows' data apart; empty for the plainest, and where all share one."""
    names = {row.dataset: configuration(row.dataset) for row in rows if text.archive(row) in text.DATA_NAMES}
    own = dict(zip(names, without_common(list(names.values()), least=0), strict=True))
    plain = ["leak-free" if leak_free and text.is_leak_free(row) else "" for row in rows]
    return [own.get(row.dataset, other).replace("_", " ") for row, other in zip(rows, plain, strict=True)]


def _with_recipes(names: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """Return names of rows, equal ones with the recipe's own words in its name."""
    named = list(names)
    for group in _namesakes(names):
        recipes = [recipe_name(rows[i]) for i in group]
        different = list(dict.fromkeys(recipes))
        if len(different) > 1:
            own = dict(zip(different, without_common(different), strict=True))
            for i, recipe in zip(group, recipes, strict=True):
                named[i] = f"{names[i]}, {own[recipe]}"
    return named


def _with_texts(names: Sequence[str], texts: Sequence[str]) -> list[str]:
    """Return the names, equal ones with their texts where these differ."""
    named = list(names)
    for group in _namesakes(names):
        if len({texts[i] for i in group}) > 1:
            for i in group:
                named[i] = f"{names[i]}, {texts[i]}" if texts[i] else names[i]
    return named


def _numbered(names: Sequence[str]) -> list[str]:
    """Return the names, equal ones with a number."""
    named = list(names)
    for group in _namesakes(names):
        for number, i in enumerate(group, start=1):
            named[i] = f"{names[i]}, number {number}"
    return named


def _namesakes(names: Sequence[str]) -> list[list[int]]:
    """Return the places of every name that occurs more than once."""
    places: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        places.setdefault(name, []).append(i)
    return [group for group in places.values() if len(group) > 1]
