"""Read the two metadata tables of BigEarthNet v2, which alone tell which names belong to one patch.

Names must never be made from one another: `patch_id` pads the patch's column and row to two digits, `s1_name` and
`s2v1_name` do not, and the time in the v1 name may be another one.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tfds_builders.bigearthnet.countries import COUNTRIES
from tfds_builders.bigearthnet.names import SPLITS
from tfds_builders.bigearthnet.nomenclature import CLASSES_19
from tfds_builders.reading.archive import ArchiveError
from tfds_builders.reading.files import raise_named

RECOMMENDED_TABLE = "metadata.parquet"
OTHERS_TABLE = "metadata_for_patches_with_snow_cloud_or_shadow.parquet"
TABLES = (RECOMMENDED_TABLE, OTHERS_TABLE)

_FLAG_COLUMNS = ("contains_seasonal_snow", "contains_cloud_or_shadow")
COLUMNS = ("patch_id", "labels", "split", "country", "s1_name", "s2v1_name", *_FLAG_COLUMNS)
# A truth value as text: at odd places, true.
_FLAGS = ("false", "true", "0", "1")
# Names become paths, so nothing else may pass. Their parts are parsed patch by patch, where they are needed.
_NAME_FORMS = {
    "patch_id": r"^S2[AB]_MSIL2A_\d{8}T\d{6}_N\d{4}_R\d{3}_T\d{2}[A-Z]{3}_\d{2}_\d{2}$",
    "s1_name": r"^S1[AB]_IW_GRDH_1SDV_\d{8}T\d{6}_\d{2}[A-Z]{3}_\d{1,2}_\d{1,2}$",
    "s2v1_name": r"^S2[AB]_MSIL2A_\d{8}T\d{5,6}_\d{1,2}_\d{1,2}$",
}
# Names of each form, none of which is longer.
_LONGEST = (
    "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57",
    "S1A_IW_GRDH_1SDV_20170613T165043_33UUP_26_57",
    "S2A_MSIL2A_20170613T101031_26_57",
)

_ROWS_AT_ONCE, _MOST_ROW_BYTES = 1 << 13, 1 << 12


@dataclass(frozen=True)
class Metadata:
    """Rows of the metadata tables as arrays with one entry a patch; names are ASCII bytes (`S`).

    `labels_nk` is uint8, 1 for each class of `CLASSES_19`; `split_n` and `country_n` are places in `SPLITS` and
    `COUNTRIES`; `recommended_n` is whether the row is from the table of recommended patches. `bad` has one line for
    every fault of rows that could not be used, which are then not among the others.
    """

    patch_id_n: np.ndarray
    s1_name_n: np.ndarray
    s2v1_name_n: np.ndarray
    labels_nk: np.ndarray
    split_n: np.ndarray
    country_n: np.ndarray
    has_snow_n: np.ndarray
    has_cloud_or_shadow_n: np.ndarray
    recommended_n: np.ndarray
    bad: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.patch_id_n)

    def take(self, rows: np.ndarray) -> "Metadata":
        """Return the rows that an index or a mask names, as copies of their own size."""
        return dataclasses.replace(self, **{name: getattr(self, name)[rows] for name in _ARRAYS})


_ARRAYS = tuple(field.name for field in dataclasses.fields(Metadata) if field.name != "bad")


@dataclass(frozen=True, eq=False)
class Rows:
    """Some rows of the metadata; what is pickled holds no others."""

    metadata: Metadata
    place_n: np.ndarray

    def __len__(self) -> int:
        return len(self.place_n)

    def __reduce__(self) -> tuple[Any, ...]:
        return Rows, (self.metadata.take(self.place_n), np.arange(len(self)))


def read_metadata(paths: dict[str, Path]) -> Metadata:
    """Return the rows of the tables, one after the other; `paths` maps names of `TABLES` to files.

    Some thousand rows are read at a time, so memory is little more than the result (150 bytes a patch).

    Raises:
        ArchiveError: a file is missing, is no parquet file or not of this version of the archive (columns and their
            types), or a patch occurs twice.
    """
    bad: list[str] = []
    with _freed_memory():
        # Arrays of their final size from the start: parts to put together would take as much again.
        whole = _empty(sum(map(_rows, paths.values())))
        stop = 0
        for table, path in paths.items():
            for part in _parts(path, recommended=table == RECOMMENDED_TABLE):
                start, stop = stop, stop + len(part)
                for name in _ARRAYS:
                    getattr(whole, name)[start:stop] = getattr(part, name)
                bad += part.bad
    metadata = Metadata(**{name: narrow(getattr(whole, name)[:stop]) for name in _ARRAYS}, bad=tuple(bad))
    _refuse_duplicates(metadata, " and ".join(str(path) for path in paths.values()))
    return metadata


def _empty(rows: int) -> Metadata:
    """Return metadata of so many rows, all of them nothing."""
    names = (np.zeros(rows, f"S{len(longest)}") for longest in _LONGEST)
    places = (np.zeros(rows, np.uint8) for _ in ("split", "country"))
    flags = (np.zeros(rows, bool) for _ in ("snow", "cloud or shadow", "recommended"))
    arrays = (*names, np.zeros((rows, len(CLASSES_19)), np.uint8), *places, *flags)
    return Metadata(**dict(zip(_ARRAYS, arrays, strict=True)), bad=())


def narrow(values: np.ndarray) -> np.ndarray:
    """Return texts no wider than the longest of them; other arrays as they are."""
    if values.dtype.kind != "S":
        return values
    longest = max(1, int(np.char.str_len(values).max(initial=0)))
    return values if longest == values.dtype.itemsize else values.astype(f"S{longest}")


def _refuse_duplicates(metadata: Metadata, where: str) -> None:
    for name_n in (metadata.patch_id_n, metadata.s1_name_n):
        order_n = np.argsort(name_n)
        for start in range(0, len(name_n), _ROWS_AT_ONCE):  # of the names themselves there is one copy
            ordered = name_n[order_n[start : start + _ROWS_AT_ONCE + 1]]
            twice = np.flatnonzero(ordered[1:] == ordered[:-1])
            if twice.size:
                raise ArchiveError(f"{where}: {ordered[twice[0]].decode()} is there twice; download the tables again")


@contextlib.contextmanager
def _freed_memory() -> Iterator[None]:
    """Let Arrow take memory from the system, and give it back, while tables are read; its own pool keeps 100 MB."""
    import pyarrow

    before = pyarrow.default_memory_pool()
    pyarrow.set_memory_pool(pyarrow.system_memory_pool())
    try:
        yield
    finally:
        pyarrow.set_memory_pool(before)
        pyarrow.system_memory_pool().release_unused()


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Raise ArchiveError, or the system's error with its file, where Arrow cannot read a table."""
    import pyarrow

    try:
        yield
    except FileNotFoundError as error:
        raise ArchiveError(f"{path}: missing; it is a file of its own beside the archives, download it too") from error
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise_named(error, path)
        reason = str(error).partition("\n")[0]
        raise ArchiveError(f"{path}: no parquet file, or broken ({reason}); download it again") from error


def _parts(path: Path, *, recommended: bool) -> Iterator[Metadata]:
    import pyarrow

    with _told(path):
        table = _opened(path)
        yield _converted(table.schema.empty_table(), path, recommended=recommended)  # there may be no row
        for batch in table.batches():
            batch.validate(full=True)  # Arrow's own format is mapped as it is, and places in it would be followed
            if _largest(batch) > _MOST_ROW_BYTES * _ROWS_AT_ONCE:
                raise ArchiveError(f"{path}: texts far too long for names of patches; download it again")
            yield _converted(pyarrow.Table.from_batches([batch]), path, recommended=recommended)


def _rows(path: Path) -> int:
    """Return the number of rows that a table says it has."""
    with _told(path):
        table = _opened(path)
        _check_columns(table.schema, path)
        return table.rows


def _largest(batch: Any) -> int:
    """Return the bytes of a batch, of a column with a dictionary those of its longest text in every row."""
    import pyarrow
    import pyarrow.compute as pc

    dictionaries = [column.dictionary for column in batch.columns if pyarrow.types.is_dictionary(column.type)]
    longest = [pc.max(pc.binary_length(texts.cast(pyarrow.large_string()))).as_py() or 0 for texts in dictionaries]
    return max(int(batch.nbytes), int(batch.num_rows) * max(longest, default=0))


class _Table(NamedTuple):
    """An open table: its schema, its number of rows, and what reads them, a few thousand at a time."""

    schema: Any
    rows: int
    batches: Callable[[], Iterable[Any]]


def _opened(path: Path) -> _Table:
    """Open a table as people save it again: parquet, Arrow's own format by the same name, or hive partitions.

    Nothing is read ahead: a long text in the dictionary of a small file may stand in every row.
    """
    import pyarrow.dataset
    import pyarrow.parquet

    columns, kind = list(COLUMNS), "parquet"
    if not path.is_dir():
        with path.open("rb") as file:
            kind = "ipc" if file.read(6) == b"ARROW1" else "parquet"
    dataset = pyarrow.dataset.dataset(path, format=kind, partitioning="hive" if path.is_dir() else None)
    if kind == "parquet" and not path.is_dir() and not _has_nested_dictionary(dataset.schema):
        table = pyarrow.parquet.ParquetFile(path)  # takes a third of the memory, and knows no nested dictionaries
        batches = partial(table.iter_batches, _ROWS_AT_ONCE, columns=columns, use_threads=False)
        return _Table(dataset.schema, table.metadata.num_rows, batches)
    few = {"batch_size": _ROWS_AT_ONCE, "batch_readahead": 0, "fragment_readahead": 0}
    return _Table(dataset.schema, dataset.count_rows(), partial(dataset.to_batches, columns=columns, **few))


def _has_nested_dictionary(schema: Any) -> bool:
    import pyarrow.types as types

    return any(_is_list(field.type) and types.is_dictionary(field.type.value_type) for field in schema)


def _check_columns(schema: Any, path: Path) -> None:
    """Raise ArchiveError unless every column is there, as texts (or what becomes one) or as lists of such."""
    import pyarrow.types as types

    wrong = []
    for column in COLUMNS:
        if column not in schema.names:
            wrong.append(f"no column '{column}'")
            continue
        kind = schema.field(column).type
        wanted = "list of texts" if column == "labels" else "truth value" if column in _FLAG_COLUMNS else "text"
        value = kind if column != "labels" else kind.value_type if _is_list(kind) else None
        if value is None or types.is_nested(value):
            wrong.append(f"column '{column}' is {kind} instead of {wanted}")
    if wrong:
        raise ArchiveError(f"{path}: not a table of BigEarthNet v2 ({'; '.join(wrong)}); download it again")


def _is_list(kind: Any) -> bool:
    import pyarrow.types as types

    views = types.is_list_view(kind) or types.is_large_list_view(kind)
    return bool(views or types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _plain(table: Any) -> Any:
    """Return all columns but the labels as plain texts, however a library stores them."""
    import pyarrow

    texts = {column: table[column].cast(pyarrow.string()) for column in COLUMNS if column != "labels"}
    return pyarrow.table(texts | {"labels": table["labels"]}).combine_chunks()


def _converted(table: Any, path: Path, *, recommended: bool) -> Metadata:
    """Return these rows as arrays; rows that cannot be used are named in `bad` and left out."""
    import pyarrow
    import pyarrow.compute as pc

    table = _plain(table)
    rows = table.num_rows
    faults: dict[int, str] = {}  # the first of a row

    def fault(at: np.ndarray, why: str, values: Any = None) -> None:
        for row in at.tolist():
            shown = why if values is None else why.format(values[row].as_py())
            faults.setdefault(row, shown)

    for column in COLUMNS:
        fault(np.flatnonzero(table[column].is_null().to_numpy()), f"no {column}")
    for column, form in _NAME_FORMS.items():
        fits = pc.match_substring_regex(pc.fill_null(table[column], ""), form).to_numpy()
        fault(np.flatnonzero(~fits), f"{column} '{{}}' is no such name", table[column])
    places = {}
    known_values = {"split": SPLITS, "country": COUNTRIES} | dict.fromkeys(_FLAG_COLUMNS, _FLAGS)
    for column, known in known_values.items():
        values = pc.utf8_lower(table[column]) if known is _FLAGS else table[column]
        found = pc.index_in(values, value_set=pyarrow.array(known))
        places[column] = pc.fill_null(found, 255).to_numpy().astype(np.uint8)
        fault(np.flatnonzero(places[column] == 255), f"{column} '{{}}' is none of {', '.join(known)}", table[column])
    labels_nk = np.zeros((rows, len(CLASSES_19)), np.uint8)
    lengths = pc.fill_null(pc.list_value_length(table["labels"]), 0).to_numpy()
    row_of_label = np.repeat(np.arange(rows), lengths)
    names = pc.list_flatten(table["labels"]).cast(pyarrow.string())  # of every kind of list; a cast of some is broken
    class_of_label = pc.fill_null(pc.index_in(names, value_set=pyarrow.array(CLASSES_19)), -1).to_numpy()
    for at in np.flatnonzero(class_of_label < 0).tolist():
        faults.setdefault(
            int(row_of_label[at]), f"label '{names[at].as_py()}' is not in the nomenclature of 19 classes"
        )
    known_label = class_of_label >= 0
    labels_nk[row_of_label[known_label], class_of_label[known_label]] = 1
    fault(np.flatnonzero(~labels_nk.any(axis=1)), "no label")

    good = np.ones(rows, bool)
    good[list(faults)] = False
    alike: dict[str, list[int]] = {}
    for row in sorted(faults):
        alike.setdefault(faults[row], []).append(row)
    bad = tuple(_shown(path, table["patch_id"], why, of_rows) for why, of_rows in alike.items())
    return Metadata(
        patch_id_n=_ascii(table["patch_id"], good),
        s1_name_n=_ascii(table["s1_name"], good),
        s2v1_name_n=_ascii(table["s2v1_name"], good),
        labels_nk=labels_nk[good],
        split_n=places["split"][good],
        country_n=places["country"][good],
        has_snow_n=places["contains_seasonal_snow"][good] % 2 == 1,
        has_cloud_or_shadow_n=places["contains_cloud_or_shadow"][good] % 2 == 1,
        recommended_n=np.full(int(good.sum()), recommended),
        bad=bad,
    )


def _shown(path: Path, patch: Any, why: str, rows: list[int]) -> str:
    more = f" (and so in {len(rows):,} rows)" if len(rows) > 1 else ""
    return f"{path}: patch {patch[rows[0]].as_py()}: {why}{more}"


def _ascii(column: Any, good: np.ndarray) -> np.ndarray:
    """Return a text column's rows as fixed-width bytes."""
    import pyarrow

    texts = column.filter(pyarrow.array(good)).cast(pyarrow.binary()).to_numpy()
    return texts.astype(bytes) if len(texts) else np.zeros(0, "S1")
