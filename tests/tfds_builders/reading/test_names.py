"""Which names mean a split, which are litter, and what a name is as text."""

import os
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfds_builders.reading.names import as_text, is_junk, split_of_name


@pytest.mark.parametrize(
    ("split", "names"),
    [
        ("train", "train training Train TRAIN Training-Set train_set trainset"),
        ("validation", "val valid validation Val VALID Validation val-set"),
        ("test", "test testing Test TESTING test_set"),
        (None, "trains forest test_a 1 tests retrain Trainstation"),
    ],
)
def test_names_of_splits(split, names):
    assert {split_of_name(name) for name in names.split()} == {split}


@pytest.mark.parametrize("name", ["training set", " val "])
def test_spaces_in_names_of_splits(name):
    assert split_of_name(name) in ("train", "validation")


def test_litter():
    litter = "__MACOSX ._a.jpg .DS_Store Thumbs.db thumbs.db desktop.ini Desktop.ini a.jpg.aux.xml a.tfw a.JGW a.wld"
    litter += " README readme.txt README.md README-zh.pdf .ipynb_checkpoints @eaDir $RECYCLE.BIN lost+found a.tif.ovr"
    assert [name for name in litter.split() if not is_junk(name)] == []
    assert is_junk("System Volume Information")
    kept = "a.jpg forest readme_001.jpg labels.csv new.raw a.arw thumbs notes.txt MACOSX.png GENERATED.md"
    assert [name for name in kept.split() if is_junk(name)] == []


@pytest.mark.parametrize(
    ("stored", "text"),
    [
        (b"a/b.jpg", "a/b.jpg"),
        ("林地/水.jpg".encode(), "林地/水.jpg"),
        ("林地".encode("gbk") + b"/a.jpg", "林地/a.jpg"),
        ("林地".encode() + b"/" + "水体".encode("gbk"), "林地/水体"),
        (b"a\xff.jpg", "a\\xff.jpg"),
        (b"a\nb\x1b[1m.jpg", "a\\nb\\x1b[1m.jpg"),
        (unicodedata.normalize("NFD", "Wälder").encode(), "Wälder"),
        ("全角\u3000空格".encode(), "全角\u3000空格"),
    ],
)
def test_names_as_text(stored, text):
    found = as_text(os.fsdecode(stored))
    assert found == text
    assert found.encode()  # any file, terminal and TFDS feature takes it
    assert len(found.splitlines()) == 1


# What no file system takes in a name: a zero byte.
STORED = st.one_of(st.binary(max_size=20), st.text(max_size=12).map(lambda text: text.encode(errors="ignore"))).map(
    lambda name: name.replace(b"\0", b"")
)


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(STORED)
def test_any_name_is_one_line_of_text_that_stays(stored):
    found = as_text(os.fsdecode(stored))
    assert found.encode().decode() == found
    assert len(f"{found}.".splitlines()) == 1
    assert as_text(found) == found
