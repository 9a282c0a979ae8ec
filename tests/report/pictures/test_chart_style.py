"""The parts that charts are drawn with."""

import numpy as np
import pytest

from mtsccd_jax.report.pictures import chart_style


def test_long_series_are_thinned_with_their_ends():
    x = np.arange(100_000)
    thin_x, thin_y = chart_style.thinned(x, np.where(x == 5, np.nan, x * 2.0))
    assert len(thin_x) == chart_style.MAX_POINTS
    assert (thin_x[0], thin_x[-1]) == (0, 99_999)
    np.testing.assert_array_equal(thin_y, 2 * thin_x)


def test_running_mean_is_the_mean_of_the_last_values():
    y = np.random.default_rng(0).normal(size=50)
    expected = [y[max(0, i - 6) : i + 1].mean() for i in range(50)]
    np.testing.assert_allclose(chart_style.running_mean(y, 7), expected, atol=1e-12)


def test_long_names_are_broken_and_cut_in_the_middle():
    assert chart_style.wrapped("scnn x0.5", 26, 3) == "scnn x0.5"
    assert chart_style.wrapped("scnn x0.5, 12 bands, random", 20, 2) == "scnn x0.5, 12 bands,\nrandom"
    assert chart_style.wrapped("", 12, 3) == ""


@pytest.mark.parametrize("text", ["bigearthnet_v1_scnn_all" * 3, "x" * 200, "a " * 90, "_" * 90, "one two " * 20])
def test_names_that_are_too_long_keep_their_ends(text):
    lines = chart_style.wrapped(text, 12, 3).split("\n")
    assert len(lines) <= 3
    assert max(map(len, lines)) <= 12
    assert "…" in "".join(lines)
    assert lines[0][0] == text[0]
    assert lines[-1].strip()[-1] == text.strip()[-1]
