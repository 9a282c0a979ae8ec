"""Rows of a list are left out or marked, and a list of other data is refused in one line."""

import csv
from dataclasses import astuple, replace

import cv2
import numpy as np
import pytest

from mtsccd_jax.data.folder_source import folder_source
from mtsccd_jax.data.parts.listed import copies_of_training, row_names, without_listed
from mtsccd_jax.data.parts.subset import Subset
from mtsccd_jax.data.sources import open_source
from mtsccd_jax.errors import InputError
from mtsccd_jax.recipes.config import Data
from tfds_builders.exclude_list import COLUMNS, COMPARED, Line, joined_name, names_fingerprint


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "scenes"
    for split in ("train", "test"):
        for k in range(6):
            path = root / split / f"class_{k % 2}" / f"{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.full((8, 8, 3), k, np.uint8))
    return root


@pytest.fixture(scope="module")
def source(root):
    return folder_source(root, "test")


def lines_of(source, *rows, kept=("folder:scenes", "train")):
    names = row_names(source)
    empty = Line(source.dataset, source.split, "", "", names_fingerprint(names))
    because = {"kind": "exact", "kept_dataset": kept[0], "kept_split": kept[1], "kept_name": "other.png"}
    return [empty, *(replace(empty, row=str(row), name=names[row], **because) for row in rows)]


def written(path, lines):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *map(astuple, lines)])
    return str(path)


def test_listed_rows_are_left_out(root, source, tmp_path):
    path = written(tmp_path / "list.csv", lines_of(source, 1, 4, 4))
    kept = without_listed(source, path)
    assert kept.column("filename").tolist() == np.delete(source.column("filename"), [1, 4]).tolist()
    assert kept.split == "test"
    opened = open_source(Data(folder=str(root), image_size=8, exclude=path), "test")
    np.testing.assert_array_equal(opened.column("filename"), kept.column("filename"))
    assert opened.fingerprint() != source.fingerprint()


def test_a_split_without_listed_rows_stays_as_it_is(source, tmp_path):
    assert without_listed(source, written(tmp_path / "list.csv", lines_of(source))) is source


def test_copies_of_training_are_those_of_the_data_that_was_learned_from(source, tmp_path):
    lines = lines_of(source, 0, 3) + lines_of(source, 5, kept=("folder:scenes", "validation"))
    lines += lines_of(source, 2, kept=("folder:others", "train"))
    lines += [Line(name, "train", "", "", "0" * 64, COMPARED) for name in ("folder:scenes", "folder:others")]
    path = written(tmp_path / "list.csv", lines)
    np.testing.assert_array_equal(copies_of_training(source, path, "folder:scenes"), np.isin(np.arange(6), [0, 3]))
    np.testing.assert_array_equal(copies_of_training(source, path, "folder:others"), np.arange(6) == 2)
    part = Subset([(source, np.array([5, 3, 1]))], "test")
    assert copies_of_training(part, path, "folder:scenes").tolist() == [False, True, False]
    with pytest.raises(InputError, match="was made without folder:more train, which the network has learned from"):
        copies_of_training(source, path, "folder:more")
    with pytest.raises(InputError, match="knows the splits that folder:scenes was built with, and not test_wuhan"):
        copies_of_training(Subset([(source, np.array([0]))], "test_wuhan"), path, "folder:scenes")


def test_a_list_of_other_data_is_refused(source, tmp_path):
    def refused(lines):
        with pytest.raises(InputError) as error:
            without_listed(source, written(tmp_path / "list.csv", lines))
        return str(error.value)

    assert "says nothing of folder:scenes test, but of folder:scenes train" in refused(
        [replace(line, split="train") for line in lines_of(source, 1)]
    )
    other_names = [replace(line, fingerprint="0" * 64) for line in lines_of(source, 1)]
    assert "was made for another folder:scenes test" in refused(other_names)
    compared = [replace(line, kind=COMPARED) if not line.row else line for line in lines_of(source, 1)]
    assert "says nothing of folder:scenes test, but of nothing" in refused(compared)
    moved = [line if not line.row else replace(line, row="2") for line in lines_of(source, 1)]
    assert "was made for another" in refused(moved)
    beyond = [line if not line.row else replace(line, row="6") for line in lines_of(source, 1)]
    assert "was made for another" in refused(beyond)
    assert "names all rows" in refused(lines_of(source, *range(6)))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no list of"),
        ("a,b\n1,2\n", "first line must be dataset,split,row"),
        (",".join(COLUMNS) + "\nfolder:scenes,test,x,n,f,,,,\n", "line 2: not 9 cells with a row number"),
        (",".join(COLUMNS) + "\nfolder:scenes,test\n", "line 2: not 9 cells"),
    ],
)
def test_a_file_that_is_no_list_is_refused(source, tmp_path, content, said):
    (tmp_path / "list.csv").write_text(content)
    with pytest.raises(InputError, match=said):
        without_listed(source, str(tmp_path / "list.csv"))


def test_names_of_pairs_are_one():
    assert joined_name(["a b.jpg", "c\n d.jpg"]) == "a b.jpg | c d.jpg"
