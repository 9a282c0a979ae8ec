"""What to look at first: a list for somebody with an hour, and pictures of its beginning."""

from pathlib import Path

import numpy as np

from mtsccd_jax.data.sources import Source
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.writer import file_name
from mtsccd_jax.tasks.certainty import METHODS
from mtsccd_jax.tasks.certainty.forecast import Forecast
from mtsccd_jax.tasks.write_csv import write_csv
from mtsccd_jax.tasks.write_row import thumbnails

# Examples that the report shows.
PICTURES = 12
# Of a set of pairs with neither answer, and with both.
_SETS_OF_PAIRS = {(False, False): "neither", (True, False): "unchanged", (False, True): "changed", (True, True): "both"}


def list_path(workdir: Path, row: Row) -> Path:
    """Return where the list of a row lies."""
    return workdir / f"look_{METHODS[row.protocol]}_{file_name(row.split)}-{row.id}.csv"


def write_list(
    path: Path, source: Source, forecast: Forecast, order_n: np.ndarray, class_names: tuple[str, ...], length: int
) -> None:
    """Write the first examples of an order as a CSV file, one a line, the first one first.

    Columns: `rank` from 1; file names, city and tile where they are known; of pairs `p_changed`, of scenes `class` and
    `probability`; `set`, of pairs "unchanged", "changed", "both" or "neither", of scenes their classes;
    `expected_error`, the probability that the answer is wrong; and `rank_uncertain`, the rank if the least certain of
    the split came first.
    """
    first, probability = order_n[:length], forecast.probability_nk
    doubt = 1 - probability.max(1)
    uncertain = np.empty(len(doubt), np.int64)
    uncertain[np.argsort(-doubt, kind="stable")] = np.arange(1, len(doubt) + 1)
    columns: dict[str, np.ndarray] = {"rank": np.arange(1, len(first) + 1), **places(source, first)}
    if "image" in source.image_fields:
        columns["class"] = np.array(class_names)[probability[first].argmax(1)]
        columns["probability"] = probability[first].max(1).round(6)
    else:
        columns["p_changed"] = probability[first, 1].round(6)
    columns["set"] = set_names(forecast.in_set_nk[first], class_names)
    columns |= {"expected_error": doubt[first].round(6), "rank_uncertain": uncertain[first]}
    write_csv(path, columns)


def places(source: Source, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return what tells where some rows of a source are: file names, city (by name) and tile."""
    known = ("filename", "filename_t1", "filename_t2", "city", "tile_x", "tile_y")
    found = {name: source.column(name)[rows] for name in known if name in source.fields}
    if "city" in found and "city" in source.names:
        found["city"] = np.array(source.names["city"])[found["city"]]
    return found


def set_names(in_set_nk: np.ndarray, class_names: tuple[str, ...]) -> np.ndarray:
    """Return the sets as text: the classes in them, joined by "; " (of none "(none)"), or the word for a pair's."""
    if class_names == ("unchanged", "changed"):
        words = [_SETS_OF_PAIRS[bool(unchanged), bool(changed)] for unchanged, changed in in_set_nk]
    else:
        words = ["; ".join(np.array(class_names)[in_set]) or "(none)" for in_set in in_set_nk]
    return np.array(words, np.str_)


def pictures(
    source: Source, forecast: Forecast, truth_n: np.ndarray, order_n: np.ndarray, class_names: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """Return the artefact of the first PICTURES examples of an order: rows, probabilities, sets, truth and thumbnails.

    The probability is that of a change, or of the named class.
    """
    first, of_pairs = order_n[:PICTURES], "image" not in source.image_fields
    probability = forecast.probability_nk[first]
    return {
        "row": first,
        "probability": probability[:, 1] if of_pairs else probability.max(1),
        "answer": np.array(class_names)[probability.argmax(1)],
        "truth": np.array(class_names)[truth_n[first]],
        "set": set_names(forecast.in_set_nk[first], class_names),
        **{field.replace("image", "thumb"): thumbnails(source, first, field) for field in source.image_fields},
    }
