"""Label files: what is read, what is refused, and the published files to the last cell."""

import csv
import io
import zipfile

import numpy as np
import pytest
from mlrsnet_files import CATEGORIES, LABELS, filename, labels_of, rows, write_csv, write_mlrsnet

from tfds_builders import ArchiveError
from tfds_builders.mlrsnet import names
from tfds_builders.mlrsnet.archive import label_files, open_mlrsnet, read_labels
from tfds_builders.mlrsnet.labels import correction_lines, corrections, damage, damage_lines, rows_of_one_set_only
from tfds_builders.mlrsnet.tables import CORRECTIONS, LABEL_COUNTS, LABEL_DAMAGE


def test_rows_come_in_the_order_of_categories_and_files(tmp_path):
    labels = read_labels(open_mlrsnet(write_mlrsnet(tmp_path)), "official")
    assert tuple(LABELS) == names.LABELS
    expected = [(c, n) for c in sorted(CATEGORIES) for n in range(8)]
    assert labels.category_of_row == [category for category, _ in expected]
    assert labels.filenames == [filename(*entry) for entry in expected]
    assert labels.labels_nk.dtype == np.uint8
    np.testing.assert_array_equal(labels.labels_nk, [labels_of(*entry, corrected=False) for entry in expected])
    assert labels.bad == []


def test_columns_in_another_order_are_read_by_name(tmp_path):
    write_mlrsnet(tmp_path)
    expected = read_labels(open_mlrsnet(tmp_path), "official").labels_nk
    order = [0, *np.random.default_rng(0).permutation(60) + 1]
    write_csv(tmp_path / "labels" / "park.csv", [[row[column] for column in order] for row in rows("park", 8)])
    np.testing.assert_array_equal(read_labels(open_mlrsnet(tmp_path), "official").labels_nk, expected)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (["image", *LABELS[:-1]], "label 'wind turbine' is missing"),
        (["image", *LABELS, "harbour"], "'harbour' is no label of MLRSNet"),
        (["file", *LABELS], "the first is not 'image' or one occurs twice"),
        (["image", *LABELS, "beach"], "the first is not 'image' or one occurs twice"),
    ],
)
def test_a_file_with_other_columns_is_refused(tmp_path, header, reason):
    write_mlrsnet(tmp_path)
    write_csv(tmp_path / "labels" / "park.csv", [header, *rows("park", 8)[1:]])
    with pytest.raises(ArchiveError, match=rf"labels/park\.csv: other columns than 'image' and the 60 .*{reason}"):
        read_labels(open_mlrsnet(tmp_path), "official")


def test_a_file_that_is_no_text_is_refused(tmp_path):
    write_mlrsnet(tmp_path)
    (tmp_path / "labels" / "park.csv").write_bytes(b"\x00\xff\xfe\x80")
    with pytest.raises(ArchiveError, match=r"park\.csv: not a text file"):
        read_labels(open_mlrsnet(tmp_path), "official")
    (tmp_path / "labels" / "park.csv").write_bytes(b"")
    with pytest.raises(ArchiveError, match=r"park\.csv: other columns"):
        read_labels(open_mlrsnet(tmp_path), "official")


def test_bad_rows_are_named_and_left_out(tmp_path):
    write_mlrsnet(tmp_path)
    cells = rows("park", 8)
    cells[1][3] = "2"
    cells[2][4] = "00"
    cells[3] = cells[3][:-1]
    cells[4][0] = "parking_lot_00001.jpg"  # an image of another category whose name begins the same
    cells[5][0] = cells[6][0]
    write_csv(tmp_path / "labels" / "park.csv", cells)
    labels = read_labels(open_mlrsnet(tmp_path), "official")
    assert labels.bad == [
        f"labels/park.csv, line 2: {filename('park', 0)}: the value '2' is neither 0 nor 1",
        f"labels/park.csv, line 3: {filename('park', 1)}: the value '00' is neither 0 nor 1",
        f"labels/park.csv, line 4: {filename('park', 2)}: 59 values instead of 60",
        "labels/park.csv, line 5: parking_lot_00001.jpg: not an image of the category park",
        f"labels/park.csv, line 7: {filename('park', 5)}: has an earlier row already",
    ]
    assert labels.category_of_row.count("park") == 3
    assert len(labels) == len(labels.labels_nk) == 35


def test_damage_is_told_and_not_repaired(tmp_path):
    root = write_mlrsnet(tmp_path, corrected="labels_corrected")
    official, corrected = (read_labels(open_mlrsnet(root), name) for name in names.LABEL_SETS)
    assert official.labels_nk.sum(axis=1).min() == 0
    park = official.filenames.index(filename("park", 3))
    assert official.labels_nk[park].sum() >= 20
    assert damage_lines(official) == [
        "official labels: 2 of 40 images break the README's 1 to 13 labels an image (1 have more, 1 have none); "
        "nothing is changed",
        "official labels, airport: of 8 images 1 have none",
        "official labels, park: of 8 images 1 have more than 13 labels",
    ]
    assert [line.partition(":")[0] for line in damage_lines(corrected)] == [
        "corrected labels",
        "corrected labels, airport",
    ]
    cells = int((official.labels_nk != corrected.labels_nk).sum())
    assert correction_lines(official, corrected) == [
        f"the corrected labels differ from the official ones in 1 images and {cells} cells",
        f"corrected labels, park: 1 images and {cells} cells differ",
    ]
    assert correction_lines(official, official) == []


def test_label_sets_may_have_different_images(tmp_path):
    root = write_mlrsnet(tmp_path, corrected="labels_corrected")
    write_csv(root / "labels_corrected" / "park.csv", rows("park", 7, corrected=True))
    official, corrected = (read_labels(open_mlrsnet(root), name) for name in names.LABEL_SETS)
    assert rows_of_one_set_only(official, corrected) == [f"{filename('park', 7)}: in the official labels only"]
    assert set(corrections(official, corrected)) == {"park"}


# The published files


@pytest.fixture(scope="module")
def published(real_data, tmp_path_factory):
    """An archive of both real label sets, as they are published, without images."""
    root = tmp_path_factory.mktemp("published")
    for name in ("labels_official.zip", "labels_jiecheney_fixed.zip"):
        (root / name).symlink_to(real_data / "mlrsnet" / name)
    return root


@pytest.fixture(scope="module")
def published_sets(published):
    """Both real label sets."""
    archive = open_mlrsnet(published)
    return tuple(read_labels(archive, name) for name in names.LABEL_SETS)


def by_csv_module(path) -> tuple[list[str], np.ndarray]:
    """Return file names and labels (n, 60) of a zip of label files, by Python's own reader."""
    filenames, values = [], []
    with zipfile.ZipFile(path) as packed:
        for name in sorted(packed.namelist()):
            with packed.open(name) as file:
                reader = csv.reader(io.TextIOWrapper(file, "utf-8", newline=""))
                assert next(reader) == ["image", *LABELS]
                for row in reader:
                    filenames.append(row[0])
                    values.append(row[1:])
    return filenames, np.array(values) == "1"


def test_every_published_row_is_read(published, published_sets, real_data):
    files = label_files(open_mlrsnet(published))
    assert {name: len(of_set) for name, of_set in files.items()} == {"official": 46, "corrected": 46}
    zips = ("labels_official.zip", "labels_jiecheney_fixed.zip")
    for column, (labels, file) in enumerate(zip(published_sets, zips, strict=True)):
        assert labels.bad == []
        assert len(labels) == names.IMAGES == 109_161
        counts = {category: labels.category_of_row.count(category) for category in names.CATEGORIES}
        assert counts == names.CATEGORIES
        found = dict(zip(LABELS, labels.labels_nk.sum(axis=0, dtype=int).tolist(), strict=True))
        assert found == {label: pair[column] for label, pair in LABEL_COUNTS.items()}
        filenames, label_nk = by_csv_module(real_data / "mlrsnet" / file)
        order = np.argsort(filenames)
        own = np.argsort(labels.filenames)
        assert [labels.filenames[row] for row in own] == [filenames[row] for row in order]
        np.testing.assert_array_equal(labels.labels_nk[own], label_nk[order])


def test_the_published_damage_and_corrections_are_found_exactly(published_sets):
    official, corrected = published_sets
    for labels in (official, corrected):
        found = {category: (entry.without_labels, entry.above_13) for category, entry in damage(labels).items()}
        assert found == LABEL_DAMAGE[labels.name]
    assert sum(above for _, above in LABEL_DAMAGE["official"].values()) == 3_471
    assert sum(empty for empty, _ in LABEL_DAMAGE["official"].values()) == 10
    found = {category: (entry.images, entry.cells) for category, entry in corrections(official, corrected).items()}
    assert found == CORRECTIONS
    assert [sum(column) for column in zip(*CORRECTIONS.values(), strict=True)] == [10_300, 91_967]
    assert (official.labels_nk != corrected.labels_nk).any(axis=0).sum() == 45
    assert int(official.labels_nk.sum(axis=1).max()) == 40
    assert int(corrected.labels_nk.sum(axis=1).max()) == 13
    assert rows_of_one_set_only(official, corrected) == []


@pytest.mark.parametrize(
    ("file", "place", "reason"),
    [
        (
            "labels_jiecheney_fixed.zip",
            "labels.zip",
            "'labels/labels' holds the corrected labels; rename it to labels_c",
        ),
        (
            "labels_official.zip",
            "labels_corrected.zip",
            "'labels_corrected/labels' holds the official labels; rename it",
        ),
    ],
)
def test_a_label_set_in_the_place_of_the_other_is_refused(tmp_path, real_data, file, place, reason):
    (tmp_path / place).symlink_to(real_data / "mlrsnet" / file)
    archive = open_mlrsnet(tmp_path)
    (label_set,) = label_files(archive)
    with pytest.raises(ArchiveError, match=reason):
        read_labels(archive, label_set)


def test_the_first_rows_in_their_folder_are_the_same_files(published_sets, real_data):
    heads = open_mlrsnet(real_data / "mlrsnet" / "labels")
    (files,) = label_files(heads).values()
    assert sorted(files) == list(names.CATEGORIES)
    whole, _ = published_sets
    row_of = {name: row for row, name in enumerate(whole.filenames)}
    head = read_labels(heads, "official")
    assert len(head) == 46 * 20
    np.testing.assert_array_equal(head.labels_nk, whole.labels_nk[[row_of[name] for name in head.filenames]])
