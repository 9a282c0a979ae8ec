"""The metadata tables: every official row, and tables that are wrong."""

import bigearthnet_v2_files as files
import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

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
            lambda t: t.set_column(6, "contains_seasonal_snow", pyarrow.array([0] * t.num_rows)),
            "column 'contains_seasonal_snow' is int64 instead of truth value",
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
