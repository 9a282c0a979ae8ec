"""The numbers of shift against their definitions, by scikit-learn and by loops."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, cohen_kappa_score

from mtsccd_jax.ops.metrics import BINARY_METRICS
from mtsccd_jax.ops.paired_tests import paired_difference, resampled_metrics
from mtsccd_jax.tasks.shift.dates import dates_of
from mtsccd_jax.tasks.shift.measure import measure

CITIES = ("a", "b", "c")
SCORES = {"oa": accuracy_score, "kappa": cohen_kappa_score}


@pytest.fixture(scope="module")
def made_up():
    """Truth, predictions of three networks and city of 600 scenes; a network is worse in the city it does not know."""
    random = np.random.default_rng(0)
    truth, city = random.integers(4, size=600), random.integers(3, size=600)
    right = np.stack([random.random(600) < np.where(city == f, 0.5 + 0.1 * f, 0.8) for f in range(3)])
    return truth, np.where(right, truth, random.integers(4, size=(3, 600))), city


def test_values_are_those_of_the_definition(made_up):
    truth, predicted, city = made_up
    measured = measure(truth, predicted, city, CITIES, 4, resamples=50, seed=0)
    for metric, score in SCORES.items():
        table = np.array([[score(truth[city == c], predicted[f, city == c]) for c in range(3)] for f in range(3)])
        outside = [table[c, c] for c in range(3)]
        inside = [np.mean([table[f, c] for f in range(3) if f != c]) for c in range(3)]
        wanted = {"in_city": np.mean(inside), "out_of_city": np.mean(outside), "worst_city": min(outside)}
        wanted["gap"] = wanted["next_city"] = wanted["in_city"] - wanted["out_of_city"]
        gaps = np.subtract(inside, outside)
        ends = stats.t.interval(0.95, df=2, loc=gaps.mean(), scale=gaps.std(ddof=1) * np.sqrt(1 + 1 / 3))
        assert measured.intervals[f"next_city_{metric}"] == pytest.approx(ends)
        assert measured.intervals[f"worst_city_{metric}"] is None
        for part, value in wanted.items():
            assert measured.values[f"{part}_{metric}"] == pytest.approx(value, abs=1e-12)
        for name, own_in, own_out in zip(CITIES, inside, outside, strict=True):
            found = [measured.values[f"{part}_{metric}_{name}"] for part in ("in_city", "out_of_city", "gap")]
            assert found == pytest.approx([own_in, own_out, own_in - own_out], abs=1e-12)
    assert (measured.n, measured.confusion.size) == (600, 0)
    assert measured.baseline["out_of_city_oa"] == pytest.approx(
        np.mean([np.bincount(truth[city == c]).max() / (city == c).sum() for c in range(3)])
    )


def test_intervals_are_those_of_resampled_cities_and_scenes(made_up):
    """The same by drawing cities and their scenes one by one."""
    truth, predicted, city = made_up
    measured = measure(truth, predicted, city, CITIES, 4, resamples=2000, seed=1)
    random, gaps, of_b = np.random.default_rng(5), [], []
    members = [np.flatnonzero(city == c) for c in range(3)]
    for _ in range(1000):
        own = []
        for c in random.integers(3, size=3):
            drawn = random.choice(members[c], len(members[c]))
            right = (predicted[:, drawn] == truth[drawn]).mean(1)
            own.append((right.sum() - right[c]) / 2 - right[c])
        gaps.append(np.mean(own))
        drawn = random.choice(members[1], len(members[1]))
        of_b.append((predicted[1, drawn] == truth[drawn]).mean())
    np.testing.assert_allclose(measured.intervals["gap_oa"], np.quantile(gaps, [0.025, 0.975]), atol=0.015)
    np.testing.assert_allclose(measured.intervals["out_of_city_oa_b"], np.quantile(of_b, [0.025, 0.975]), atol=0.015)
    low, high = measured.intervals["gap_oa"]
    assert 0 < low < measured.values["gap_oa"] < high


def test_equal_networks_have_no_gap(made_up):
    truth, predicted, city = made_up
    measured = measure(truth, np.stack([predicted[0]] * 3), city, CITIES, 4, resamples=30, seed=0)
    gaps = {name: value for name, value in measured.values.items() if name.startswith("gap_")}
    np.testing.assert_allclose([(value, *measured.intervals[name]) for name, value in gaps.items()], 0, atol=1e-12)


def test_resampled_metrics_belong_together(made_up):
    truth, predicted, _ = made_up
    found = resampled_metrics(truth, predicted[:2], 4, resamples=200, seed=3)
    assert set(found) == set(BINARY_METRICS)
    assert {value.shape for value in found.values()} == {(2, 201)}
    for metric, score in SCORES.items():
        np.testing.assert_allclose(found[metric][:, 0], [score(truth, own) for own in predicted[:2]], atol=1e-12)
        difference = paired_difference(truth, *predicted[:2], classes=4, metric=metric, resamples=200, seed=3)
        assert abs(difference.value - np.subtract(*found[metric][:, 0])) < 1e-12
    with pytest.raises(ValueError, match="classes must be at least 2, got 1"):
        resampled_metrics([0], [[0]], 1)
    with pytest.raises(ValueError, match=r"predicted_mn\[1\] is 2|predicted_mn\[1\]\[0\] is 2"):
        resampled_metrics([0], [[0], [2]], 2)


@pytest.mark.parametrize("of_pairs", [False, True])
def test_dates_are_compared_in_the_year_and_in_time(of_pairs):
    city = np.array([0, 0, 1, 1, 2])
    t1 = np.array(["201501", "201502", "201512", "201512", "201006"])
    t2 = np.array(["202006", "202008", "202012", "202101", "202106"])
    arrays = {"date_t1": t1, "date_t2": t2} if of_pairs else {"date": t1}

    def months(text):
        return 12 * int(text[:4]) + int(text[4:])

    def of_year(a, b):
        return min((months(a) - months(b)) % 12, (months(b) - months(a)) % 12)

    found = dates_of(arrays, city, 3)
    for c, own in enumerate(found):
        mine = [d for values in arrays.values() for d in values[city == c]]
        others = [d for values in arrays.values() for d in values[city != c]]
        assert own.season_gap == pytest.approx(np.mean([min(of_year(a, b) for b in others) for a in mine]))
        assert own.date_gap == pytest.approx(np.mean([min(abs(months(a) - months(b)) for b in others) for a in mine]))
        assert (own.first.replace("-", ""), own.last.replace("-", "")) == (min(mine), max(mine))
        between = np.mean([of_year(a, b) for a, b in zip(t1[city == c], t2[city == c], strict=True)])
        assert own.between == (pytest.approx(between) if of_pairs else None)
    assert dates_of({}, city, 3) is None
