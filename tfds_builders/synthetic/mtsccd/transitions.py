"""Which class turns into which, city by city: integers that agree with every published count at once.

The paper prints class counts per city and date (Table 2) and transitions over all five cities (Table 5), not
transitions per city. `transitions.json` holds one integer solution, `load_transitions()` returns it,
`solve_transitions()` finds such a solution again, and
`python -m tfds_builders.synthetic.mtsccd.transitions` rewrites it.
"""

import json
from importlib import resources
from pathlib import Path

import numpy as np

from tfds_builders.mtsccd import CHANGED_PAIRS, CITIES, CLASSES, TABLE_2, TABLE_5

DATA_FILE = "transitions.json"
CITY_NAMES: tuple[str, ...] = tuple(city.name for city in CITIES)
_MIXING_ROUNDS = 3000
_MILP_SECONDS = 60.0


def load_transitions() -> np.ndarray:
    """Return pairs[city, class_t1, class_t2], int64, shape (5, 10, 10), in the order of CITIES and CLASSES."""
    text = resources.files("tfds_builders.synthetic.mtsccd").joinpath(DATA_FILE).read_text(encoding="utf-8")
    pairs_of_city = json.loads(text)["pairs"]
    return np.array([pairs_of_city[name] for name in CITY_NAMES], dtype=np.int64)


def differences(pairs_cij: np.ndarray) -> list[str]:
    """Return one line for every published count that `pairs_cij` (city, class_t1, class_t2) does not meet."""
    lines = []
    for name, pairs_ij in zip(CITY_NAMES, pairs_cij, strict=True):
        for phase, axis in ((1, 1), (2, 0)):
            if pairs_ij.sum(axis=axis).tolist() != list(TABLE_2[name, phase]):
                lines.append(f"Table 2: {name}, date {phase}: {pairs_ij.sum(axis=axis).tolist()}")
        changed = int(pairs_ij.sum() - np.trace(pairs_ij))
        if changed != CHANGED_PAIRS.get(name, changed):
            lines.append(f"{name}: {changed} changed pairs instead of {CHANGED_PAIRS[name]}")
    if pairs_cij.sum(axis=0).tolist() != [list(row) for row in TABLE_5]:
        lines.append("Table 5: the sum over cities differs")
    if pairs_cij.min() < 0:
        lines.append("a count is negative")
    return lines


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


def solve_transitions(time_limit_s: float = _MILP_SECONDS) -> np.ndarray:
    """Return int64 pairs[city, class_t1, class_t2] that meet every published count, L1-nearest to a proportional fit.

    One integer variable for each cell that Table 5 leaves open and one real variable for its distance to the fit. The
    optimum is not unique: another version of the solver may return another vertex of the same cost.

    Raises:
        RuntimeError: the solver found no solution within `time_limit_s` seconds.
    """
    from scipy import optimize, sparse

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
        options={"time_limit": time_limit_s, "mip_rel_gap": 1e-3},
    )
    if result.x is None:
        raise RuntimeError(f"no integer transitions found within {time_limit_s:g} s: {result.message}")
    pairs_cij = np.zeros(fit_cij.shape, dtype=np.int64)
    pairs_cij[tuple(cell_n.T)] = np.rint(result.x[:cells]).astype(np.int64)
    return pairs_cij


def write_transitions(path: Path) -> None:
    """Solve the transitions and writes them to `path` as JSON, one matrix row a line.

    Raises:
        RuntimeError: the solution misses a published count (the solver's rounding failed).
    """
    pairs_cij = solve_transitions()
    if lines := differences(pairs_cij):
        raise RuntimeError("; ".join(lines))
    about = "pairs[city][class of date 1][class of date 2], labels 0 to 9; solved by transitions.py"
    blocks = []
    for name, pairs_ij in zip(CITY_NAMES, pairs_cij.tolist(), strict=True):
        rows = ",\n".join(f"      {json.dumps(row)}" for row in pairs_ij)
        blocks.append(f'    "{name}": [\n{rows}\n    ]')
    joined = ",\n".join(blocks)
    path.write_text(f'{{\n  "about": "{about}",\n  "pairs": {{\n{joined}\n  }}\n}}\n', encoding="utf-8")


if __name__ == "__main__":
    write_transitions(Path(__file__).with_name(DATA_FILE))
