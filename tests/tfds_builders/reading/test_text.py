"""Lists as Excel, PowerShell and pandas save them, read wherever the project reads a list."""

import bz2

import bigearthnet_v1_files as v1
import mlrsnet_files as mlrsnet
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mtsccd_jax.data.folder_source import pair_list_splits, pairs_source
from mtsccd_jax.errors import InputError
from mtsccd_jax.report.published import audit
from tfds_builders.bigearthnet_v1.archive import list_archive
from tfds_builders.mlrsnet.archive import open_mlrsnet, read_labels
from tfds_builders.reading.archive import ArchiveError
from tfds_builders.reading.text import decoded, table_rows, text_rows


def cells_of(text):
    return [line.split(",") for line in text.splitlines()]


def joined(rows, separator=","):
    return "".join(separator.join(row) + "\n" for row in rows)


# How programs save one and the same list of lines with commas in them.
SAVED = {
    "utf8": lambda text: text.encode(),
    "bom_crlf": lambda text: b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode(),
    "cr": lambda text: text.replace("\n", "\r").encode(),
    "utf16": lambda text: text.encode("utf-16"),
    "utf16_be": lambda text: b"\xfe\xff" + text.replace("\n", "\r\n").encode("utf-16-be"),
    "utf16_appended": lambda text: text.rstrip("\n").encode("utf-16") + b"\n",
    "utf32": lambda text: text.encode("utf-32"),
    "quoted": lambda text: joined([f'"{cell}"' for cell in row] for row in cells_of(text)).encode(),
    "spaces": lambda text: joined(([f"  {cell} " for cell in row] for row in cells_of(text)), ", ").encode(),
    "semicolons": lambda text: text.replace(",", ";").encode(),
    "tabs": lambda text: text.replace(",", "\t").encode(),
    "empty_lines": lambda text: ("\n" + text.replace("\n", "\n\n") + " \n,,\n").encode(),
    "no_last_newline": lambda text: text.rstrip("\n").encode(),
}
every_way = pytest.mark.parametrize("save", SAVED.values(), ids=SAVED)


@pytest.fixture(scope="module")
def archive_v1(tmp_path_factory):
    return v1.write(tmp_path_factory.mktemp("v1"))


@every_way
def test_cells_are_the_same_however_they_are_saved(save):
    rows = [row for _, row in text_rows(save("a,ü 1\n林,c\n"), "list")]
    assert rows == [["a", "ü 1"], ["林", "c"]]


def test_lines_are_counted_as_in_the_file():
    assert [number for number, _ in text_rows(b"\n\na,b\n\nc,d\n", "list")] == [3, 5]


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "index"])
def test_row_numbers_before_a_header_are_left_out(name):
    assert [row for _, row in table_rows(f"{name},x,y\n0,a,b\n1,,d\n".encode(), "t")] == [
        ["x", "y"],
        ["a", "b"],
        ["", "d"],
    ]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("a\nü\n".encode("latin-1"), r"list: not a text file in UTF-8 \(line 2: .*\); save it as UTF-8"),
        ("a\n林地\n".encode("gbk"), r"list: not a text file in UTF-8 \(line 2: "),
        ("a\nb".encode("utf-16-le"), r"list: not a text file in UTF-8 \(line 1: a zero byte\)"),
        (b"\xff\xfea", r"list: not a text file in UTF-8 \(line 1: truncated data\)"),
        (b'a,b\nc,"d\n', "list, line 2: unexpected end of data; close or remove the quotes"),
    ],
)
def test_what_is_no_list_is_one_line(data, why):
    with pytest.raises(ArchiveError, match=f"^{why}"):
        list(text_rows(data, "list"))


def refusal(read):
    """Return the message with which a reader refuses its input, or "" where it takes it."""
    try:
        read()
    except (ArchiveError, InputError) as error:
        return str(error)
    return ""


PIECES = (
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xff",
    b"\0",
    b"\r\n",
    b"\n",
    b",",
    b";",
    b'"',
    b" ",
    b"0",
    b"index,",
    b"S2A_",
    b"A,B",
)


@pytest.fixture(scope="module")
def without_lists(tmp_path_factory):
    """Write an archive of BigEarthNet v1 without its list of training patches."""
    root = v1.write(tmp_path_factory.mktemp("without_lists"))
    (root / "train.csv").unlink()
    return root


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=6)), max_size=12).map(b"".join))
def test_any_bytes_end_in_rows_or_in_one_line(without_lists, data):
    (without_lists / "train.csv").write_bytes(data)
    (without_lists / "pairs.csv").write_bytes(data)
    for read in (
        lambda: [cells[0] for _, cells in table_rows(data, "list")],
        lambda: list_archive(without_lists, without_lists),
        lambda: pair_list_splits(without_lists),
    ):
        assert "\n" not in refusal(read)


def test_lenient_text_is_never_refused():
    assert decoded("林".encode("gbk"), "notes.txt", lenient=True)


# Where lists are read


TRAIN = sorted(name for name, (found, _) in v1.PATCHES.items() if found == "train")
PAIRS = "".join(f"{name},{v1.s1_name(name)}\n" for name in TRAIN)
# What else programs do to a list of patches.
RESAVED = {
    "header": lambda text: f"s2,s1\n{text}",
    "numbered": lambda text: "".join(f"{number},{line}\n" for number, line in enumerate(text.splitlines())),
    "numbered_header": lambda text: ",0,1\n" + RESAVED["numbered"](text),
    "more_commas": lambda text: text.replace("\n", ",,\n"),
}


@pytest.mark.parametrize(
    "data",
    [*(save(PAIRS) for save in SAVED.values()), *(SAVED["bom_crlf"](change(PAIRS)) for change in RESAVED.values())],
    ids=[*SAVED, *RESAVED],
)
def test_a_split_list_of_bigearthnet(archive_v1, tmp_path, data):
    for suffix, pack in (("", bytes), (".bz2", bz2.compress)):
        for path in archive_v1.glob("train.csv*"):
            path.unlink()
        (archive_v1 / f"train.csv{suffix}").write_bytes(pack(data))
        lists = list_archive(archive_v1, tmp_path).lists
        assert sorted(name for name, split in lists.split_of.items() if split == "train") == TRAIN
        assert lists.s1_of == {name: v1.s1_name(name) for name in TRAIN}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("404: Not Found\n", 1),
        ("s2,s1\n", 1),
        ("s2,s1\nnothing\n", 2),
        (f"header\n{TRAIN[0]}\nheader\n", 3),
        (f"{TRAIN[0]}_N9999\n{TRAIN[0]}\n", 1),
        (f"0,1,{TRAIN[0]}\n", 1),
        ("7\n", 1),
    ],
)
def test_a_list_of_something_else_names_the_line(archive_v1, tmp_path, text, line):
    for path in archive_v1.glob("train.csv*"):
        path.unlink()
    (archive_v1 / "train.csv").write_text(text)
    with pytest.raises(ArchiveError, match=rf"train\.csv, line {line}: '.*' is neither a Sentinel-2 patch nor"):
        list_archive(archive_v1, tmp_path)


@every_way
def test_label_files_of_mlrsnet(tmp_path, save):
    root = mlrsnet.write_mlrsnet(tmp_path)
    before = read_labels(open_mlrsnet(root), "official")
    for path in (root / "labels").glob("*.csv"):
        rows = cells_of(path.read_text())
        numbered = [["", *rows[0]], *([str(number), *row] for number, row in enumerate(rows[1:]))]
        path.write_bytes(save(joined(numbered if path.stem == "park" else rows)))
    found = read_labels(open_mlrsnet(root), "official")
    assert (found.bad, found.filenames) == ([], before.filenames)
    np.testing.assert_array_equal(found.labels_nk, before.labels_nk)


@every_way
def test_a_list_of_pairs(tmp_path, save):
    for side in "AB":
        (tmp_path / side).mkdir()
        for name in ("林 1.png", "b.png"):
            Image.new("RGB", (4, 4)).save(tmp_path / side / name)
    text = ",A,B,changed,split\n0,林 1.png,林 1.png,1,train\n1,b.png,b.png,0,test\n"
    (tmp_path / "pairs.csv").write_bytes(save(text))
    assert pair_list_splits(tmp_path) == ("test", "train")
    source = pairs_source(tmp_path, "train")
    assert (source[0]["changed"], source[0]["filename_t1"]) == (1, "林 1.png")


def test_a_list_of_pairs_in_another_encoding_is_named(tmp_path):
    (tmp_path / "pairs.csv").write_bytes("A,B,changed\n林.png,林.png,1\n".encode("gbk"))
    with pytest.raises(InputError, match=r"pairs\.csv: not a text file in UTF-8 \(line 2: .*; save it as UTF-8$"):
        pairs_source(tmp_path, "all")


@every_way
def test_a_file_of_published_values(tmp_path, save):
    path = tmp_path / "values.csv"
    path.write_bytes(save("name,OA,kappa\nx,0.8,0.2\ny,0.9,0.1\n"))
    assert [entry.oa for entry in audit.read(path)] == [0.8, 0.9]
