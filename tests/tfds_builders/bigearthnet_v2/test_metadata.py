"""The metadata tables: every official row, and tables that are wrong."""

import contextlib

import bigearthnet_v2_files as files
import numpy as np
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import feather, parquet

from tfds_builders.bigearthnet.countries import COUNTRIES
from tfds_builders.bigearthnet.names import SPLITS
from tfds_builders.bigearthnet.nomenclature import CLASSES_19
from tfds_builders.bigearthnet_v2 import tables
from tfds_builders.bigearthnet_v2.metadata import TABLES, read_metadata
from tfds_builders.reading.archive import ArchiveError


def test_every_official_row_is_read_as_pyarrow_reads_it(official, real_data):
    rows = pyarrow.concat_tables(parquet.read_table(real_data / "bigearthnet_v2" / name) for name in TABLES)
    assert len(official) == rows.num_rows == 549_488
    assert official.bad == ()
    for column, name_n in (
        ("patch_id", official.patch_id_n),
        ("s1_name", official.s1_name_n),
        ("s2v1_name", official.s2v1_name_n),
    ):
        assert b"\n".join(name_n.tolist()).decode() == "\n".join(rows[column].to_pylist())
    assert (official.labels_nk.sum(axis=1).min(), official.labels_nk.sum(axis=1).max()) == (1, 11)
    some = np.random.default_rng(0).choice(len(official), 2_000, replace=False)
    for row in some.tolist():
        labels = [CLASSES_19[at] for at in np.flatnonzero(official.labels_nk[row])]
        assert sorted(labels) == rows["labels"][row].as_py()
        assert SPLITS[official.split_n[row]] == rows["split"][row].as_py()
        assert COUNTRIES[official.country_n[row]] == rows["country"][row].as_py()
        assert official.has_snow_n[row] == rows["contains_seasonal_snow"][row].as_py()
        assert official.has_cloud_or_shadow_n[row] == rows["contains_cloud_or_shadow"][row].as_py()


def test_the_published_tables_agree_with_one_another():
    assert tables.ALL_PATCHES == 549_488
    assert (tuple(tables.PATCHES_OF_CLASS), tuple(tables.PATCHES_OF_COUNTRY)) == (CLASSES_19, COUNTRIES)
    others = np.add(tables.PATCHES["snow"], tables.PATCHES["cloud_or_shadow"]).tolist()
    sums = np.sum(list(tables.PATCHES_OF_COUNTRY.values()), axis=0).tolist()
    assert sums == [[*tables.PATCHES["recommended"]], others]
    assert others == [34_673, 17_235, 17_542]


@pytest.fixture
def table(tmp_path):
    """Write rows as the recommended table, and reads it."""

    def read(rows):
        path = tmp_path / files.RECOMMENDED
        files.write_table(path, rows)
        return read_metadata({files.RECOMMENDED: path})

    return read


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Write a sound table; return its path and its bytes."""
    path = tmp_path_factory.mktemp("table") / files.RECOMMENDED
    files.write_table(path, files.rows(recommended=True))
    return path, path.read_bytes()


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(st.integers(0, 1 << 14), st.integers(0, 255)), max_size=4), st.floats(0, 1))
def test_damage_is_an_archive_error_or_gives_rows(sound, changes, kept):
    path, content = sound
    data = bytearray(content)
    for place, value in changes:
        data[place % len(data)] = value
    path.write_bytes(data if changes else data[: int(kept * len(data))])
    with contextlib.suppress(ArchiveError):
        metadata = read_metadata({files.RECOMMENDED: path})
        assert set(metadata.split_n.tolist()) <= set(range(len(SPLITS)))


@pytest.mark.parametrize("as_dictionary", [True, False])
def test_a_long_text_in_every_row_of_a_small_file_is_refused(tmp_path, as_dictionary):
    rows = pyarrow.Table.from_pylist(files.rows(recommended=True)[:1] * 5000, files.SCHEMA)
    texts = pyarrow.DictionaryArray.from_arrays(pyarrow.array(np.zeros(5000, np.int32)), ["x" * 10_000])
    texts = texts if as_dictionary else texts.cast(pyarrow.string())
    parquet.write_table(rows.set_column(0, "patch_id", texts), tmp_path / files.RECOMMENDED)
    assert (tmp_path / files.RECOMMENDED).stat().st_size < 10_000
    with pytest.raises(ArchiveError, match=r"metadata\.parquet: texts far too long for names"):
        read_metadata({files.RECOMMENDED: tmp_path / files.RECOMMENDED})


def test_damage_to_a_table_in_arrows_own_format_is_an_archive_error_or_gives_rows(tmp_path):
    path = tmp_path / files.RECOMMENDED
    feather.write_feather(pyarrow.Table.from_pylist(files.rows(recommended=True), files.SCHEMA), path)
    content, rng, told = path.read_bytes(), np.random.default_rng(0), 0
    for _ in range(300):
        damaged = bytearray(content)
        for place in rng.integers(6, len(damaged), 2):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            read_metadata({files.RECOMMENDED: path})
        except ArchiveError:
            told += 1
    assert told > 50


def test_small_table(table):
    metadata = table(files.rows(recommended=True))
    assert len(metadata) == 7
    assert metadata.patch_id_n[0].decode() == files.names(0, 4)[0]
    assert metadata.recommended_n.all()
    assert len(metadata.take(np.array([2, 0]))) == 2
    assert len(table([])) == 0


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("labels", ["Pastures", "Road and rail"], "label 'Road and rail' is not in the nomenclature of 19 classes"),
        ("labels", [], "no label"),
        ("labels", None, "no labels"),
        ("split", "val", "split 'val' is none of train, validation, test"),
        ("country", "Atlantis", "country 'Atlantis' is none of Austria"),
        ("s1_name", "../../secret", "s1_name '../../secret' is no such name"),
        ("s2v1_name", None, "no s2v1_name"),
        ("patch_id", "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_4_5", "patch_id '.*_4_5' is no such name"),
        ("contains_seasonal_snow", None, "no contains_seasonal_snow"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_and_left_out(table, column, value, why):
    rows = files.rows(recommended=True)
    rows[3][column] = value
    metadata = table(rows)
    assert len(metadata) == 6
    (line,) = metadata.bad
    assert str(rows[3]["patch_id"]) in line
    with pytest.raises(ArchiveError, match=why):
        raise ArchiveError(line)


# What people's libraries make of a table that they filter and write again.
TEXTS = {
    "large": pyarrow.large_string(),
    "view": pyarrow.string_view(),
    "binary": pyarrow.binary(),
    "category": pyarrow.dictionary(pyarrow.int8(), pyarrow.string()),
    "enum": pyarrow.dictionary(pyarrow.uint32(), pyarrow.large_string(), ordered=True),
}
LISTS = {
    "large": pyarrow.large_list(pyarrow.large_string()),
    "view": pyarrow.list_view(pyarrow.string()),
    "large_view": pyarrow.large_list_view(pyarrow.string_view()),
    "fixed": pyarrow.list_(pyarrow.string(), 1),
    "category": pyarrow.list_(pyarrow.dictionary(pyarrow.int32(), pyarrow.string())),
}
FLAGS = {
    "int8": [1, 0],
    "int64": np.array([1, 0]),
    "float": [1.0, 0.0],
    "text": ["True", "false"],
    "category": pyarrow.array(["true", "false"]).dictionary_encode(),
}


def resaved(kinds):
    """Return the recommended table with columns of other types, one label a row."""
    rows = files.rows(recommended=True)
    for row in rows:
        row["labels"] = row["labels"][:1]
    table = pyarrow.Table.from_pylist(rows, schema=files.SCHEMA)
    for column, kind in kinds.items():
        at = table.schema.get_field_index(column)
        table = table.set_column(at, column, pyarrow.array(table[column].to_pylist(), type=kind))
    return table


def assert_same(path, expected):
    found = read_metadata({files.RECOMMENDED: path})
    assert found.bad == ()
    order, known = np.argsort(found.patch_id_n), np.argsort(expected.patch_id_n)
    for field in ("patch_id_n", "s1_name_n", "s2v1_name_n", "labels_nk", "split_n", "country_n", "has_snow_n"):
        np.testing.assert_array_equal(getattr(found, field)[order], getattr(expected, field)[known])


@pytest.fixture
def expected(tmp_path):
    parquet.write_table(resaved({}), tmp_path / "as_published")
    return read_metadata({files.RECOMMENDED: tmp_path / "as_published"})


@pytest.mark.parametrize(
    "kinds",
    [
        *(dict.fromkeys(("patch_id", "split", "country", "s1_name", "s2v1_name"), kind) for kind in TEXTS.values()),
        *({"labels": kind} for kind in LISTS.values()),
    ],
    ids=[*(f"text_{name}" for name in TEXTS), *(f"list_{name}" for name in LISTS)],
)
def test_a_table_is_read_whatever_types_a_library_writes(tmp_path, expected, kinds):
    parquet.write_table(resaved(kinds), tmp_path / "again", row_group_size=3)
    assert_same(tmp_path / "again", expected)


@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
def test_truth_values_are_read_as_numbers_and_words(tmp_path, flags):
    table = resaved({}).slice(0, 2)
    for column in ("contains_seasonal_snow", "contains_cloud_or_shadow"):
        table = table.set_column(table.schema.get_field_index(column), column, pyarrow.array(flags))
    parquet.write_table(table, tmp_path / "again")
    found = read_metadata({files.RECOMMENDED: tmp_path / "again"})
    assert (found.has_snow_n.tolist(), found.has_cloud_or_shadow_n.tolist()) == ([True, False], [True, False])


def _partitioned(table, path):
    parquet.write_to_dataset(table, path, partition_cols=["split", "contains_seasonal_snow"])
    (path / "_SUCCESS").touch()


@pytest.mark.parametrize(
    "write",
    [
        lambda table, path: parquet.write_table(table.append_column("__index_level_0__", [range(len(table))]), path),
        lambda table, path: parquet.write_table(table.select(table.column_names[::-1]), path, compression="zstd"),
        lambda table, path: parquet.write_table(table, path, compression="brotli"),
        lambda table, path: parquet.write_table(table, path, compression="lz4"),
        lambda table, path: feather.write_feather(table, path, compression="lz4"),
        lambda table, path: feather.write_feather(table, path, compression="uncompressed"),
        _partitioned,
    ],
    ids=["index", "shuffled_zstd", "brotli", "lz4", "feather_lz4", "arrow", "partitions"],
)
def test_a_table_is_read_however_it_is_written(tmp_path, expected, write):
    write(resaved({}), tmp_path / "again")
    assert_same(tmp_path / "again", expected)


def test_rows_with_the_same_fault_are_one_line(table):
    rows = files.rows(recommended=True)
    for row in rows:
        row["split"] = row["split"].replace("validation", "val")
    (line,) = table(rows).bad
    first = next(row["patch_id"] for row in rows if row["split"] == "val")
    assert line.endswith(f"patch {first}: split 'val' is none of train, validation, test (and so in 2 rows)")


def test_a_number_that_is_no_truth_value(tmp_path):
    table = resaved({})
    column = pyarrow.array([2] + [0] * (len(table) - 1))
    parquet.write_table(table.set_column(6, "contains_seasonal_snow", column), tmp_path / "again")
    (line,) = read_metadata({files.RECOMMENDED: tmp_path / "again"}).bad
    assert line.endswith("contains_seasonal_snow '2' is none of false, true, 0, 1")


def test_a_patch_in_both_tables(tmp_path):
    rows = files.rows(recommended=True)
    paths = {files.RECOMMENDED: tmp_path / "a", files.OTHERS: tmp_path / "b"}
    files.write_table(paths[files.RECOMMENDED], rows)
    files.write_table(paths[files.OTHERS], rows[2:3])
    with pytest.raises(ArchiveError, match=rf"{rows[2]['patch_id']} is there twice"):
        read_metadata(paths)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda t: t.drop_columns(["s2v1_name", "split"]), "no column 'split'; no column 's2v1_name'"),
        (lambda t: t.rename_columns([c.replace("s1_name", "s1") for c in t.column_names]), "no column 's1_name'"),
        (
            lambda t: t.set_column(1, "labels", pyarrow.array(["Pastures"] * t.num_rows)),
            "column 'labels' is string instead of list of texts",
        ),
        (
            lambda t: t.set_column(6, "contains_seasonal_snow", pyarrow.array([[False]] * t.num_rows)),
            "column 'contains_seasonal_snow' is list<element: bool> instead of truth value",
        ),
    ],
)
def test_a_table_of_another_version(tmp_path, change, why):
    path = tmp_path / files.RECOMMENDED
    files.write_table(path, files.rows(recommended=True))
    parquet.write_table(change(parquet.read_table(path)), path)
    with pytest.raises(ArchiveError, match=rf"not a table of BigEarthNet v2 \({why}\); download it again"):
        read_metadata({files.RECOMMENDED: path})


def test_no_parquet_file(tmp_path):
    path = tmp_path / files.RECOMMENDED
    with pytest.raises(ArchiveError, match=r"metadata\.parquet: missing"):
        read_metadata({files.RECOMMENDED: path})
    files.write_table(path, files.rows(recommended=True))
    for content in (path.read_bytes()[:-40], b"", b"patch_id,labels\n", b"PAR1"):
        path.write_bytes(content)
        with pytest.raises(ArchiveError, match="no parquet file, or broken"):
            read_metadata({files.RECOMMENDED: path})
