"""Which folders are splits, which are classes, and what cannot be told."""

import contextlib
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtsccd_jax.data.folder_source import folder_source, folder_splits
from mtsccd_jax.errors import InputError

CLASSES = ("forest", "water")


def write(root: Path, *folders: str | bytes, images: int = 2) -> Path:
    """Return `root` after making folders with files that pass for images until they are decoded."""
    for folder in folders:
        place = os.path.join(os.fsencode(root), os.fsencode(folder))
        os.makedirs(place, exist_ok=True)
        for i in range(images):
            Path(os.fsdecode(os.path.join(place, b"%d.jpg" % i))).write_bytes(b"x")
    return root


def split_tree(root: Path, *splits: str) -> Path:
    return write(root, *(f"{split}/{name}" for split in splits for name in CLASSES))


def names_of(root: Path, split: str) -> list[str]:
    return folder_source(root, split).column("filename").tolist()


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (("train", "val", "test"), ("train", "validation", "test")),
        (("Train", "Val", "Test"), ("train", "validation", "test")),
        (("training", "valid"), ("train", "validation")),
        (("TRAINING", "testing"), ("train", "test")),
        (("training", "validation", "testing"), ("train", "validation", "test")),
        (("test",), ("test",)),
    ],
)
def test_split_folders_in_any_spelling_are_splits(tmp_path, folders, splits):
    root = split_tree(tmp_path / "tree", *folders)
    assert folder_splits(root) == splits
    for split, folder in zip(splits, folders, strict=True):
        source = folder_source(root, split)
        assert source.class_names == CLASSES
        assert (source.split, len(source)) == (split, 4)
        assert {str(name).partition("/")[0] for name in source.column("filename")} == {folder}
    assert len(folder_source(root, "all")) == 4 * len(splits)


def test_a_split_is_asked_for_in_any_spelling(tmp_path):
    root = split_tree(tmp_path / "tree", "train", "val")
    assert names_of(root, "Validation") == names_of(root, "val") == names_of(root, "validation")
    with pytest.raises(InputError, match="has train, validation, but no folder 'test'"):
        folder_source(root, "testing")


def test_a_training_without_validation_folder_says_how(tmp_path):
    with pytest.raises(InputError, match=r"no folder 'validation'; .*--set engine\.validate=false"):
        folder_source(split_tree(tmp_path / "tree", "train", "test"), "validation")


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("forest", "water", "test"), "has the folders test beside forest, water: are they splits or classes"),
        (("forest", "test/forest", "test/water"), "has the folders test beside forest: "),
        (("car", "bus", "train"), "has the folders train beside bus, car: "),
        (("train/a", "train/b", "val/a", "validation/a"), "val, validation are folders of one split, validation; keep"),
        (("Train/a", "train/b"), "Train, train are folders of one split"),
        (("train/Forest", "test/forest"), "the classes Forest and forest differ in case only"),
        (("train", "test"), "has no class folders"),
    ],
)
def test_what_cannot_be_told_is_said(tmp_path, folders, message):
    with pytest.raises(InputError, match=message):
        folder_source(write(tmp_path / "tree", *folders), "train")


def test_folders_without_images_beside_splits_are_neither(tmp_path):
    root = split_tree(tmp_path / "tree", "train", "test")
    (root / "annotations").mkdir()
    (root / "annotations" / "a.xml").write_text("<a/>")
    assert folder_splits(root) == ("train", "test")
    assert folder_source(root, "train").class_names == CLASSES


def test_empty_folders_and_litter_are_no_classes(tmp_path, caplog):
    root = write(tmp_path / "tree", *CLASSES, "__MACOSX/forest", "@eaDir")
    (root / "delta").mkdir()
    (root / "gamma").mkdir()
    (root / "gamma" / ".DS_Store").touch()
    for name in ("Thumbs.db", "desktop.ini", "readme.txt", "0.jpg.aux.xml", "0.jgw", "._0.jpg"):
        (root / "forest" / name).write_bytes(b"x")
    (root / "EuroSAT.zip").write_bytes(b"PK")
    source = folder_source(root, "all")
    assert source.class_names == CLASSES
    assert len(source) == 4
    folder_source(root, "train")
    assert [record.message for record in caplog.records] == [
        f"{root}: no file in delta, gamma; an empty folder is no class"
    ]


def test_every_suffix_of_jpeg_is_an_image(tmp_path):
    root = write(tmp_path / "tree", *CLASSES)
    for i, suffix in enumerate((".jpe", ".JFIF", ".jpeg")):
        (root / "water" / f"{i}{suffix}").write_bytes(b"x")
    assert len(folder_source(root, "all")) == 7


def test_images_in_no_class_folder_are_told(tmp_path, caplog):
    root = split_tree(tmp_path / "tree", "train", "test")
    (root / "train" / "0.jpg").write_bytes(b"x")
    (root / "preview.png").write_bytes(b"x")
    assert len(folder_source(root, "all")) == 8
    (record,) = caplog.records
    assert "2 images lie in no class folder and are left out, the first: preview.png" in record.message


@pytest.mark.parametrize("inner", ["2750", "UCMerced/Images"])
@pytest.mark.parametrize("folders", [CLASSES, ("train/forest", "train/water", "test/water")])
def test_lone_folders_around_the_classes_are_entered(tmp_path, caplog, inner, folders):
    root = write(tmp_path / "tree", *(f"{inner}/{folder}" for folder in folders))
    (root / "README.txt").write_text("x")
    source = folder_source(root, "all")
    assert source.class_names == CLASSES
    assert str(source.column("filename")[0]).startswith(f"{inner}/{folders[0]}/")
    assert f"the class folders are those in {inner}/" in caplog.text


def test_a_lone_class_is_not_entered(tmp_path):
    assert folder_source(write(tmp_path / "a", "forest", "forest/more"), "all").class_names == ("forest",)
    assert folder_source(write(tmp_path / "b", "forest"), "all").class_names == ("forest",)
    assert folder_source(write(tmp_path / "c", "train/forest"), "train").class_names == ("forest",)


def test_sub_folders_of_a_class_belong_to_it_links_too(tmp_path):
    root = write(tmp_path / "set", "forest", "water", "water/sub")
    write(tmp_path, "disk/forest", images=5)
    (root / "forest" / "more").symlink_to(tmp_path / "disk" / "forest")
    (root / "forest" / "loop").symlink_to(root)
    assert np.bincount(folder_source(root, "all").column("label")).tolist() == [7, 4]
    (root / "water" / "more").symlink_to(tmp_path / "disk" / "forest")
    with pytest.raises(InputError, match="water/more and forest/more are one folder, by a link; remove one of them"):
        folder_source(root, "all")


def test_names_that_are_not_utf_8_are_classes_like_others(tmp_path):
    root = write(tmp_path / "tree", "林地".encode("gbk"), b"x\xff", "水体")
    Path(os.fsdecode(os.fsencode(root) + b"/x\xff/a\nb.jpg")).write_bytes(b"y")
    source = folder_source(root, "all")
    assert source.class_names == ("x\\xff", "林地", "水体") == tuple(sorted(source.class_names))
    assert "x\\xff/a\\nb.jpg" in source.column("filename").tolist()
    assert source.encoded(np.arange(len(source))).count(b"y") == 1
    assert set(names_of(root, "train")) < set(names_of(root, "all"))


def test_a_class_is_one_however_its_accents_are_stored(tmp_path):
    name = "Wälder"
    root = write(tmp_path / "a", f"train/{unicodedata.normalize('NFD', name)}", f"test/{name}", "train/x")
    assert folder_source(root, "test").class_names == (name, "x")
    flat = [write(tmp_path / form / "t", unicodedata.normalize(form, name), images=30) for form in ("NFC", "NFD")]
    one, two = (folder_source(root, "train") for root in flat)
    assert one.column("filename").tolist() == two.column("filename").tolist()
    assert one.fingerprint() == two.fingerprint()


def test_a_folder_in_a_place_that_is_not_utf_8_has_names_of_text(tmp_path):
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + "数据".encode("gbk")))
    source = folder_source(write(root, *CLASSES), "all")
    assert (source.dataset, source.name) == ("folder:数据", f"{tmp_path}/数据")
    assert source.encoded(np.arange(4)) == [b"x"] * 4
    (root / "water" / "1.txt").touch()
    with pytest.raises(InputError) as error:
        folder_source(root, "all")
    assert str(error.value).encode()


PART = st.one_of(
    st.sampled_from([b"train", b"Test", b"val", b"__MACOSX", b".x", b"forest", b"README", "林地".encode("gbk")]),
    st.binary(min_size=1, max_size=8).map(lambda name: name.translate(None, b"\0/")),
)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.lists(st.lists(PART, min_size=1, max_size=2).map(b"/".join), min_size=1, max_size=4))
def test_folders_of_any_name_are_classes_or_are_refused(tmp_path_factory, folders):
    kept = [folder for folder in folders if {b"", b".", b".."}.isdisjoint(folder.split(b"/"))]
    root = write(tmp_path_factory.mktemp("tree") / "any", *kept, images=1)
    with contextlib.suppress(InputError):
        source = folder_source(root, "all")
        assert all(name.encode() and len(name.splitlines()) == 1 for name in source.class_names)
        assert source.column("label").max() < len(source.class_names)
