"""The result tables of the MtSCCD paper, and whether an (overall accuracy, kappa) pair can exist at all.

For a binary confusion matrix with overall accuracy OA the chance agreement is at least (1 - (1-OA)^2) / 2, whatever the
share of changed pairs, so kappa <= OA^2 / (1 + (1-OA)^2). Sixteen of the 46 kappas of Table 7 are above that. Where the
number of pairs and of changed pairs is known the check is exact: either some integer table prints as both four-digit
numbers or none does.
"""

import functools
from dataclasses import dataclass
from typing import Literal

import numpy as np

Rounding = Literal["nearest", "down"]
Table = tuple[int, int, int, int]

SOURCE_TABLE_6 = "MtSCCD paper, Table 6"
SOURCE_TABLE_7 = "MtSCCD paper, Table 7"

# Printed values have four decimals (Table 6: per cent with two), so everything is decided on integers of 1/10,000.
UNITS = 10_000

# split -> (pairs, changed pairs). Pairs: Table 4. Changed pairs are not printed; they follow from Table 7, whose
# all-unchanged entries have OA 4,145/5,078 and 4,183/5,062, and are the counts at which most of its other entries have
# an integer table.
PAIRS_CHANGED: dict[str, tuple[int, int]] = {"test_a": (5078, 933), "test_b": (5062, 879)}
# split -> scenes (Table 3)
SCENES: dict[str, int] = {"test_a": 10156, "test_b": 10124}

# Table 6: overall accuracy in per cent on (test A Hefei, test B Nanjing).
TABLE_6: dict[str, tuple[float, float]] = {
    "AlexNet": (63.17, 62.37),
    "VGG16": (72.41, 69.77),
    "VGG19": (74.03, 70.17),
    "GoogLeNet": (70.09, 69.68),
    "ResNet18": (70.37, 70.27),
    "ResNet50": (71.69, 71.47),
    "ResNet101": (71.96, 71.93),
    "DenseNet": (76.95, 75.99),
    "EfficientNet": (73.20, 73.52),
    "SENet": (74.76, 74.25),
    "ViT": (71.81, 69.59),
    "SwinT": (76.74, 72.61),
}

# Table 7: (method, model) -> (OA A, kappa A, OA B, kappa B).
TABLE_7: dict[tuple[str, str], tuple[float, float, float, float]] = {
    ("cdc_1", "AlexNet"): (0.6122, 0.2494, 0.6304, 0.2357),
    ("cdc_1", "VGG19"): (0.6268, 0.2508, 0.6557, 0.2633),
    ("cdc_1", "GoogLeNet"): (0.6327, 0.2623, 0.6367, 0.2320),
    ("cdc_1", "ResNet101"): (0.6788, 0.3209, 0.6993, 0.3233),
    ("cdc_1", "DenseNet"): (0.7637, 0.7464, 0.7778, 0.7640),
    ("cdc_1", "EfficientNet"): (0.7363, 0.7155, 0.7513, 0.7345),
    ("cdc_1", "SENet"): (0.7420, 0.7221, 0.7452, 0.7275),
    ("cdc_1", "SwinT"): (0.7759, 0.4588, 0.7596, 0.4116),
    ("cdc_1", "ViT"): (0.6004, 0.2174, 0.6586, 0.2529),
    ("cdc_2", "AlexNet"): (0.6881, 0.2780, 0.6812, 0.3039),
    ("cdc_2", "VGG19"): (0.7302, 0.3812, 0.7495, 0.3890),
    ("cdc_2", "GoogLeNet"): (0.6958, 0.3002, 0.6479, 0.2688),
    ("cdc_2", "ResNet101"): (0.6685, 0.2790, 0.6329, 0.2644),
    ("cfsm", "AlexNet"): (0.7808, 0.2313, 0.8248, 0.3687),
    ("cfsm", "VGG19"): (0.7674, 0.1669, 0.7966, 0.2475),
    ("cfsm", "GoogLeNet"): (0.8062, 0.3661, 0.7861, 0.2747),
    ("cfsm", "ResNet101"): (0.8620, 0.4516, 0.8469, 0.3707),
    ("cfsm", "DenseNet"): (0.8163, 0.8163, 0.8251, 0.8251),
    ("cfsm", "EfficientNet"): (0.8163, 0.8163, 0.8264, 0.8264),
    ("cfsm", "SENet"): (0.8322, 0.8266, 0.8556, 0.8515),
    ("cfsm", "SwinT"): (0.8775, 0.8735, 0.8820, 0.8774),
    ("cfsm", "ViT"): (0.8163, 0.8163, 0.8264, 0.8164),
    ("sscd", "VGG16"): (0.8533, 0.5202, 0.8196, 0.4675),
}

# Table 7: the similarity threshold chosen on validation. The paper does not say how distances were brought to [0, 1].
TABLE_7_THRESHOLDS: dict[tuple[str, str], float] = {
    ("cfsm", "AlexNet"): 0.3428,
    ("cfsm", "VGG19"): 0.3461,
    ("cfsm", "GoogLeNet"): 0.3567,
    ("cfsm", "ResNet101"): 0.2847,
    ("cfsm", "DenseNet"): 0.5072,
    ("cfsm", "EfficientNet"): 0.4525,
    ("cfsm", "SENet"): 0.5063,
    ("cfsm", "SwinT"): 0.5191,
    ("cfsm", "ViT"): 0.7765,
    ("sscd", "VGG16"): 0.5159,
}

METHOD_NAMES: dict[str, str] = {"cdc_1": "CDC_1", "cdc_2": "CDC_2", "cfsm": "CFSM", "sscd": "SSCD"}

# Names of networks, in lower case without punctuation -> the paper's name of the network that it used (section 3.2).
PAPER_NAMES: dict[str, str] = {
    "alexnet": "AlexNet",
    "vgg16": "VGG16",
    "vgg19": "VGG19",
    "googlenet": "GoogLeNet",
    "resnet18": "ResNet18",
    "resnet50": "ResNet50",
    "resnet101": "ResNet101",
    "densenet": "DenseNet",
    "densenet201": "DenseNet",
    "efficientnet": "EfficientNet",
    "efficientnetb0": "EfficientNet",
    "senet": "SENet",
    "seresnet50": "SENet",
    "vit": "ViT",
    "vitb16": "ViT",
    "swint": "SwinT",
    "swintiny": "SwinT",
}

_COLUMNS: dict[str, int] = {"test_a": 0, "test_b": 1}


@dataclass(frozen=True)
class Published:
    """One published value. `dataclasses.asdict` of it is the row's `published`.

    Attributes:
        source: Paper and table.
        model: The paper's name of the network.
        oa: Overall accuracy in [0, 1].
        kappa: Cohen's kappa, or None where the table has none.
        threshold: The printed threshold, or None.
        possible: Whether any binary confusion matrix has this OA and kappa.
        reason: Why, in one sentence.
    """

    source: str
    model: str
    oa: float
    kappa: float | None
    threshold: float | None
    possible: bool
    reason: str


@dataclass(frozen=True)
class Audit:
    """What can be said of one entry of Table 7.

    Attributes:
        method: "cdc_1", "cdc_2", "cfsm" or "sscd".
        model: The paper's name of the network.
        split: "test_a" or "test_b".
        oa: Printed overall accuracy.
        kappa: Printed kappa.
        bound: The largest kappa of any binary table with this overall accuracy.
        possible: Whether the kappa is within the bound.
        all_unchanged: Whether the overall accuracy is that of never saying "changed".
        tables: Every (tn, fp, fn, tp) with the split's counts that prints as both numbers, rounded to the nearest.
    """

    method: str
    model: str
    split: str
    oa: float
    kappa: float
    bound: float
    possible: bool
    all_unchanged: bool
    tables: tuple[Table, ...]

    @property
    def reason(self) -> str:
        """Why the entry is possible or not, in one sentence."""
        if not self.possible:
            reason = f"kappa {self.kappa:.4f} is above {self.bound:.4f}, the most this OA allows in any two-class table"
            return reason + ("; the OA is that of never saying 'changed'" if self.all_unchanged else "")
        pairs, changed = PAIRS_CHANGED[self.split]
        if len(self.tables) == 1:
            tn, fp, fn, tp = self.tables[0]
            return f"only one table fits: TN {tn}, FP {fp}, FN {fn}, TP {tp}"
        if self.tables:
            return f"{len(self.tables)} tables fit"
        return f"within the bound, but no table of {pairs:,} pairs with {changed} changed rounds to both numbers"


def paper_name(model: str) -> str | None:
    """The paper's name of a network ("vit_b16" -> "ViT"), or None if the paper has no such network."""
    return PAPER_NAMES.get("".join(c for c in model.lower() if c.isalnum()))


def scene(model: str, split: str) -> Published | None:
    """The entry of Table 6 (scene classification), or None where the paper has none.

    Args:
        model: The paper's or this project's name of a network.
        split: "test_a" or "test_b"; any other split has no published value.
    """
    name = paper_name(model)
    if name not in TABLE_6 or split not in _COLUMNS:
        return None
    oa = TABLE_6[name][_COLUMNS[split]] / 100
    return Published(SOURCE_TABLE_6, name, round(oa, 4), None, None, True, "only the overall accuracy is published")


def change(method: str, model: str, split: str) -> Published | None:
    """The entry of Table 7 (change detection), or None where the paper has none.

    Args:
        method: "cdc_1", "cdc_2", "cfsm" or "sscd".
        model: The paper's or this project's name of a network.
        split: "test_a" or "test_b"; any other split has no published value.
    """
    name = paper_name(model)
    for entry in audit():
        if (entry.method, entry.model, entry.split) == (method, name, split):
            return Published(
                source=SOURCE_TABLE_7,
                model=entry.model,
                oa=entry.oa,
                kappa=entry.kappa,
                threshold=TABLE_7_THRESHOLDS.get((method, entry.model)),
                possible=entry.possible,
                reason=entry.reason,
            )
    return None


def kappa_bound(oa: float) -> float:
    """The largest Cohen's kappa of any binary confusion matrix with this overall accuracy: OA^2 / (1 + (1-OA)^2).

    Raises:
        ValueError: `oa` is outside [0, 1].
    """
    if not 0.0 <= oa <= 1.0:
        raise ValueError(f"overall accuracy must lie in [0, 1], got {oa}")
    return oa**2 / (1 + (1 - oa) ** 2)


def kappa_lower_bound(oa: float) -> float:
    """The smallest Cohen's kappa of any binary confusion matrix with this overall accuracy: -(1-OA) / (1+OA).

    Raises:
        ValueError: `oa` is outside [0, 1].
    """
    if not 0.0 <= oa <= 1.0:
        raise ValueError(f"overall accuracy must lie in [0, 1], got {oa}")
    return -(1 - oa) / (1 + oa)


def is_possible(oa: float, kappa: float, n: int | None = None, positives: int | None = None) -> bool:
    """Whether some binary confusion matrix prints as this overall accuracy and kappa.

    Printed means rounded to the nearest 1/10,000 or cut off there, both numbers alike. Without `n` and `positives` the
    bounds on kappa decide, widened by what printing hides; with both the answer is exact.

    Args:
        oa: Overall accuracy in [0, 1], four decimals.
        kappa: Cohen's kappa in [-1, 1], four decimals.
        n: Number of examples, if known; `oa` must then be some count over n.
        positives: Number of truly positive (changed) examples, if known.

    Raises:
        ValueError: A number outside its range, or `positives` without `n`.
    """
    if not -1.0 <= kappa <= 1.0:
        raise ValueError(f"kappa must lie in [-1, 1], got {kappa}")
    if positives is not None and n is None:
        raise ValueError("positives without n says nothing: give the number of examples as well")
    half = 0.5 / UNITS
    below = kappa - half <= kappa_bound(min(oa + 2 * half, 1.0))
    above = kappa + 2 * half >= kappa_lower_bound(max(oa - half, 0.0))
    if not (below and above):
        return False
    if n is None:
        return True
    if positives is None:
        return any(_errors(oa, n, rounding) for rounding in ("nearest", "down"))
    return any(integer_tables(oa, kappa, n, positives, rounding) for rounding in ("nearest", "down"))


def integer_tables(
    oa: float, kappa: float, n: int, positives: int, rounding: Rounding = "nearest"
) -> tuple[Table, ...]:
    """Every (tn, fp, fn, tp) of n examples with these positives that prints as this OA and kappa, by rising fp.

    Args:
        oa: Overall accuracy, four decimals.
        kappa: Cohen's kappa, four decimals.
        n: Number of examples, 1 to 1,000,000.
        positives: Truly positive examples, 0 to n.
        rounding: Printed to the "nearest" 1/10,000 (a tie may go either way) or cut off "down" towards zero.

    Raises:
        ValueError: `n` or `positives` outside its range.
    """
    if not 0 <= positives <= n:
        raise ValueError(f"positives must lie in 0 .. {n}, got {positives}")
    found: list[Table] = []
    for errors in _errors(oa, n, rounding):
        fn = np.arange(max(0, errors - (n - positives)), min(errors, positives) + 1, dtype=np.int64)[::-1]
        fp, tp = errors - fn, positives - fn
        tn = n - positives - fp
        # Kappa as a ratio of integers; 0/0 where truth and prediction are one and the same class throughout.
        numerator = 2 * (tp * tn - fp * fn)
        denominator = (tp + fp) * (fp + tn) + (tp + fn) * (fn + tn)
        fits = _prints_as(numerator, denominator, kappa, rounding)
        found += [(int(tn[i]), int(fp[i]), int(fn[i]), int(tp[i])) for i in np.flatnonzero(fits)]
    return tuple(sorted(found, key=lambda table: table[1]))


@functools.cache
def audit() -> tuple[Audit, ...]:
    """All 46 entries of Table 7 with what can be said of each, in the order of the paper."""
    entries = []
    for (method, model), values in TABLE_7.items():
        for split, column in _COLUMNS.items():
            oa, kappa = values[2 * column : 2 * column + 2]
            pairs, changed = PAIRS_CHANGED[split]
            entries.append(
                Audit(
                    method=method,
                    model=model,
                    split=split,
                    oa=oa,
                    kappa=kappa,
                    bound=kappa_bound(oa),
                    possible=is_possible(oa, kappa),
                    all_unchanged=changed in _errors(oa, pairs, "nearest"),
                    tables=integer_tables(oa, kappa, pairs, changed),
                )
            )
    return tuple(entries)


def _errors(oa: float, n: int, rounding: Rounding) -> list[int]:
    """Every number of errors among n examples whose overall accuracy prints as `oa`."""
    if not 1 <= n <= 1_000_000:
        raise ValueError(f"n must lie in 1 .. 1,000,000, got {n}")
    if not 0.0 <= oa <= 1.0:
        raise ValueError(f"overall accuracy must lie in [0, 1], got {oa}")
    correct = np.arange(max(0, int((oa - 2 / UNITS) * n)), min(n, int((oa + 2 / UNITS) * n) + 1) + 1, dtype=np.int64)
    return [int(n - c) for c in correct[_prints_as(correct, np.full_like(correct, n), oa, rounding)]][::-1]


def _prints_as(numerator: np.ndarray, denominator: np.ndarray, value: float, rounding: Rounding) -> np.ndarray:
    """Where numerator/denominator prints as the four-digit `value`, in integers; never where the denominator is 0."""
    units = round(value * UNITS)
    scaled = numerator * UNITS
    if rounding == "nearest":
        fits = 2 * np.abs(scaled - units * denominator) <= denominator
    else:
        fits = np.sign(scaled) * (np.abs(scaled) // np.maximum(denominator, 1)) == units
    return fits & (denominator > 0)
