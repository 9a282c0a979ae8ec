import json

import numpy as np
import pytest

from tfds_builders.mtsccd import CITIES, TABLE_2, TABLE_5
from tfds_builders.synthetic.mtsccd import transitions


@pytest.fixture(scope="module")
def committed() -> np.ndarray:
    return transitions.load_transitions()


def test_every_published_count_holds_in_the_committed_solution(committed):
    assert committed.shape == (5, 10, 10)
    assert committed.min() >= 0
    assert committed.sum() == 32774
    for pairs_ij, city in zip(committed, CITIES, strict=True):
        assert tuple(pairs_ij.sum(axis=1)) == TABLE_2[city.name, 1]
        assert tuple(pairs_ij.sum(axis=0)) == TABLE_2[city.name, 2]
    assert (committed.sum(axis=0) == np.array(TABLE_5)).all()
    changed_of_city = {city.name: int(p.sum() - p.trace()) for p, city in zip(committed, CITIES, strict=True)}
    assert changed_of_city["hefei"] == 933
    assert changed_of_city["nanjing"] == 879
    assert sum(changed_of_city.values()) == 4759
    assert transitions.differences(committed) == []


def test_the_proportional_fit_meets_the_same_counts():
    fit = transitions.proportional_fit()
    for pairs_ij, city in zip(fit, CITIES, strict=True):
        np.testing.assert_allclose(pairs_ij.sum(axis=1), TABLE_2[city.name, 1], atol=1e-6)
        np.testing.assert_allclose(pairs_ij.sum(axis=0), TABLE_2[city.name, 2], atol=1e-6)
    np.testing.assert_allclose(fit.sum(axis=0), TABLE_5, atol=1e-6)


def test_every_city_changes_plausibly(committed):
    assert np.abs(committed - transitions.proportional_fit()).max() < 1
    pairs_c = committed.sum(axis=(1, 2))
    changed_c = pairs_c - np.trace(committed, axis1=1, axis2=2)
    assert ((changed_c / pairs_c > 0.05) & (changed_c / pairs_c < 0.25)).all()
    transitions_ij = committed.sum(axis=0)
    often = transitions_ij >= 10
    assert (committed.max(axis=0)[often] < 0.85 * transitions_ij[often]).all()
    assert ((committed > 0).sum(axis=0)[often] >= 2).all()


def test_solving_again_gives_an_equally_good_solution(committed):
    again = transitions.solve_transitions()
    fit = transitions.proportional_fit()
    assert transitions.differences(again) == []
    assert np.abs(again - fit).sum() == pytest.approx(np.abs(committed - fit).sum(), rel=0.01)


def test_without_time_solving_says_so():
    with pytest.raises(RuntimeError, match="no integer transitions found within 0 s"):
        transitions.solve_transitions(time_limit_s=0)


def test_differences_name_what_is_wrong(committed):
    wrong = committed.copy()
    wrong[4, 0, 0] -= 1
    wrong[4, 0, 1] += 1
    lines = " ".join(transitions.differences(wrong))
    assert "Table 2: hefei, date 2" in lines
    assert "hefei: 934 changed pairs instead of 933" in lines
    assert "Table 5" in lines
    negative = committed.copy()
    negative[0, 1, 2], negative[0, 1, 1] = -1, negative[0, 1, 1] + 1
    assert "a count is negative" in transitions.differences(negative)


def test_the_written_file_is_what_is_loaded(tmp_path, monkeypatch, committed):
    monkeypatch.setattr(transitions, "solve_transitions", lambda: committed)
    transitions.write_transitions(tmp_path / "t.json")
    pairs_of_city = json.loads((tmp_path / "t.json").read_text())["pairs"]
    assert [pairs_of_city[city.name] for city in CITIES] == committed.tolist()
    monkeypatch.setattr(transitions, "solve_transitions", lambda: committed + 1)
    with pytest.raises(RuntimeError, match="Table 2"):
        transitions.write_transitions(tmp_path / "wrong.json")
    assert not (tmp_path / "wrong.json").exists()
