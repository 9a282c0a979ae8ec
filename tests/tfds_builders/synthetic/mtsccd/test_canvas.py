import math

import cv2
import numpy as np
import pytest

from tfds_builders.synthetic.mtsccd.canvas import Canvas, box_corners, grain, rotate, shaded

WHITE = np.array((255.0, 255.0, 255.0))


def _canvas(size: int = 200, extent_m: float = 100.0) -> Canvas:
    return Canvas(size, extent_m, (0.0, 1.0), shade=0.5)


def _area_m2(canvas: Canvas) -> float:
    return float((canvas.image_hwc[..., 0] / 255).sum() / canvas.pixels_per_m**2)


def test_box_corners_are_opencvs():
    rng = np.random.default_rng(0)
    for _ in range(20):
        centre, size, angle = rng.normal(size=2) * 20, rng.uniform(1, 30, size=2), rng.uniform(-3, 3)
        ours = box_corners(centre, size, angle)[0]
        theirs = cv2.boxPoints((tuple(centre), tuple(size), math.degrees(angle)))
        np.testing.assert_allclose(ours[np.lexsort(ours.round(3).T)], theirs[np.lexsort(theirs.round(3).T)], atol=1e-3)


def test_rotate_is_multiplication_in_the_complex_plane():
    rng = np.random.default_rng(1)
    points = rng.normal(size=(6, 2))
    turned = (points[:, 0] + 1j * points[:, 1]) * np.exp(0.7j)
    np.testing.assert_allclose(rotate(points, 0.7), np.stack((turned.real, turned.imag), axis=1))
    np.testing.assert_allclose(rotate(points.reshape(2, 3, 2), 0.7).reshape(6, 2), rotate(points, 0.7))


@pytest.mark.parametrize("size", [200, 300])
def test_shapes_cover_their_area(size):
    canvas = _canvas(size)
    canvas.polygons(box_corners(np.array((5.0, -8.0)), np.array((40.0, 20.0)), 0.4), WHITE)
    assert _area_m2(canvas) == pytest.approx(800, rel=0.05)
    canvas = _canvas(size)
    canvas.discs(np.zeros((1, 2)), np.array((20.0,)), WHITE)
    assert _area_m2(canvas) == pytest.approx(math.pi * 400, rel=0.05)
    canvas = _canvas(size)
    bend = np.stack((np.linspace(-30, 30, 13), 8 * np.sin(np.linspace(0, 3, 13))), axis=1)
    canvas.strip(bend, 5.0, WHITE)
    length = np.hypot(*np.diff(bend, axis=0).T).sum()
    assert _area_m2(canvas) == pytest.approx(length * 5, rel=0.12)


def test_a_strip_is_never_thinner_than_a_pixel():
    canvas = _canvas(50)
    canvas.strip(np.array(((-60.0, 0.5), (60.0, 0.5))), 0.01, WHITE)
    assert (canvas.image_hwc.max(axis=(0, 2)) > 0).all()


def test_shadows_fall_where_the_sun_is_not():
    canvas = _canvas()
    canvas.fill(WHITE * 0.8)
    canvas.blocks(box_corners(np.zeros(2), np.array((20.0, 20.0)), 0.0), WHITE, 15.0)
    below, above = canvas.image_hwc[100 + 40, 100], canvas.image_hwc[100 - 40, 100]
    assert canvas.image_hwc[100, 100].tolist() == [255] * 3
    assert below.tolist() == [102] * 3
    assert above.tolist() == [204] * 3
    canvas.blocks(np.zeros((0, 4, 2)), WHITE, 3.0)


def test_specks_off_the_canvas_are_left_out():
    canvas = _canvas(10, 10)
    canvas.specks(np.array(((0.2, -0.8), (80.0, 0.0), (-80.0, 0.0))), np.array(((1.0, 2.0, 3.0),) * 3))
    assert canvas.image_hwc.sum() == 6
    assert canvas.image_hwc[4, 5].tolist() == [1, 2, 3]


def test_cover_and_modulate():
    canvas = _canvas(8)
    canvas.fill(WHITE * 0.4)
    where = np.zeros((8, 8), dtype=bool)
    where[2:4] = True
    canvas.cover(where, canvas.plain(WHITE), 0.5)
    assert canvas.image_hwc[2, 0, 0] in (178, 179)
    assert canvas.image_hwc[5, 0, 0] == 102
    canvas.modulate(np.full((8, 8), 3.0, dtype=np.float32))
    assert canvas.image_hwc[2, 0, 0] == 255


def test_number_map_counts_polygons_from_one():
    canvas = _canvas(100)
    boxes = box_corners(np.array(((-25.0, 0.0), (25.0, 0.0))), np.array((20.0, 20.0)), 0.0)
    number_hw = canvas.number_map(list(boxes))
    assert (number_hw[50, 25], number_hw[50, 75], number_hw[0, 0]) == (1, 2, 0)


@pytest.mark.parametrize("feature_m", [2.0, 10.0, 60.0])
def test_noise_has_unit_variance_and_the_features_asked_for(feature_m):
    canvas, rng = _canvas(), np.random.default_rng(0)
    fields = [canvas.noise(rng, feature_m) for _ in range(60)]
    assert np.mean([np.square(field).mean() for field in fields]) == pytest.approx(1.0, abs=0.25)
    step = max(round(feature_m * canvas.pixels_per_m), 1)
    near, far = max(step // 4, 1), min(2 * step, 150)
    correlation = [np.mean([(f[:, lag:] * f[:, :-lag]).mean() for f in fields]) for lag in (near, far)]
    assert correlation[0] > 0.5
    assert correlation[1] < 0.25


def test_crowns_are_normalised_and_repeatable():
    canvas = _canvas()
    for crown_m in (1.0, 7.0, 40.0):
        first = canvas.crowns(np.random.default_rng(3), crown_m)
        assert first.mean() == pytest.approx(0, abs=1e-3)
        assert first.std() == pytest.approx(1, abs=1e-3)
        np.testing.assert_array_equal(first, canvas.crowns(np.random.default_rng(3), crown_m))


def test_grain_of_any_size():
    for size in (8, 700, 1500):
        field = grain(np.random.default_rng(0), size)
        assert field.shape == (size, size)
        assert field.std() == pytest.approx(1, abs=0.15)


def test_shaded_is_colour_times_brightness():
    colour = np.array((100.0, 50.0, 200.0))
    factor = np.linspace(0, 2, 64, dtype=np.float32).reshape(8, 8)
    expected = np.clip(factor[..., None] * colour, 0, 255)
    assert np.abs(shaded(colour, factor) - expected).max() <= 200 / 96 / 2 + 1
