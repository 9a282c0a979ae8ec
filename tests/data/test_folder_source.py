import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from source_contract import check_source

from mtsccd_jax.data.folder_source import (
    folder_source,
    folder_splits,
    image_files,
    pair_files,
    pair_list_splits,
    pairs_source,
)
from mtsccd_jax.errors import InputError

SPLITS = ("train", "validation", "test")
SPELLED = ("Training", "val", "VALIDATION", "fold 1")


@pytest.fixture
def pair_tree(class_tree, tmp_path) -> Path:
    """Make ten pairs with a list of changed fractions from the images of class_tree."""
    root = tmp_path / "pairs"
    root.mkdir()
    shutil.move(class_tree / "water", root / "A")
    shutil.move(class_tree / "forest", root / "B")
    names = sorted(path.name for path in (root / "A").iterdir())
    write_list(root, ["A,B,changed_fraction,note", *(f"{name},{name},{i / 200:.4f},x" for i, name in enumerate(names))])
    return root


def pil_pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def write_list(root: Path, lines: list[str]) -> None:
    (root / "pairs.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_folder_names_are_the_classes_in_order_of_name(class_tree):
    source = folder_source(class_tree, "all", image_size=24)
    assert source.class_names == ("forest", "water")
    assert source.fields == ("image", "label", "filename")
    assert len(source) == 20
    check_source(source)
    for row in (0, 3, 19):
        example = source[row]
        path = class_tree / str(example["filename"])
        assert path.parent.name == source.class_names[example["label"]]
        assert example["label"].dtype == np.int32
        pixels = pil_pixels(path)
        if pixels.shape == (24, 24, 3):
            np.testing.assert_array_equal(example["image"], pixels)
    paths = [class_tree / str(source[row]["filename"]) for row in (19, 3)]
    assert source.encoded(np.array([19, 3])) == [path.read_bytes() for path in paths]


def test_hashed_splits_partition_the_files_and_do_not_depend_on_other_files(class_tree):
    def split_of() -> dict[str, str]:
        found = {}
        for split in SPLITS:
            for name in folder_source(class_tree, split).column("filename"):
                assert name not in found
                found[str(name)] = split
        return found

    before = split_of()
    assert len(before) == 20
    (class_tree / "water" / "0.JPG").unlink()
    after = split_of()
    assert after == {name: split for name, split in before.items() if name != "water/0.JPG"}
    assert folder_source(class_tree, "train", seed=1).fingerprint() != folder_source(class_tree, "train").fingerprint()


def test_hashed_splits_have_about_the_promised_shares(tmp_path):
    (tmp_path / "a").mkdir()
    for i in range(2000):
        (tmp_path / "a" / f"{i}.png").write_bytes(b"x")
    sizes = [len(folder_source(tmp_path, split)) for split in SPLITS]
    assert sum(sizes) == 2000
    np.testing.assert_allclose(np.array(sizes) / 2000, [0.6, 0.2, 0.2], atol=0.03)


def test_split_folders_win_and_share_their_classes(class_tree, tmp_path):
    root = tmp_path / "tree"
    for split, classes in (("train", ("forest", "water")), ("test", ("water",))):
        for name in classes:
            shutil.copytree(class_tree / name, root / split / name)
    assert folder_splits(root) == ("train", "test")
    assert folder_splits(class_tree) == ("train", "validation", "test")
    test = folder_source(root, "test", image_size=24)
    assert test.class_names == ("forest", "water")
    assert test.column("label").tolist() == [1] * 10
    assert len(folder_source(root, "train")) == 20
    assert len(folder_source(root, "all")) == 30
    with pytest.raises(InputError, match="has test, train, but no folder 'validation'; add it or choose another"):
        folder_source(root, "validation")


def test_fingerprint_is_of_content_and_not_of_place(class_tree, tmp_path_factory):
    before = folder_source(class_tree, "all").fingerprint()
    second = shutil.copytree(class_tree, tmp_path_factory.mktemp("elsewhere") / "tree")
    assert folder_source(second, "all").fingerprint() == before
    os.truncate(second / "water" / "0.JPG", 100)
    assert folder_source(second, "all").fingerprint() != before


def test_results_call_a_folder_by_its_own_name_however_it_is_spelled(class_tree, monkeypatch):
    monkeypatch.chdir(class_tree)
    for spelling in (class_tree, ".", f"../{class_tree.name}", "./water/.."):
        assert folder_source(spelling, "all").dataset == f"folder:{class_tree.name}"


def test_bad_trees_say_what_to_do(class_tree, tmp_path):
    with pytest.raises(InputError, match=r"no/where is not a folder; check the path$"):
        folder_source("no/where", "train")
    with pytest.raises(InputError, match=r"has no split 'tset'; it has .*test.* Did you mean 'test'"):
        folder_source(class_tree, "tset")
    (tmp_path / "flat").mkdir()
    with pytest.raises(InputError, match="flat has no class folders; put the images of each class in a folder"):
        folder_source(tmp_path / "flat", "all")
    (tmp_path / "flat" / "a").mkdir()
    with pytest.raises(InputError, match="has no images in split 'all'; add some or choose another"):
        folder_source(tmp_path / "flat", "all")


def test_bad_files_are_named_or_skipped_counted_and_named(class_tree):
    truncated = class_tree / "water" / "0.JPG"
    truncated.write_bytes(truncated.read_bytes()[:300])
    source = folder_source(class_tree, "all", image_size=24)
    with pytest.raises(InputError, match=r"water/0.JPG is a damaged or truncated JPEG"):
        source.read(np.arange(len(source)))

    (class_tree / "forest" / "notes.txt").write_text("cloudy")
    with pytest.raises(InputError, match=r"forest/notes.txt is not an image \(.bmp, "):
        folder_source(class_tree, "all")
    (class_tree / "forest" / "notes.txt").rename(class_tree / "forest" / ".notes")
    (class_tree / "forest" / "1.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"forest/1.png is empty; replace or remove it$"):
        folder_source(class_tree, "all")

    (class_tree / "forest" / "other.gif").write_bytes(b"GIF")
    source = folder_source(class_tree, "all", image_size=24, skip_bad=True)
    assert len(source) == 18
    skipped = [line.split(" is ")[0].removeprefix(f"{class_tree}/") for line in source.skipped]
    assert skipped == ["forest/1.png", "forest/other.gif", "water/0.JPG"]
    assert source.read(np.arange(18))["image"].shape == (18, 24, 24, 3)


def test_file_that_vanishes_is_named(class_tree):
    source = folder_source(class_tree, "all", image_size=24)
    (class_tree / "forest" / "0.JPG").unlink()
    with pytest.raises(InputError, match=r"forest/0.JPG cannot be read"):
        source[0]


def test_pair_list_with_fractions(pair_tree):
    source = pairs_source(pair_tree, "all", image_size=24)
    assert source.image_fields == ("image_t1", "image_t2")
    assert source.fields == ("image_t1", "image_t2", "changed", "filename_t1", "filename_t2")
    assert source.names == {"changed": ("unchanged", "changed")}
    assert source.class_names == ()
    assert pair_list_splits(pair_tree) == ("all",)
    assert source.column("changed").tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 1, 1]  # 0.0100 is not above 0.01
    assert pairs_source(pair_tree, "all", changed_above=0.04).column("changed").sum() == 1
    check_source(source)
    example = source[0]
    for date, side in (("t1", "A"), ("t2", "B")):
        name = str(example[f"filename_{date}"])
        np.testing.assert_array_equal(example[f"image_{date}"], pil_pixels(pair_tree / side / name))


def test_pair_list_with_flags_and_splits_and_a_byte_order_mark(pair_tree):
    lines = ["A, B, changed, split", "0.JPG, 1.png, 1, train", "1.png,0.JPG,0,test", "2.JPG,2.JPG,0,train"]
    (pair_tree / "pairs.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    train = pairs_source(pair_tree, "train", image_size=24)
    assert train.column("changed").tolist() == [1, 0]
    assert train.column("filename_t2").tolist() == ["1.png", "2.JPG"]
    assert pairs_source(pair_tree, "test").column("filename_t1").tolist() == ["1.png"]
    assert len(pairs_source(pair_tree, "all")) == 3
    assert pair_list_splits(pair_tree) == ("test", "train")
    with pytest.raises(InputError, match="has no split 'validation'; it has all, test, train"):
        pairs_source(pair_tree, "validation")


@pytest.mark.parametrize(("no", "yes"), [("0", "1"), ("0.0", "1.0"), ("False", "True"), ("false", "TRUE")])
def test_flags_are_read_as_programs_write_them(pair_tree, no, yes):
    write_list(pair_tree, ["A,B,changed", f"0.JPG,0.JPG,{yes}", f"0.JPG,1.png,{no}"])
    assert pairs_source(pair_tree, "all").column("changed").tolist() == [1, 0]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["A,changed", "0.JPG,1"], r"pairs.csv lacks the column B; it has A, changed$"),
        (["A,B", "0.JPG,0.JPG"], "one of the columns 'changed' and 'changed_fraction'; it has neither among A, B$"),
        (["A,B,changed,changed_fraction", "0.JPG,0.JPG,1,0.5"], "it has both$"),
        (["A,B,changed", "0.JPG,0.JPG,yes"], "pairs.csv, line 2: 'changed' must be 0 or 1, not 'yes'$"),
        (["A,B,changed", "0.JPG,0.JPG,1", "1.png,,0"], "pairs.csv, line 3: 'B' is empty; fill it in$"),
        (["A,B,changed", "0.JPG"], "pairs.csv, line 2: 'changed' is empty; fill it in$"),
        (["A,B,changed_fraction", "0.JPG,0.JPG,nan"], r"must be a number in \[0, 1\], not 'nan'$"),
        (["A,B,changed_fraction", "0.JPG,0.JPG,12"], r"must be a number in \[0, 1\], not '12'$"),
        (["A,B,changed,split", "0.JPG,0.JPG,1, "], "pairs.csv, line 2: 'split' is empty; fill it in$"),
        (["A,B,changed", "0.JPG,missing.png,1"], "B/missing.png cannot be read .*; add it or remove it from the list$"),
        (["A,B,changed", "../B/0.JPG,0.JPG,1"], "line 2: '../B/0.JPG' leaves A/; use paths inside it$"),
        (["A,B,changed", "/etc/hostname,0.JPG,1"], "line 2: '/etc/hostname' leaves A/; use paths inside it$"),
        (
            ["A,B,changed", "0.JPG,0.JPG,1", "1.png,1.png,0", "./0.JPG,0.JPG,0"],
            "line 4: lists the pair of line 2 again;",
        ),
        (["A,B,changed,split", "0.JPG,1.png,1,train", "0.JPG,1.png,1,test"], "line 3: lists the pair of line 2 again"),
        (["A,B,changed"], "has no images in split 'all'"),
        ([""], "lacks the column A, B; it has none"),
    ],
)
def test_bad_pair_lists_name_the_line(pair_tree, lines, message):
    write_list(pair_tree, lines)
    with pytest.raises(InputError, match=message):
        pairs_source(pair_tree, "all")


def test_links_do_not_leave_the_folder_either(pair_tree, tmp_path):
    (tmp_path / "secret.png").write_bytes(b"x")
    (pair_tree / "A" / "link.png").symlink_to(tmp_path / "secret.png")
    write_list(pair_tree, ["A,B,changed", "link.png,0.JPG,1"])
    with pytest.raises(InputError, match=r"line 2: 'link.png' leaves A/"):
        pairs_source(pair_tree, "all")


@pytest.mark.parametrize(
    ("stored", "written"),
    [
        (b"x/1.png", "x\\1.png"),
        ("林地.png".encode("gbk"), "林地.png"),
        (unicodedata.normalize("NFD", "Wälder.png").encode(), "Wälder.png"),
    ],
)
def test_pair_lists_find_names_that_another_system_spells(pair_tree, stored, written):
    for side in (b"/A/", b"/B/"):
        path = Path(os.fsdecode(os.fsencode(pair_tree) + side + stored))
        path.parent.mkdir(exist_ok=True)
        shutil.copy(pair_tree / "A" / "1.png", path)
    write_list(pair_tree, ["A,B,changed", f"{written},{written},1"])
    source = pairs_source(pair_tree, "all", image_size=24)
    assert source.read(np.arange(1))["image_t2"].any()
    assert source.column("filename_t1").tolist() == [written.replace("\\", "/")]


@pytest.mark.parametrize("name", ["a\0b.png", "n" * 300 + ".png", "n/" * 3000 + ".png"])
def test_what_is_no_path_is_told_with_its_line(pair_tree, name):
    write_list(pair_tree, ["A,B,changed", f"0.JPG,{name},1"])
    with pytest.raises(InputError, match=r"pairs\.csv(, line 2: 'n.*' is no path; correct it|.* zero byte|, line 2)"):
        pairs_source(pair_tree, "all")


def test_splits_of_a_pair_list_in_any_spelling(pair_tree):
    lines = ["A,B,changed,split", *(f"{i}.JPG,{i}.JPG,1,{name}" for i, name in zip((0, 2, 4, 6), SPELLED, strict=True))]
    write_list(pair_tree, lines)
    assert pair_list_splits(pair_tree) == ("fold 1", "train", "validation")
    assert pairs_source(pair_tree, "val").column("filename_t1").tolist() == ["2.JPG", "4.JPG"]
    assert pairs_source(pair_tree, "validation").split == pairs_source(pair_tree, "Valid").split == "validation"


def test_unlabelled_images_leave_litter_out(class_tree):
    expected = image_files(class_tree).column("filename").tolist()
    for name in ("Thumbs.db", "forest/0.aux.xml", "forest/0.jgw", "README.md", "__MACOSX/._0.JPG"):
        (class_tree / name).parent.mkdir(exist_ok=True)
        (class_tree / name).write_bytes(b"x")
    assert image_files(class_tree).column("filename").tolist() == expected


def test_binary_and_missing_pair_lists_are_refused(pair_tree):
    (pair_tree / "pairs.csv").write_bytes(b"A,B,changed\n\xff\xfe\x00,b,1\n")
    with pytest.raises(InputError, match=r"pairs.csv: not a text file in UTF-8 \(line 2: .*; save it as UTF-8$"):
        pairs_source(pair_tree, "all")
    (pair_tree / "pairs.csv").unlink()
    with pytest.raises(InputError, match=r"has no pairs.csv; list the pairs in it, with columns A, B and changed$"):
        pairs_source(pair_tree, "all")


def test_bad_pairs_are_skipped_whole(pair_tree):
    (pair_tree / "A" / "0.JPG").write_bytes(b"")
    (pair_tree / "B" / "3.png").write_bytes(b"no image")
    source = pairs_source(pair_tree, "all", image_size=24, skip_bad=True)
    assert len(source) == len(source.column("changed")) == 8
    assert len(source.skipped) == 2
    assert not {"0.JPG", "3.png"} & set(source.column("filename_t1"))


def test_unlabelled_pairs_and_images(pair_tree):
    listed = pair_files(pair_tree, image_size=24)
    (pair_tree / "pairs.csv").unlink()
    matched = pair_files(pair_tree, image_size=24)
    assert listed.fields == matched.fields == ("image_t1", "image_t2", "filename_t1", "filename_t2")
    assert listed.column("filename_t1").tolist() == matched.column("filename_t2").tolist()
    images = image_files(pair_tree, image_size=24)
    assert images.fields == ("image", "filename")
    assert images.column("filename").tolist() == sorted(images.column("filename"))
    assert len(images) == 20
    (pair_tree / "A" / "0.JPG").unlink()
    with pytest.raises(InputError, match=r"0.JPG is not in both A/ and B/ \(1 such\); complete or remove it$"):
        pair_files(pair_tree)


def test_real_trees(real_data):
    splits = [folder_source(real_data / "eurosat_rgb" / "2750", split) for split in SPLITS]
    assert sum(len(split) for split in splits) == 2000
    assert all(len(split.class_names) == 10 for split in splits)
    assert splits[2].read(np.arange(16))["image"].shape == (16, 64, 64, 3)
    pairs = pairs_source(real_data / "cd_sztaki300", "all", image_size=96)
    assert len(pairs) == 64
    assert pairs.read(np.arange(64))["image_t2"].shape == (64, 96, 96, 3)
