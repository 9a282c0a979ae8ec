"""A build leaves out the rows of a list, by their names, and no list of another archive."""

import csv
from dataclasses import astuple, replace

import pytest
from archive_files import write
from built_examples import read_splits

from mtsccd_jax.data.parts.listed import row_names
from mtsccd_jax.data.tfds_source import built_splits, tfds_source
from tfds_builders import ArchiveError, build
from tfds_builders.exclude_list import COLUMNS, Line, names_fingerprint

NAME = "mtsccd_lucd"  # pairs have two names


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return write(tmp_path_factory.mktemp("archive"), 6)


@pytest.fixture(scope="module")
def whole(archive, tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("whole")
    build(NAME, archive=archive, data_dir=data_dir, workers=1, formats="array_record")
    return data_dir


@pytest.fixture(scope="module")
def lines(whole):
    """A list that names the first row of training and the last of validation."""
    made = []
    for split in built_splits(NAME, whole):
        names = row_names(tfds_source(NAME, split, data_dir=whole))
        empty = Line(f"{NAME}/official", split, "", "", names_fingerprint(names))
        row = {"train": 0, "validation": len(names) - 1}.get(split)
        made += [empty] if row is None else [empty, replace(empty, row=str(row), name=names[row])]
    return made


def written(path, lines):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *map(astuple, lines)])
    return path


@pytest.mark.parametrize("workers", [1, 2])
def test_listed_rows_are_left_out_and_counted(archive, whole, lines, tmp_path, workers):
    path = written(tmp_path / "list.csv", lines)
    arguments = {"archive": archive, "data_dir": tmp_path / "tfds", "formats": "array_record", "exclude": path}
    built = build(NAME, workers=workers, **arguments)
    assert built.excluded == 2
    before, after = read_splits(NAME, whole), read_splits(NAME, tmp_path / "tfds")

    def names(examples):
        return [(example["filename_t1"], example["filename_t2"]) for example in examples]

    expected = {split: names(examples) for split, examples in before.items()}
    expected["train"], expected["validation"] = expected["train"][1:], expected["validation"][:-1]
    assert {split: names(examples) for split, examples in after.items()} == expected
    assert build(NAME, **arguments).excluded == 2, "they are there already"
    with pytest.raises(ArchiveError, match="built with a list of rows to leave out, and not with this choice"):
        build(NAME, **{**arguments, "exclude": None})


def test_a_list_of_another_archive_is_refused(archive, lines, tmp_path):
    def refused(changed):
        path = written(tmp_path / "list.csv", changed)
        with pytest.raises(ArchiveError) as error:
            build(NAME, archive=archive, data_dir=tmp_path / "tfds", workers=1, exclude=path)
        return str(error.value)

    unknown = [line if not line.row else replace(line, name="a | b") for line in lines]
    assert "names 1 rows of mtsccd_lucd/official train, of which this archive has 0" in refused(unknown)
    other = [replace(line, dataset="mtsccd_lucd/paired") for line in lines]
    assert "says nothing of mtsccd_lucd/official train" in refused(other)
    assert not list((tmp_path / "tfds").glob("**/dataset_info.json"))
