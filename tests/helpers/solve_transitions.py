"""How `transitions.json` was found: `python tests/helpers/solve_transitions.py` prints the counts as JSON.

The paper prints class counts per city and date (Table 2) and transitions over all five cities (Table 5), not
transitions per city. These are integers that agree with all of them at once.
"""

import json

import numpy as np
from scipy import optimize, sparse

from tfds_builders.mtsccd.names import CITIES, CLASSES
from tfds_builders.mtsccd.tables import CHANGED_PAIRS, TABLE_2, TABLE_5

CITY_NAMES = tuple(city.name for city in CITIES)
_MIXING_ROUNDS = 3000
_MILP_SECONDS = 60.0


def proportional_fit() -> np.ndarray:
    """Return real-valued pairs[city, class_t1, class_t2] by iterative proportional fitting to the published counts.

    It starts from equal shares of every transition, so that apart from the counts nothing tells one city from another.
    """
    total_ij = np.array(TABLE_5, dtype=np.float64)
    first_ci = np.array([TABLE_2[name, 1] for name in CITY_NAMES], dtype=np.float64)
    second_cj = np.array([TABLE_2[name, 2] for name in CITY_NAMES], dtype=np.float64)
    off_diagonal = ~np.eye(len(CLASSES), dtype=bool)
    fit_cij = np.repeat(total_ij[None], len(CITY_NAMES), axis=0)
    for _ in range(_MIXING_ROUNDS):
        for name, changed in CHANGED_PAIRS.items():
            city = CITY_NAMES.index(name)
            fit_cij[city, off_diagonal] *= changed / fit_cij[city, off_diagonal].sum()
        fit_cij *= (first_ci / fit_cij.sum(axis=2))[:, :, None]
        fit_cij *= (second_cj / fit_cij.sum(axis=1))[:, None, :]
        sum_ij = fit_cij.sum(axis=0)
        fit_cij *= np.divide(total_ij, sum_ij, out=np.zeros_like(total_ij), where=sum_ij > 0)
    return fit_cij


def solve_transitions() -> np.ndarray:
    """Return int64 pairs[city, class_t1, class_t2] that meet every published count, L1-nearest to a proportional fit.

    One integer variable for each cell that Table 5 leaves open and one real variable for its distance to the fit. The
    optimum is not unique: another version of the solver may return another vertex of the same cost.
    """
    fit_cij = proportional_fit()
    cell_n = np.argwhere(np.repeat((np.array(TABLE_5) > 0)[None], len(CITY_NAMES), axis=0))
    fit_n = fit_cij[tuple(cell_n.T)]
    selections: list[np.ndarray] = []
    totals: list[int] = []
    for city, name in enumerate(CITY_NAMES):
        for label in range(len(CLASSES)):
            selections += [(cell_n[:, 0] == city) & (cell_n[:, axis] == label) for axis in (1, 2)]
            totals += [TABLE_2[name, phase][label] for phase in (1, 2)]
        if name in CHANGED_PAIRS:
            selections.append((cell_n[:, 0] == city) & (cell_n[:, 1] != cell_n[:, 2]))
            totals.append(CHANGED_PAIRS[name])
    for first, second in {(int(i), int(j)) for _, i, j in cell_n}:
        selections.append((cell_n[:, 1] == first) & (cell_n[:, 2] == second))
        totals.append(TABLE_5[first][second])

    cells = len(cell_n)
    one = sparse.identity(cells, format="csr")
    counts = sparse.hstack(
        [sparse.csr_matrix(np.array(selections, dtype=np.float64)), sparse.csr_matrix((len(totals), cells))]
    )
    result = optimize.milp(
        c=np.concatenate([np.zeros(cells), np.ones(cells)]),
        integrality=np.concatenate([np.ones(cells), np.zeros(cells)]),
        bounds=optimize.Bounds(0, np.inf),
        constraints=[
            optimize.LinearConstraint(counts, totals, totals),
            optimize.LinearConstraint(sparse.hstack([one, -one]), -np.inf, fit_n),
            optimize.LinearConstraint(sparse.hstack([one, one]), fit_n, np.inf),
        ],
        options={"time_limit": _MILP_SECONDS, "mip_rel_gap": 1e-3},
    )
    assert result.x is not None, result.message
    pairs_cij = np.zeros(fit_cij.shape, dtype=np.int64)
    pairs_cij[tuple(cell_n.T)] = np.rint(result.x[:cells]).astype(np.int64)
    return pairs_cij


if __name__ == "__main__":
    print(json.dumps(dict(zip(CITY_NAMES, solve_transitions().tolist(), strict=True))))
