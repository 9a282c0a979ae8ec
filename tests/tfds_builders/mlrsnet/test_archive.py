"""Where label sets and images are looked for, and what is said of those that are not there."""

import shutil

import pytest
from archive_files import pack
from mlrsnet_files import CATEGORIES, filename, rows, write_csv, write_mlrsnet

from tfds_builders import ArchiveError
from tfds_builders.mlrsnet.archive import Listing, label_files, list_images, open_mlrsnet, read_labels


def listing_of(root) -> Listing:
    archive = open_mlrsnet(root)
    return list_images(archive, read_labels(archive, "official"))


@pytest.mark.parametrize("folder", ["labels", "Labels", "MLRSNet-master/labels", "."])
def test_official_labels_lie_in_any_folder(tmp_path, folder):
    root = write_mlrsnet(tmp_path / "a", labels=folder)
    assert set(label_files(open_mlrsnet(root))) == {"official"}
    assert len(listing_of(root).labels) == 40


@pytest.mark.parametrize(
    "folder", ["labels_corrected", "MLRSNet_Dataset-main/labels", "corrected/Labels", "labels_jiecheney_fixed/labels"]
)
def test_corrected_labels_are_known_by_their_folder(tmp_path, folder):
    root = write_mlrsnet(tmp_path / "a", corrected=folder)
    files = label_files(open_mlrsnet(root))
    assert set(files) == {"official", "corrected"}
    assert files["corrected"]["park"] == f"{folder}/park.csv"
    assert read_labels(open_mlrsnet(root), "corrected").name == "corrected"


def test_corrected_labels_may_be_a_zip_beside_the_images(tmp_path):
    root = write_mlrsnet(tmp_path / "a", corrected="other")
    pack(root / "other", root / "MLRSNet_Dataset-main.zip")
    shutil.rmtree(root / "other")
    archive = open_mlrsnet(root)
    assert len(read_labels(archive, "corrected")) == 40
    assert len(list_images(archive, read_labels(archive, "official")).bad) == 0


def test_absent_and_doubled_label_sets_are_errors(tmp_path):
    root = write_mlrsnet(tmp_path / "a")
    with pytest.raises(
        ArchiveError, match=r"holds no corrected labels; .*jiecheney/MLRSNet_Dataset.* labels_corrected"
    ):
        read_labels(open_mlrsnet(root), "corrected")
    shutil.copytree(root / "labels", root / "copy")
    with pytest.raises(ArchiveError, match="'copy' and 'labels' both hold official labels; keep one"):
        read_labels(open_mlrsnet(root), "official")


def test_what_is_no_archive_says_where_to_get_it(tmp_path):
    with pytest.raises(ArchiveError, match="no such archive; download MLRSNet"):
        open_mlrsnet(tmp_path / "missing")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "other.csv").touch()
    with pytest.raises(ArchiveError, match=r"holds no label file \(labels/airplane\.csv, \.\.\.\)"):
        open_mlrsnet(tmp_path)


def test_labels_in_a_zip_in_a_zip_are_named(tmp_path):
    pack(write_mlrsnet(tmp_path / "a"), tmp_path / "inner" / "MLRSNet.zip")
    with pytest.raises(ArchiveError, match=r"'MLRSNet\.zip' is packed in it; unpack both"):
        open_mlrsnet(pack(tmp_path / "inner", tmp_path / "outer.zip"))


def test_in_a_shared_folder_only_what_bears_the_name_belongs(tmp_path):
    write_mlrsnet(tmp_path / "MLRSNet")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "park.csv").write_text("of something else")
    assert len(read_labels(open_mlrsnet(tmp_path, shared_folder=True), "official")) == 40


def test_every_row_finds_its_image(tmp_path):
    listing = listing_of(write_mlrsnet(tmp_path))
    assert listing.bad == []
    assert listing.images == 40
    assert listing.image_of_row[-1] == f"Images/swimmimg_pool/{filename('swimmimg_pool', 7)}"


def test_rows_without_image_and_images_without_row_are_named(tmp_path):
    root = write_mlrsnet(tmp_path)
    (root / "Images" / "park" / filename("park", 1)).unlink()
    (root / "Images" / "airport" / filename("airport", 2)).rename(root / "Images" / "airport" / "airport_00001.jpg")
    listing = listing_of(root)
    assert listing.bad == [
        f"Images/airport/{filename('airport', 2)}: no such image, but it has labels",
        "Images/airport/airport_00001.jpg: no row in labels/airport.csv",
        f"Images/park/{filename('park', 1)}: no such image, but it has labels",
    ]
    assert listing.image_of_row.count(None) == 2
    assert listing.images == 39


def test_a_category_that_is_still_packed_is_one_line(tmp_path):
    root = write_mlrsnet(tmp_path)
    for category in ("harbor&port", "park"):
        shutil.rmtree(root / "Images" / category)
    (root / "Images" / "park.rar").touch()
    assert listing_of(root).bad == [
        "Images/harbor&port: no image, for 8 rows of its label file; unpack the category's .rar file there",
        "Images/park: no image, for 8 rows of its label file; unpack Images/park.rar where it lies",
    ]


def test_a_category_without_label_file_is_one_line(tmp_path):
    root = write_mlrsnet(tmp_path)
    (root / "labels" / "park.csv").unlink()
    listing = listing_of(root)
    assert listing.bad == ["Images/park: 8 images, but there is no park.csv with their labels"]
    assert len(listing.labels) == 32


def test_an_image_with_a_bad_row_is_told_of_once(tmp_path):
    root = write_mlrsnet(tmp_path)
    cells = rows("park", 8)
    cells[1][1] = "x"
    write_csv(root / "labels" / "park.csv", cells)
    assert listing_of(root).bad == [f"labels/park.csv, line 2: {filename('park', 0)}: the value 'x' is neither 0 nor 1"]


def test_one_name_in_two_folders_is_told(tmp_path):
    root = write_mlrsnet(tmp_path)
    shutil.copytree(root / "Images" / "park", root / "more" / "park")
    bad = listing_of(root).bad
    assert len(bad) == 8
    name = filename("park", 0)
    assert bad[0] == f"more/park/{name}: Images/park/{name} has the same name"
    assert sorted(CATEGORIES) == list(CATEGORIES)
