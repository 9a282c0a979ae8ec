"""A row: one result as one JSON object, and the arrays that it was computed from.

A work directory holds `rows.jsonl`, one row a line, and `artefacts/*.npz` (no pickles), which the rows name with their
checksums. Both are replaced whole: a run that dies while writing leaves the previous file. A line holds the CRC-32 of
each of its values in `checksums.row`, so a value that a disk has changed is told; lines without are of older versions.
Tasks write rows and the report reads them; nothing here depends on the task.
"""

import dataclasses
import functools
import hashlib
import io
import json
import math
import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

from mtsccd_jax.checksums import crc32_of_each
from mtsccd_jax.errors import InputError
from mtsccd_jax.files import locked, read_bytes, replacing, utf8
from mtsccd_jax.recipes.config import Recipe, essentials, flatten, typed_settings, with_current_names
from mtsccd_jax.recipes.values import checked
from mtsccd_jax.report.arrays import read_arrays

SCHEMA = 2
ROWS_FILE = "rows.jsonl"
LOCK_FILE = "rows.lock"
ARTEFACTS_FOLDER = "artefacts"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One result of one model on one split by one protocol, with what is needed to check it.

    Attributes:
        id: `row_id` of the recipe, split, protocol and seed.
        dataset: Such as "mtsccd_lusc/official" or "folder:eurosat".
        generated: Whether `mtsccd-jax data synth` has drawn its images, so that it is no result of the real data set.
        split: Such as "test_a".
        protocol: How the result was made, such as "scene", "cfsm" or "multilabel"; a task defines its protocols.
        model: Name of the network.
        seed: Seed of the run.
        n: Number of examples (scenes, pairs, labelled images or queries).
        metrics: Name -> {"value", "low", "high"}; low and high are the ends of the bootstrap's 95 % interval, or None.
        metrics_rechosen: The same with the interval of a threshold chosen again on resampled validation pairs, or None.
        confusion: Counts, rows are truth: a square matrix that sums to n (change: [[tn, fp], [fn, tp]]), or
            [tn, fp, fn, tp] of each label that sum to n each, or empty.
        class_names: Names of the rows of `confusion`; without one, the classes that decide what is relevant.
        threshold: The distance from which on a pair is predicted changed. None: the protocol has no threshold, or no
            pair is predicted changed (`threshold_from` is given then).
        objective: What the threshold maximises, or None.
        threshold_from: "validation" or "cross_validation_5", or None.
        baseline: The trivial predictor {"name", "oa", "kappa"}, or with its value of other metrics.
        published: `dataclasses.asdict(published.Published)`, or None.
        recipe: The whole recipe.
        versions: Package -> version.
        device: Kind and number of devices.
        commit: Revision of the source, or None.
        times: Name -> seconds, and "started" / "finished" as ISO 8601.
        images_per_s: Throughput of this evaluation, or None.
        checksums: {"data": sha256, "initial_weights": sha256 or None, "artefacts": {name: sha256}}.
        artefacts: Name -> path relative to the work directory.
        schema: Version of this layout.
    """

    id: str
    dataset: str
    split: str
    protocol: str
    model: str
    seed: int
    n: int
    metrics: dict[str, dict[str, float | None]]
    confusion: list[list[int]]
    class_names: list[str]
    recipe: dict[str, Any]
    generated: bool = False
    metrics_rechosen: dict[str, dict[str, float | None]] | None = None
    threshold: float | None = None
    objective: str | None = None
    threshold_from: str | None = None
    baseline: dict[str, Any] | None = None
    published: dict[str, Any] | None = None
    versions: dict[str, str | None] = field(default_factory=dict)
    device: str = ""
    commit: str | None = None
    times: dict[str, Any] = field(default_factory=dict)
    images_per_s: float | None = None
    checksums: dict[str, Any] = field(default_factory=dict)
    artefacts: dict[str, str] = field(default_factory=dict)
    schema: int = SCHEMA


def _kinds(hint: Any) -> tuple[type, ...]:
    """Return the types that a value of an annotated field may have in JSON; an integer may stand for a float."""
    parts = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    kinds = tuple(get_origin(part) or part for part in parts)
    return (*kinds, int) if float in kinds else kinds


# Field of a row -> the types that it may have.
_KINDS: dict[str, tuple[type, ...]] = {name: _kinds(hint) for name, hint in get_type_hints(Row).items()}


def row_id(
    recipe: Mapping[str, Any],
    split: str,
    protocol: str,
    seed: int,
    *,
    objective: str | None = None,
    dataset: str | None = None,
) -> str:
    """Return the identity of a row: 16 hexadecimal digits of the hash of its recipe, split, protocol and seed.

    Paths in the recipe do not count (`config.PATH_KEYS`), nor does the order of its keys.

    Args:
        recipe: The recipe as nested dictionaries.
        split: Evaluated split.
        protocol: Protocol of the row.
        seed: Seed of the run.
        objective: Objective of the threshold, where it is not the recipe's own.
        dataset: `data_identity` of the evaluated data.
    """
    identity: dict[str, Any] = {"recipe": essentials(recipe), "split": split, "protocol": protocol, "seed": seed}
    if objective is not None:
        identity["objective"] = objective
    if dataset is not None:
        identity["dataset"] = dataset
    return hashlib.sha256(utf8(_json(identity, sort_keys=True))).hexdigest()[:16]


def data_identity(dataset: str, fingerprint: str, recipe: Mapping[str, Any]) -> str:
    """Return the identity of evaluated data: the name of a data set, where that does not tell it its content too.

    It does not tell it of a folder, which has any name, nor of data that a list has left rows out of.
    """
    listed = (recipe.get("data") or {}).get("exclude") is not None
    return f"{dataset} {fingerprint}" if listed or dataset.startswith("folder:") else dataset


def append(workdir: str | os.PathLike[str], row: Row) -> None:
    """Add the row as the last line of the work directory's `rows.jsonl`, which is replaced whole.

    One process at a time adds a row. Numbers that are not finite become null.

    Raises:
        InputError: The present file cannot be read, or the row could not be read back.
    """
    path = Path(workdir) / ROWS_FILE
    values = _plain(dataclasses.asdict(row))
    values["checksums"]["row"] = crc32_of_each(values)
    line = _json(values)
    _row_of(json.loads(line), "the new row")
    with locked(path.with_name(LOCK_FILE)):
        load(workdir)  # never add to a file that could not be read back
        old = read_bytes(path) if path.exists() else b""
        if old and not old.endswith(b"\n"):
            old += b"\n"
        with replacing(path) as file:
            file.write(old + utf8(line) + b"\n")


def load(workdir: str | os.PathLike[str]) -> list[Row]:
    """Read the rows of a work directory in the order first written; a later line of an id replaces the earlier.

    Raises:
        InputError: A line cannot be read, is cut off, has another schema, or holds values that were not written; the
            message names file and line.
    """
    rows: dict[str, Row] = {}
    for where, row, changed in read(workdir):
        if changed:
            names = ", ".join(f"'{key}'" for key in changed)
            raise InputError(
                f"{where}: {names} of row {row.id} changed after it was written; delete the line and evaluate again"
            )
        rows[row.id] = row
    return list(rows.values())


def read(workdir: str | os.PathLike[str]) -> Iterator[tuple[str, Row, list[str]]]:
    """Yield every line of a work directory's rows: where it is, its row, and the keys whose checksums do not fit.

    Raises:
        InputError: As `load`, but for values that were not written.
    """
    path = Path(workdir) / ROWS_FILE
    if not path.exists():
        return
    if not (content := read_bytes(path)):
        raise InputError(f"{path}: empty, its rows are lost; put a copy of it back, or delete it and evaluate again")
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        where = f"{path}, line {number}"
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            if not line.endswith(b"\n"):
                raise InputError(
                    f"{where}: the line is cut off after {len(line)} bytes; delete it and evaluate that row again"
                ) from None
            raise InputError(f"{where}: not JSON ({error}); correct or delete the line") from None
        changed = _changed(values)
        yield where, _row_of(values, where), changed


def _changed(values: Any) -> list[str]:
    """Return the keys of a decoded line whose checksums do not fit, and take the checksums out of it."""
    checksums = values.get("checksums") if isinstance(values, dict) else None
    written = checksums.pop("row", None) if isinstance(checksums, dict) else None
    if written is None:
        return []
    now = crc32_of_each(values)
    return [key for key in now if not isinstance(written, dict) or written.get(key) != now[key]]


def save_artefact(workdir: str | os.PathLike[str], name: str, arrays: Mapping[str, Any]) -> tuple[str, str]:
    """Save arrays as a compressed .npz without pickles, whole or not at all; the same arrays give the same bytes.

    Args:
        workdir: The work directory; made if absent.
        name: File name without suffix: letters, digits, "_", "-" and ".".
        arrays: Name -> array of numbers, booleans or strings.

    Returns:
        The path relative to the work directory, and the sha256 of the file.

    Raises:
        ValueError: The name cannot be a file name, or an array holds Python objects.
    """
    if not name or name.startswith(".") or not all(c.isalnum() or c in "_-." for c in name):
        raise ValueError(f"'{name}' cannot name an artefact: use letters, digits, '_', '-' and '.'")
    converted = {key: np.asarray(value) for key, value in arrays.items()}
    for key, array in converted.items():
        if array.dtype.hasobject:
            raise ValueError(f"artefact '{name}': array '{key}' holds Python objects, which need pickles")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, array in converted.items():
            with archive.open(f"{key}.npy", "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, array, allow_pickle=False)
    content = buffer.getvalue()
    relative = PurePosixPath(ARTEFACTS_FOLDER) / f"{name}.npz"
    path = Path(workdir) / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(content)
    return str(relative), hashlib.sha256(content).hexdigest()


def load_artefact(workdir: str | os.PathLike[str], row: Row, name: str) -> dict[str, np.ndarray] | None:
    """Read the arrays of a row's artefact; None where the row names no such artefact or its file is absent.

    Raises:
        InputError: The file is not the one the row was made with (checksum), cannot be read, or lies outside the work
            directory.
    """
    relative = row.artefacts.get(name)
    if relative is None:
        return None
    path = Path(workdir) / relative
    if Path(relative).is_absolute() or ".." in Path(relative).parts:
        raise InputError(f"{Path(workdir) / ROWS_FILE}: artefact '{relative}' is outside that folder; correct the row")
    if not path.is_file():
        return None
    content = read_bytes(path)
    expected = (row.checksums.get("artefacts") or {}).get(name)
    if expected is not None and hashlib.sha256(content).hexdigest() != expected:
        raise InputError(f"{path}: not the file of row {row.id} (sha256 differs); evaluate that row again")
    try:
        return read_arrays(content, path)
    except ValueError as error:
        raise InputError(f"{error}; evaluate row {row.id} again") from None


def _row_of(values: Any, where: str) -> Row:
    """Return the row of one decoded line; InputError where schema, keys or types are not those of a row."""
    if not isinstance(values, dict) or "schema" not in values:
        raise InputError(f"{where}: not a row (a JSON object with the key 'schema'); correct or delete the line")
    if values["schema"] != SCHEMA:
        raise InputError(
            f"{where}: schema {values['schema']!r}, but this version reads schema {SCHEMA}; "
            "evaluate again, or use the version that wrote it"
        )
    if missing := sorted(_KINDS.keys() - values.keys()):
        raise InputError(f"{where}: the row lacks {', '.join(missing)}; evaluate that row again")
    if unknown := sorted(values.keys() - _KINDS.keys()):
        raise InputError(f"{where}: the row has unknown keys: {', '.join(unknown)}; delete them")
    for key, kinds in _KINDS.items():
        if not isinstance(values[key], kinds) or (isinstance(values[key], bool) and bool not in kinds):
            raise InputError(f"{where}: '{key}' is {_shown(values[key])}, which cannot be; evaluate that row again")
    if not isinstance(values["checksums"].get("artefacts", {}), dict):
        raise InputError(f"{where}: 'checksums.artefacts' is not a table of name and sha256; evaluate that row again")
    _check_confusion(values["confusion"], len(values["class_names"]), values["n"], where)
    values["recipe"] = with_current_names(values["recipe"])
    for name, metrics in (("metrics", values["metrics"]), ("metrics_rechosen", values["metrics_rechosen"] or {})):
        for metric, entry in metrics.items():
            if not isinstance(entry, dict) or not {"value", "low", "high"} <= entry.keys():
                raise InputError(f"{where}: '{name}.{metric}' lacks value, low or high; evaluate that row again")
    try:
        for key, value, hint in _inside(values):
            checked(value, hint, key)
    except InputError as error:
        raise InputError(f"{where}: {error}; evaluate that row again") from None
    return Row(**values)


def _inside(values: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, value and type of what lies inside the values of a row, as far as somebody counts on it."""
    yield "class_names", values["class_names"], tuple[str, ...]
    yield "threshold", values["threshold"], float | None
    yield "images_per_s", values["images_per_s"], float | None
    for part in ("metrics", "metrics_rechosen"):
        for metric, entry in (values[part] or {}).items():
            yield from ((f"{part}.{metric}.{end}", entry[end], float | None) for end in ("value", "low", "high"))
    sums = values["checksums"].get("artefacts", {})
    yield from ((f"checksums.artefacts.{name}", sha256, str) for name, sha256 in sums.items())
    yield from ((f"artefacts.{name}", path, str) for name, path in values["artefacts"].items())
    yield from (
        (f"baseline.{k}", v, str if k == "name" else float | None) for k, v in (values["baseline"] or {}).items()
    )
    published = values["published"] or {}
    yield "published.metrics", published.get("metrics"), dict | None
    yield from ((f"published.{k}", v, float | None) for k, v in (published.get("metrics") or {}).items())
    yield from ((f"published.{key}", published.get(key), float | None) for key in ("oa", "kappa", "threshold"))
    recipe = values["recipe"]
    hints = _setting_types()
    parts = {key.partition(".")[0] for key in hints if "." in key}
    yield from ((f"recipe.{part}", recipe[part], dict) for part in sorted(parts & recipe.keys()))
    yield from ((f"recipe.{key}", value, hints[key]) for key, value in flatten(recipe).items() if key in hints)


@functools.cache
def _setting_types() -> dict[str, Any]:
    """Return the type of every setting of a recipe."""
    return {key: hint for key, _, hint in typed_settings(Recipe("", ""))}


def _check_confusion(confusion: list[Any], k: int, n: int, where: str) -> None:
    """Raise InputError unless the confusion matrix is k x k and sums to n, k x 4 with lines that sum to n, or empty."""
    if not confusion:
        return
    columns = 4 if isinstance(confusion[0], list) and len(confusion[0]) == 4 else k
    fits = len(confusion) == k and all(isinstance(line, list) and len(line) == columns for line in confusion)
    if not fits or not all(type(count) is int and count >= 0 for line in confusion for count in line):
        raise InputError(f"{where}: 'confusion' is not a {k} x {columns} table of counts; evaluate that row again")
    sums = [sum(line) for line in confusion]
    of_labels = columns != k or (k == 4 and set(sums) == {n})
    if wrong := [total for total in (sums if of_labels else [sum(sums)]) if total != n]:
        raise InputError(f"{where}: 'confusion' sums to {wrong[0]}, but n is {n}; evaluate that row again")


def _shown(value: Any) -> str:
    """Return the value in at most 40 characters."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _json(value: Any, *, sort_keys: bool = False) -> str:
    """Return the value as one line of strict JSON; NumPy values become plain, and what is not finite becomes null."""
    return json.dumps(_plain(value), sort_keys=sort_keys, allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    """Return the value as dicts, lists, strings, numbers, booleans and None only."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value
