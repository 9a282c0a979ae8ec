"""All pairs within a radius, compared with every distance written out."""

import numpy as np
import pytest

from mtsccd_jax.ops.hashes.hamming import hamming_neighbors

GENERATOR = np.random.default_rng(0)


def near_each_other(n: int, t: int, flips: int) -> np.ndarray:
    """Hashes of which many differ from a few by at most so many bits, (n, t)."""
    few = GENERATOR.integers(0, 2**64, 40, np.uint64)
    bits = GENERATOR.integers(0, 64, (n, t, flips)).astype(np.uint64)
    return GENERATOR.choice(few, (n, t)) ^ np.bitwise_or.reduce(np.uint64(1) << bits, axis=-1)


def by_definition(query_nt, gallery_m, radius, itself):
    distance = np.stack([np.bitwise_count(query_nt[:, [t]] ^ gallery_m) for t in range(query_nt.shape[1])], -1)
    near = distance.min(-1) <= radius
    query, gallery = np.nonzero(np.triu(near, 1) if itself else near)
    return query, distance[query, gallery].argmin(-1), gallery, distance[query, gallery].min(-1)


@pytest.mark.parametrize(("n", "m"), [(300, 200), (1, 4099), (4097, 30)], ids=["one tile", "wide", "tall"])
@pytest.mark.parametrize("radius", [0, 3, 12])
def test_pairs_are_all_within_the_radius(n, m, radius):
    query, gallery = near_each_other(n, 3, 3), near_each_other(m, 1, 2)[:, 0]
    for found, expected in zip(
        hamming_neighbors(query, gallery, radius), by_definition(query, gallery, radius, False), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_a_hash_is_no_neighbour_of_itself_and_pairs_come_once():
    hashes = near_each_other(4100, 2, 2)
    hashes[4099] = hashes[3]
    found = hamming_neighbors(hashes, np.ascontiguousarray(hashes[:, 0]), 2, itself=True)
    for part, expected in zip(found, by_definition(hashes, hashes[:, 0], 2, True), strict=True):
        np.testing.assert_array_equal(part, expected)
    assert (3, 4099) in set(zip(found.query.tolist(), found.gallery.tolist(), strict=True))


@pytest.mark.parametrize(("n", "m"), [(0, 5), (5, 0)])
def test_nothing_has_no_neighbours(n, m):
    found = hamming_neighbors(np.zeros((n, 8), np.uint64), np.zeros(m, np.uint64), 64)
    assert [len(part) for part in found] == [0] * 4


@pytest.mark.parametrize(
    ("shape", "radius", "itself"), [((3, 0), 1, False), ((3, 1), 65, False), ((3, 1), -1, False), ((4, 1), 1, True)]
)
def test_what_cannot_be_is_refused(shape, radius, itself):
    with pytest.raises(ValueError, match=r"radius|itself"):
        hamming_neighbors(np.zeros(shape, np.uint64), np.zeros(3, np.uint64), radius, itself=itself)
