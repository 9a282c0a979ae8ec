"""Decisions of the audit on random tables, consistent and not, against mlscorecheck.

    python benchmarks/audit_peers.py [--cases 300] [--seed 0] [--out FILE]

Of each kind half the cases print scores of a random table with four decimals; in the other half one score is that of
another table, or is moved by up to 0.02. Both sides get the same counts and scores. mlscorecheck (1.0) knows scores
that are rounded alone, so what the audit accepts only as cut off counts as refused. Of several classes it takes each
class for itself, so it may accept what no confusion matrix has. Where the two differ, every table is tried in exact
arithmetic, and the result says how often that agrees with us.
"""

import itertools
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from importlib.metadata import version
from typing import Any

import numpy as np
from record import chosen, make_parser, peer, publish

from mtsccd_jax.report.published.confusion_feasibility import integer_tables
from mtsccd_jax.report.published.scores_feasibility import Scores, decide, exact_scores

EPS = 5e-5  # half of the last decimal
Check = Callable[..., dict[str, Any]]
Decisions = tuple[bool | None, bool, dict[str, float], list[int]]  # ours, theirs, printed scores, class counts

# Name of a score here -> there.
THERE = {
    "oa": "acc",
    "kappa": "kappa",
    "precision_micro": "ppv",
    "recall_micro": "sens",
    "f1_micro": "f1p",
    "recall_macro": "sens",
}


def random_classes(random: np.random.Generator, k: int, most: int) -> np.ndarray:
    """Return tp, fp and fn of every class of a random confusion matrix, (k, 3)."""
    confusion = random.integers(0, most // k**2 + 2, (k, k)) + np.diag(random.integers(1, most // k, k))
    hits = np.diag(confusion)
    return np.stack([hits, confusion.sum(0) - hits, confusion.sum(1) - hits], 1)


def random_labels(random: np.random.Generator, k: int, most: int) -> np.ndarray:
    """Return tp, fp and fn of every one of k labels, (k, 3)."""
    return random.integers(1, most // 3, (k, 3))


def printed(random: np.random.Generator, names: Sequence[str], made: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """Return the scores of a table as printed; in half the cases one of them is wrong."""
    own, others = (exact_scores(*table.T.tolist())[0] for table in (made, other))
    scores = {name: round(float(own[name]), 4) for name in names}
    if random.random() < 0.5:
        name = str(random.choice(names))
        moved = float(others[name]) if random.random() < 0.3 else scores[name] + random.uniform(-0.02, 0.02)
        scores[name] = round(float(np.clip(moved, 0, 1)), 4)
    return scores


def is_accepted(scores: Scores) -> bool | None:
    """Return whether the audit finds a table that rounds to the scores; None where it does not decide."""
    state, reason = decide(scores)
    return None if state == "not_decided" else state == "possible" and not reason


def two_classes(random: np.random.Generator, binary: Any) -> Decisions:
    """Return the decisions of both on overall accuracy and kappa of two classes."""
    made, other = (random_classes(random, 2, 400) for _ in range(2))
    scores = printed(random, ("oa", "kappa"), made, other)
    _, (tp, fp, fn) = made
    n, positives = int(made[:, 0].sum() + fp + fn), int(tp + fn)
    ours = bool(integer_tables(scores["oa"], scores["kappa"], n, positives))
    there = {THERE[name]: value for name, value in scores.items()}
    theirs = accepts(binary.check_1_testset_no_kfold, testset={"p": positives, "n": n - positives}, scores=there)
    return ours, theirs, scores, [n - positives, positives]


def classes(names: Sequence[str], check: Check, random: np.random.Generator) -> Decisions:
    """Return the decisions of both on scores of several classes."""
    k = int(random.integers(3, 7)) if len(names) > 1 else 3
    made, other = (random_classes(random, k, 300 if len(names) > 1 else 40) for _ in range(2))
    scores, counts = printed(random, names, made, other), (made[:, 0] + made[:, 2]).tolist()
    ours = is_accepted(Scores(k=k, several=False, n=sum(counts), counts=tuple(counts), values=scores))
    return ours, accepts(check, testset=dict(enumerate(counts)), scores=scores_there(scores)), scores, counts


def labels(names: Sequence[str], check: Check, random: np.random.Generator) -> Decisions:
    """Return the decisions of both on scores of several labels; there each label is a test set."""
    k, n = (int(random.integers(2, 7)), 200) if len(names) > 1 else (2, 60)
    made, other = (random_labels(random, k, n) for _ in range(2))
    scores, counts = printed(random, names, made, other), (made[:, 0] + made[:, 2]).tolist()
    ours = is_accepted(Scores(k=k, several=True, n=n, counts=tuple(counts), values=scores))
    sets = [{"p": count, "n": n - count} for count in counts]
    return ours, accepts(check, testsets=sets, scores=scores_there(scores)), scores, counts


def some_table_fits(scores: dict[str, float], counts: Sequence[int]) -> bool:
    """Return whether some table of these class counts rounds to the scores, by trying all hits of all classes."""
    every = itertools.product(*(range(count + 1) for count in counts))
    return any(all(rounds_to(exact(name, hits, counts), value) for name, value in scores.items()) for hits in every)


def exact(name: str, hits: Sequence[int], counts: Sequence[int]) -> Fraction:
    """Return macro recall, or overall accuracy or kappa of two classes, from the hits of each class."""
    if name == "recall_macro":
        return sum(map(Fraction, hits, counts), Fraction(0)) / len(counts)
    n, right = sum(counts), sum(hits)
    if name == "oa":
        return Fraction(right, n)
    predicted = hits[0] + counts[1] - hits[1], hits[1] + counts[0] - hits[0]
    chance = sum(map(int.__mul__, predicted, counts))
    return Fraction(n * right - chance, n * n - chance) if n * n > chance else Fraction(0)


def rounds_to(value: Fraction, printed: float) -> bool:
    """Return whether a value is printed so, with four decimals; a tie may go either way."""
    return abs(value * 10_000 - round(printed * 10_000)) <= Fraction(1, 2)


def scores_there(scores: dict[str, float]) -> dict[str, float]:
    """Return the scores under the names of mlscorecheck."""
    there = {THERE[name]: value for name, value in scores.items()}
    # It needs a score of the negatives; perfect specificity is possible beside any recall.
    return there | {"spec": 1.0} if "recall_macro" in scores else there


def accepts(check: Check, **given: Any) -> bool:
    """Return whether mlscorecheck finds the scores consistent."""
    with silent_output():
        return not check(**given, eps=EPS)["inconsistency"]


@contextmanager
def silent_output() -> Iterator[None]:
    """Drop what the peer's solver prints on standard output."""
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def main() -> None:
    arguments = make_parser(__doc__, rounds=None, cases=300, seed=0).parse_args()
    checks = peer("mlscorecheck.check", "mlscorecheck")
    logging.disable(logging.INFO)
    binary, multiclass = checks.binary, checks.multiclass
    micro = ("precision_micro", "recall_micro", "f1_micro")
    kinds: dict[str, Callable[[np.random.Generator], Decisions]] = {
        "two classes: OA and kappa": lambda random: two_classes(random, binary),
        "classes: micro": lambda random: classes(micro, multiclass.check_1_testset_no_kfold_micro, random),
        "classes: macro recall": lambda random: classes(
            ("recall_macro",), multiclass.check_1_testset_no_kfold_macro, random
        ),
        "labels: micro": lambda random: labels(micro, binary.check_n_testsets_som_no_kfold, random),
        "labels: macro recall": lambda random: labels(("recall_macro",), binary.check_n_testsets_mos_no_kfold, random),
    }
    result: dict[str, Any] = {"benchmark": "audit_peers", **chosen(arguments, "cases", "seed"), "kinds": {}}
    result["mlscorecheck"] = version("mlscorecheck")
    for kind, decisions in kinds.items():
        random, start = np.random.default_rng(arguments.seed), time.perf_counter()
        cases = [decisions(random) for _ in range(arguments.cases)]
        pairs = Counter((ours, theirs) for ours, theirs, *_ in cases)
        disputed = [case for case in cases if case[0] not in (None, case[1])]
        counted = {
            "both_accept": pairs[True, True],
            "both_refuse": pairs[False, False],
            "only_we_accept": pairs[True, False],
            "only_they_accept": pairs[False, True],
            "we_do_not_decide": pairs[None, True] + pairs[None, False],
            "of_disputes_ours_is_right": sum(some_table_fits(*case[2:]) == case[0] for case in disputed),
        }
        result["kinds"][kind] = counted
        print(f"{kind:28} {counted} in {time.perf_counter() - start:.0f} s", file=sys.stderr)
    publish(result, arguments.out)


if __name__ == "__main__":
    main()
