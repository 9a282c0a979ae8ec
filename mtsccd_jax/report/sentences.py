"""Sentences that say what rows show, beside the trivial predictor and with their uncertainty, and no more."""

import math
from collections.abc import Callable, Sequence

from mtsccd_jax.report import naming, words
from mtsccd_jax.report.rows import CHANGE, Row
from mtsccd_jax.report.words import Run

# Fewer pairs than this leave intervals so wide that the sentence says so.
FEW_PAIRS = 200
# Runs that get sentences of their own at the top; of more, the best of each method does.
HEADLINE_RUNS = 4


def headline(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """What was run and what came out: (title of a run, its sentences), the title empty where there is only one run.

    Of more than HEADLINE_RUNS runs: the best of each method and split.
    """
    if len(runs) > HEADLINE_RUNS:
        return [("", best(runs))]
    groups = []
    for run in runs:
        sentences = [_sentence(repeats) for repeats in run.repeats]
        groups.append((f"{run.network}, {run.name}" if len(runs) > 1 else "", sentences))
    return groups


def best(runs: Sequence[Run]) -> list[str]:
    """The best run of each method on each test split, a sentence each, where there are too many for one each."""
    found: dict[tuple[str, str, int], list[list[Row]]] = {}
    for run in runs:
        for repeats in run.repeats:
            if repeats[0].split != "validation":
                # Splits of one name may be of different images, such as a random and an official one.
                row = repeats[0]
                found.setdefault((row.protocol, words.place(row), row.n), []).append(repeats)
    sentences = []
    titles: dict[tuple[str, str, int], str] = {}
    for protocol in dict.fromkeys(protocol for protocol, *_ in found):
        keys = [key for key in found if key[0] == protocol]
        told = naming.titles_apart([place for _, place, _ in keys], [found[key][0][0] for key in keys])
        titles |= dict(zip(keys, told, strict=True))
    for key, groups in found.items():
        protocol, place, _ = key
        metric = words.FIRST_METRIC[protocol]
        known = [group for group in groups if words.value_of(group[0], metric) is not None]
        if known:
            top = max(known, key=lambda group: _estimate(group, metric)[0])
            name = naming.network_among(top[0], [group[0] for group in known])
            text = _sentence(top).replace(place, titles[key], 1)
            of = f"Best of {len(known)}, {name}: " if len(known) > 1 else f"{name}: "
            sentences.append(of + text)
    return sentences


def _sentence(rows: Sequence[Row]) -> str:
    """What the rows of one protocol and split show; several are repetitions."""
    protocol = rows[0].protocol
    if protocol in CHANGE:
        return _change_sentence(rows)
    return {"scene": _scene_sentence, "multilabel": _label_sentence, "retrieval": _retrieval_sentence}[protocol](rows)


def _label_sentence(rows: Sequence[Row]) -> str:
    """What the rows of several labels an image show on one split; several are repetitions."""
    row = rows[0]
    value, spread = _estimate(rows, "ap_macro")
    text = (
        f"{words.place(row)}: average precision {words.number(value)}, mean of {len(row.class_names)} labels ({spread})"
    )
    if words.value_of(row, "f1_macro") is not None and words.value_of(row, "f1_micro") is not None:
        macro, micro = _estimate(rows, "f1_macro")[0], _estimate(rows, "f1_micro")[0]
        text += f"; F1 {words.number(macro)}, mean of labels, and {words.number(micro)} over all decisions"
    text += f"; {row.n:,} images."
    return text + _beside(rows, value, "ap_macro", "Scoring every label by its share of the images")


def _retrieval_sentence(rows: Sequence[Row]) -> str:
    """What the searches of one split show; several are repetitions."""
    row = rows[0]
    value, spread = _estimate(rows, "map")
    text = f"{words.place(row)}, {row.n:,} queries in {words.gallery(row)}: mAP {words.number(value)} ({spread})"
    for hits in (10, 5, 1):
        if words.value_of(row, f"precision_at_{hits}") is not None:
            share = words.percent(_estimate(rows, f"precision_at_{hits}")[0])
            text += f"; {share} of the first {f'{hits} hits' if hits > 1 else 'hits'} are relevant"
            break
    return f"{text}." + _beside(rows, value, "map", "A random order")


def _beside(rows: Sequence[Row], value: float, metric: str, what: str) -> str:
    """How a value stands to that of the trivial predictor, in one sentence; empty where there is none."""
    trivial = (rows[0].baseline or {}).get(metric)
    if trivial is None:
        return ""
    low, high = rows[0].metrics[metric]["low"], rows[0].metrics[metric]["high"]
    text = f" {what} would give {words.number(trivial)}"
    if len(rows) == 1 and low is not None and high is not None and low <= trivial <= high:
        return f"{text}, which the interval contains: the network may do no better."
    return f"{text}." if value > trivial else f"{text}: the network does worse than that."


def _scene_sentence(rows: Sequence[Row]) -> str:
    """What the scene rows of one split show; several are repetitions."""
    row = rows[0]
    where = words.place(row)
    value, spread = _estimate(rows, "oa", words.percent)
    text = f"On {where} the land use of {words.percent(value)} of {row.n:,} scenes is named correctly ({spread})"
    kappa = words.value_of(row, "kappa")
    text += f"; kappa {_estimate(rows, 'kappa')[0]:.3f}." if kappa is not None else "."
    trivial = (row.baseline or {}).get("oa")
    if trivial is not None:
        text += f" Always naming the most frequent class would score {words.percent(trivial)}"
        low, high = row.metrics["oa"]["low"], row.metrics["oa"]["high"]
        if len(rows) == 1 and low is not None and high is not None and low <= trivial <= high:
            text += ", which the interval contains: the network may do no better."
        else:
            text += "." if value > trivial else ": the network does worse than that."
    return text


def _change_sentence(rows: Sequence[Row]) -> str:
    """What the change rows of one method and split show beside the trivial predictor; several are repetitions."""
    row = rows[0]
    where, method = words.place(row), words.method_name(row.protocol)
    (_, fp), (fn, tp) = row.confusion
    if len(rows) == 1 and not fp + tp:
        why = "no pair is called changed"
        if row.protocol in words.BY_DISTANCE and row.threshold is None:
            why = "no threshold did better on validation than calling nothing changed"
        return f"{method} on {where}: {why}, so all {fn + tp:,} changed pairs of {row.n:,} are missed."
    kappa, spread = _estimate(rows, "kappa")
    text = f"{method} on {where}: kappa {words.number(kappa)} ({spread})"
    if len(rows) == 1:
        text += f"; it calls {fp + tp:,} of {row.n:,} pairs changed and finds {tp:,} of the {fn + tp:,} that are"
    text += "."
    if row.n < FEW_PAIRS:
        text += f" {row.n:,} pairs are few: such an interval settles little."
    entry = row.metrics.get("kappa", {})
    low, high = entry.get("low"), entry.get("high")
    if len(rows) == 1 and low is not None and high is not None and low <= 0.0:
        text += (
            " That is worse than chance."
            if high < 0.0
            else " The interval contains 0: it may be no better than chance."
        )
    return text + _against_trivial(rows)


def _against_trivial(rows: Sequence[Row]) -> str:
    """How the overall accuracy stands to that of never saying "changed", in one sentence."""
    row = rows[0]
    trivial = (row.baseline or {}).get("oa")
    oa = row.metrics.get("oa")
    if trivial is None or not oa or oa["value"] is None:
        return ""
    value = _estimate(rows, "oa")[0]
    never = f"that of never saying “changed” ({trivial:.3f})"
    text = f" Its overall accuracy, {value:.3f}, is "
    if len(rows) == 1 and oa["low"] is not None and oa["high"] is not None and oa["low"] <= trivial <= oa["high"]:
        return f"{text}not distinguishable from {never}."
    if value > trivial:
        return f"{text}above {never}."
    return f"{text}below {never}: the trivial answer wins by this measure, so judge by kappa and F1."


def _estimate(rows: Sequence[Row], metric: str, show: Callable[[float], str] = words.number) -> tuple[float, str]:
    """(value, what is known of its spread): the 95 % interval of one row, mean and standard deviation over seeds."""
    values = [value for row in rows if (value := words.value_of(row, metric)) is not None]
    if not values:
        return math.nan, "not known"
    mean, deviation = words.mean_std(values)
    if deviation is not None:
        return mean, f"mean of {len(values)} runs, standard deviation {show(deviation)}"
    low, high = rows[0].metrics[metric]["low"], rows[0].metrics[metric]["high"]
    return mean, "no interval" if low is None or high is None else f"95\u202f% interval {show(low)} to {show(high)}"
