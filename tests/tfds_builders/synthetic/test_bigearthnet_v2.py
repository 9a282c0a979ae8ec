"""Generated BigEarthNet v2 archives: counts, names, labels and what the patches show."""

from collections import Counter

import numpy as np
import pytest
import tifffile

from tfds_builders.bigearthnet.bands import S1_BANDS, S2_BANDS
from tfds_builders.bigearthnet.nomenclature import CLASSES_19
from tfds_builders.bigearthnet_v2 import tables
from tfds_builders.bigearthnet_v2.check import positions
from tfds_builders.bigearthnet_v2.metadata import TABLES, read_metadata
from tfds_builders.bigearthnet_v2.reference_maps import class_shares, index_map
from tfds_builders.bigearthnet_v2.splits import split_of_patches
from tfds_builders.synthetic import bigearthnet_v2 as synthetic
from tfds_builders.synthetic.land_cover import GROUND_INDEX, draw_regions, render_bands

SMALLEST = 1e-6


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    out = tmp_path_factory.mktemp("generated")
    assert synthetic.write_archive(out, scale=SMALLEST, workers=1) == 30
    return out / synthetic.ROOT


def test_the_smallest_archive_has_every_kind_split_and_class(archive):
    metadata = read_metadata({name: archive / name for name in TABLES})
    assert np.bincount(metadata.split_n[metadata.recommended_n]).tolist() == [8, 8, 8]
    assert metadata.has_snow_n.sum() == metadata.has_cloud_or_shadow_n.sum() == 3
    for split in range(3):
        shown_nk = metadata.labels_nk[metadata.recommended_n & (metadata.split_n == split)]
        assert shown_nk.any(axis=0).all()
        assert shown_nk.any(axis=1).all()
    np.testing.assert_array_equal(split_of_patches(*positions(metadata.patch_id_n)), metadata.split_n)


def test_maps_show_the_labels_and_bands_are_as_in_the_real_archive(archive):
    metadata = read_metadata({name: archive / name for name in TABLES})
    for row in range(len(metadata)):
        patch_id = metadata.patch_id_n[row].decode()
        (path,) = archive.glob(f"Reference_Maps/*/{patch_id}/*_reference_map.tif")
        index_hw = index_map(tifffile.imread(path))
        np.testing.assert_array_equal(class_shares(index_hw).classes_k > 0, metadata.labels_nk[row])
        assert (index_hw == 255).mean() < 0.25
    (folder,) = archive.glob(f"BigEarthNet-S2/*/{patch_id}")
    for band in S2_BANDS:
        pixels = tifffile.imread(folder / f"{patch_id}_{band}.tif")
        assert pixels.dtype == np.uint16
        assert pixels.min() >= 1, "0 is no data"


def test_full_scale_has_exactly_the_published_counts():
    counts_pks = synthetic.patch_counts(1)
    for at, kind in enumerate(("recommended", "snow", "cloud_or_shadow")):
        np.testing.assert_array_equal(counts_pks[:, at].sum(axis=0), tables.PATCHES[kind])
    countries = np.array([product.country for product in synthetic.load_products()])
    for country, (published, _) in tables.PATCHES_OF_COUNTRY.items():
        np.testing.assert_array_equal(counts_pks[countries == country, 0].sum(axis=0), published)
    assert len({product.name for product in synthetic.load_products()}) == 115


def test_the_products_are_those_of_the_official_tables(real_data):
    metadata = read_metadata({name: real_data / "bigearthnet_v2" / name for name in TABLES})
    kind_n = np.where(metadata.recommended_n, 0, np.where(metadata.has_snow_n, 1, 2))
    names = [name[:-6].decode() for name in metadata.patch_id_n.tolist()]
    found = Counter(zip(names, kind_n.tolist(), metadata.split_n.tolist(), strict=True))
    expected: Counter = Counter()
    for product in synthetic.load_products():
        for kind in range(3):
            expected.update({(product.name, kind, split): product.counts[kind][split] for split in range(3)})
    assert found == +expected


@pytest.mark.parametrize("scale", [0.002, 0.01])
def test_counts_are_in_proportion(scale):
    patches = synthetic.patches(scale, seed=1)
    assert len({patch.patch_id for patch in patches}) == len({patch.s1_name for patch in patches}) == len(patches)
    assert len({patch.v1_name for patch in patches}) == len(patches)
    for split in range(3):
        members = [p for p in patches if p.kind == "recommended" and p.split == split]
        assert len(members) == round(scale * tables.PATCHES["recommended"][split])
        assert all(patch.classes for patch in members)
        for at, name in enumerate(CLASSES_19):
            expected = tables.PATCHES_OF_CLASS[name][0][split] * scale
            assert abs(sum(at in patch.classes for patch in members) - max(1, expected)) <= 1


def test_classes_can_be_told_apart_but_not_all():
    """Nearest class mean on the mean spectrum of one-class patches: far above chance, below perfect."""
    rng = np.random.default_rng(0)

    def spectra(count):
        shown = np.repeat(np.arange(len(CLASSES_19)), count)
        rows = [render_bands(np.full((120, 120), index, np.uint8), rng) for index in shown.tolist()]
        return shown, np.array([[row[band].mean() for band in (*S2_BANDS, *S1_BANDS)] for row in rows])

    shown_n, train_nb = spectra(6)
    scale_b = train_nb.std(axis=0)
    centre_kb = train_nb.reshape(len(CLASSES_19), 6, -1).mean(axis=1)
    truth_n, test_nb = spectra(4)
    distance_nk = (((test_nb[:, None] - centre_kb) / scale_b) ** 2).sum(axis=2)
    accuracy = (distance_nk.argmin(axis=1) == truth_n).mean()
    assert shown_n.size == 114
    assert 0.4 < accuracy < 0.95


def test_regions_show_every_class():
    rng = np.random.default_rng(3)
    for _ in range(20):
        classes = rng.choice(len(CLASSES_19), size=int(rng.integers(1, 11)), replace=False).tolist()
        assert {*np.unique(draw_regions([*classes, GROUND_INDEX], rng)).tolist()} == {*classes, GROUND_INDEX}
