"""One result as one JSON object, and the arrays that stand behind it.

A work directory holds `rows.jsonl`, one row a line, and `artefacts/*.npz` (no pickles) that the rows name with their
checksums. Both are replaced whole: a run that dies while writing leaves the previous file.
"""

import dataclasses
import hashlib
import io
import json
import math
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from mtsccd_jax.errors import InputError
from mtsccd_jax.files import replacing
from mtsccd_jax.recipes.config import essentials, with_current_names

SCHEMA = 2
ROWS_FILE = "rows.jsonl"
ARTEFACTS_FOLDER = "artefacts"

CHANGE = ("cdc_1", "cdc_2", "cfsm", "sscd")
PROTOCOLS = ("scene", *CHANGE, "multilabel", "retrieval")

# What may differ between two runs of the same row: times, paths, versions, and checksums of files that hold times.
_INCIDENTAL = ("times", "images_per_s", "versions", "commit", "artefacts")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One result of one model on one split by one protocol, with what is needed to believe it.

    Attributes:
        id: `row_id` of the recipe, split, protocol and seed.
        dataset: Such as "mtsccd_lusc/official" or "folder:eurosat".
        generated: Whether its images are drawn by `mtsccd-jax data synth`: no result of the real data set.
        split: Such as "test_a".
        protocol: One of `PROTOCOLS`.
        model: Name of the network.
        seed: Seed of the run.
        n: Number of examples (scenes, pairs, labelled images or queries).
        metrics: Name (oa, kappa, f1, precision, recall, balanced) -> {"value", "low", "high"}; low and high bound the
            bootstrap's 95 % interval, or are None. Of change with scene labels and class scores also "transition": the
            share of the truly changed pairs whose classes at both dates are named rightly. Of several labels an image
            `ops.multilabel.METRICS`, of retrieval those of `ops.ranking.retrieval_metrics`.
        metrics_rechosen: The same with the interval of a threshold chosen anew on re-drawn validation pairs, or None.
        confusion: Integer counts, rows are truth. Change: [[tn, fp], [fn, tp]]. Several labels an image: [tn, fp, fn,
            tp] of each label. Retrieval: none.
        class_names: Names of the rows of `confusion`; of retrieval the classes or labels that say what is relevant.
        threshold: The distance from which a pair is called changed; None: nothing is called changed (cfsm, sscd),
            or the protocol has no threshold.
        objective: What the threshold maximises, or None.
        threshold_from: "validation" or "cross_validation_5", or None.
        baseline: The trivial predictor {"name", "oa", "kappa"}, or with its value of other metrics.
        published: `dataclasses.asdict(published.Published)`, or None.
        recipe: The whole recipe.
        versions: Package -> version.
        device: Kind and number of devices, in words.
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


# What each key of a line must be; keys of `Row` that are not here may be null.
_TYPES: dict[str, type | tuple[type, ...]] = {
    "id": str,
    "dataset": str,
    "split": str,
    "protocol": str,
    "model": str,
    "seed": int,
    "n": int,
    "metrics": dict,
    "confusion": list,
    "class_names": list,
    "recipe": dict,
    "versions": dict,
    "device": str,
    "times": dict,
    "checksums": dict,
    "artefacts": dict,
    "generated": bool,
    "metrics_rechosen": (dict, type(None)),
    "threshold": (int, float, type(None)),
    "objective": (str, type(None)),
    "threshold_from": (str, type(None)),
    "baseline": (dict, type(None)),
    "published": (dict, type(None)),
    "commit": (str, type(None)),
    "images_per_s": (int, float, type(None)),
}


def row_id(
    recipe: Mapping[str, Any],
    split: str,
    protocol: str,
    seed: int,
    *,
    objective: str | None = None,
    dataset: str | None = None,
) -> str:
    """The identity of a row: 16 hexadecimal digits of the hash of its recipe, split, protocol and seed.

    Paths in the recipe do not count (`config.PATH_KEYS`), nor does the order of its keys.

    Args:
        recipe: The recipe as nested dictionaries.
        split: Evaluated split.
        protocol: One of `PROTOCOLS`.
        seed: Seed of the run.
        objective: Of the threshold, where it is not the recipe's own.
        dataset: `data_identity` of the evaluated data.
    """
    identity: dict[str, Any] = {"recipe": recipe_identity(recipe), "split": split, "protocol": protocol, "seed": seed}
    if objective is not None:
        identity["objective"] = objective
    if dataset is not None:
        identity["dataset"] = dataset
    return hashlib.sha256(_json(identity, sort_keys=True).encode()).hexdigest()[:16]


def data_identity(dataset: str, fingerprint: str) -> str:
    """What tells evaluated data from others: a data set's name; of a folder, which any may be called, its content too.

    Args:
        dataset: `Source.dataset`.
        fingerprint: `Source.fingerprint()`.
    """
    return f"{dataset} {fingerprint}" if dataset.startswith("folder:") else dataset


def append(workdir: str | os.PathLike[str], row: Row) -> None:
    """Nothing; adds the row as the last line of the work directory's `rows.jsonl`, which is replaced whole.

    Numbers that are not finite become null.

    Raises:
        InputError: The file already there cannot be read.
    """
    path = Path(workdir) / ROWS_FILE
    load(workdir)  # never add to a file that could not be read back
    old = path.read_bytes() if path.exists() else b""
    if old and not old.endswith(b"\n"):
        old += b"\n"
    line = _json(dataclasses.asdict(row))
    _row_of(json.loads(line), "the new row")
    with replacing(path) as file:
        file.write(old + line.encode() + b"\n")


def load(workdir: str | os.PathLike[str]) -> list[Row]:
    """The rows of a work directory in the order first written; a later line of the same id replaces the earlier.

    Empty where there is no file yet.

    Raises:
        InputError: A line cannot be read, is cut off, or has another schema; the message names file and line.
    """
    path = Path(workdir) / ROWS_FILE
    if not path.exists():
        return []
    rows: dict[str, Row] = {}
    content = path.read_bytes()
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        where = f"{path}, line {number}"
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except ValueError as error:
            if not line.endswith(b"\n"):
                raise InputError(
                    f"{where}: the line is cut off after {len(line)} bytes; delete it and evaluate that row again"
                ) from None
            raise InputError(f"{where}: not JSON ({error}); correct or delete the line") from None
        row = _row_of(values, where)
        rows[row.id] = row
    return list(rows.values())


def save_artefact(workdir: str | os.PathLike[str], name: str, arrays: Mapping[str, Any]) -> tuple[str, str]:
    """(path relative to the work directory, sha256 of the file) of arrays saved as a compressed .npz without pickles.

    The same arrays give the same bytes. The file appears whole or not at all.

    Args:
        workdir: The work directory; made if absent.
        name: File name without suffix: letters, digits, "_", "-" and ".".
        arrays: Name -> array of numbers, booleans or strings.

    Raises:
        ValueError: A name that cannot be a file name, or an array of Python objects.
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
    """The arrays of a row's artefact, or None where the row names none of that name or its file is not there.

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
    content = path.read_bytes()
    expected = (row.checksums.get("artefacts") or {}).get(name)
    if expected is not None and hashlib.sha256(content).hexdigest() != expected:
        raise InputError(f"{path}: not the file of row {row.id} (sha256 differs); evaluate that row again")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except (ValueError, OSError, EOFError, KeyError, NotImplementedError, zlib.error, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a readable .npz ({error}); evaluate row {row.id} again") from None


def same(a: Row, b: Row) -> bool:
    """Whether two rows are the same result: equal but for times, paths and versions."""
    return _essence(a) == _essence(b)


def _essence(row: Row) -> dict[str, Any]:
    """The row as JSON holds it, without what may differ between two runs of the same row."""
    values = json.loads(_json(dataclasses.asdict(row)))
    values["recipe"] = recipe_identity(values["recipe"])
    values["checksums"].pop("artefacts", None)
    return {key: value for key, value in values.items() if key not in _INCIDENTAL}


def recipe_identity(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The dotted keys and values of a recipe that make its result what it is: no paths, pacing or prose."""
    return essentials(recipe)


def _row_of(values: Any, where: str) -> Row:
    """The row of one decoded line.

    Raises:
        InputError: It is of another schema, or a key is missing, unknown or of the wrong kind.
    """
    if not isinstance(values, dict) or "schema" not in values:
        raise InputError(f"{where}: not a row (a JSON object with the key 'schema'); correct or delete the line")
    if values["schema"] != SCHEMA:
        raise InputError(
            f"{where}: schema {values['schema']!r}, but this version reads schema {SCHEMA}; "
            "evaluate again, or use the version that wrote it"
        )
    known = {f.name for f in dataclasses.fields(Row)}
    if missing := sorted(known - values.keys()):
        raise InputError(f"{where}: the row lacks {', '.join(missing)}; evaluate that row again")
    if unknown := sorted(values.keys() - known):
        raise InputError(f"{where}: the row has unknown keys: {', '.join(unknown)}; delete them")
    for key, kind in _TYPES.items():
        if not isinstance(values[key], kind) or (isinstance(values[key], bool) and kind is not bool):
            raise InputError(f"{where}: '{key}' is {_shown(values[key])}, which cannot be; evaluate that row again")
    if values["protocol"] not in PROTOCOLS:
        raise InputError(f"{where}: protocol {values['protocol']!r} is none of {', '.join(PROTOCOLS)}")
    if not isinstance(values["checksums"].get("artefacts", {}), dict):
        raise InputError(f"{where}: 'checksums.artefacts' is not a table of name and sha256; evaluate that row again")
    _check_confusion(values, where)
    values["recipe"] = with_current_names(values["recipe"])
    for name, metrics in (("metrics", values["metrics"]), ("metrics_rechosen", values["metrics_rechosen"] or {})):
        for metric, entry in metrics.items():
            if not isinstance(entry, dict) or not {"value", "low", "high"} <= entry.keys():
                raise InputError(f"{where}: '{name}.{metric}' lacks value, low or high; evaluate that row again")
    return Row(**values)


def _check_confusion(values: dict[str, Any], where: str) -> None:
    """Nothing; raises InputError unless the confusion matrix is over the named classes and sums to n.

    It is square, or has four counts a label that sum to n each; a search has none.
    """
    confusion, k, protocol = values["confusion"], len(values["class_names"]), values["protocol"]
    lines, columns = (0, 0) if protocol == "retrieval" else (k, 4 if protocol == "multilabel" else k)
    fits = len(confusion) == lines and all(isinstance(line, list) and len(line) == columns for line in confusion)
    if not fits or not all(type(count) is int and count >= 0 for line in confusion for count in line):
        raise InputError(f"{where}: 'confusion' is not a {lines} x {columns} table of counts; evaluate that row again")
    if protocol == "retrieval":
        return
    totals = [sum(line) for line in confusion]
    for total in totals if protocol == "multilabel" else [sum(totals)]:
        if total != values["n"]:
            raise InputError(f"{where}: 'confusion' sums to {total}, but n is {values['n']}; evaluate that row again")


def _shown(value: Any) -> str:
    """The value in at most 40 characters."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _json(value: Any, *, sort_keys: bool = False) -> str:
    """The value as one line of strict JSON; NumPy values become plain ones, and what is not finite becomes null."""
    return json.dumps(_plain(value), sort_keys=sort_keys, allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    """The value of dicts, lists, strings, numbers, booleans and None only."""
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
