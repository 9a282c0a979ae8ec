"""Tables 5, 6 and 7 of the MtSCCD paper.

Sixteen of the 46 kappas of Table 7 are above the most that their overall accuracy allows in any two-class confusion
matrix (`confusion_feasibility`). Eight more keep that bound, but no matrix of the pairs and changed pairs of their test
set prints as both numbers, rounded or cut off. Five entries have exactly the overall accuracy of never predicting
"changed".
"""

import functools
from dataclasses import dataclass

from mtsccd_jax.report.published.confusion_feasibility import Feasibility, feasibility
from mtsccd_jax.report.published.value import Published
from tfds_builders.mtsccd import names as mtsccd
from tfds_builders.mtsccd.tables import CHANGED_PAIRS, TABLE_3, TABLE_4_PAIRS

SOURCE_TABLE_6 = "MtSCCD paper, Table 6"
SOURCE_TABLE_7 = "MtSCCD paper, Table 7"

# The test cities (section 2.1).
CITIES: dict[str, str] = dict(sorted((city.role, city.name.title()) for city in mtsccd.CITIES if city.role != "train"))
# split -> scenes (Table 3)
SCENES: dict[str, int] = {split: sum(TABLE_3[split]) for split in CITIES}
# split -> (pairs, changed pairs). Pairs: Table 4. The paper does not print the changed pairs. They follow from Table 7:
# its all-unchanged entries have OA 4,145/5,078 and 4,183/5,062, and at these counts most other entries have an integer
# table.
PAIRS_CHANGED: dict[str, tuple[int, int]] = {
    split: (TABLE_4_PAIRS[split], CHANGED_PAIRS[city.lower()]) for split, city in CITIES.items()
}

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

# Name of a network, in lower case without punctuation -> the paper's name of the network that it used (section 3.2).
PAPER_NAMES: dict[str, str] = {
    **{name.lower(): name for name in TABLE_6},
    "densenet201": "DenseNet",
    "efficientnetb0": "EfficientNet",
    "seresnet50": "SENet",
    "vitb16": "ViT",
    "vitbasepatch16": "ViT",
    "swintiny": "SwinT",
}

_COLUMNS: dict[str, int] = {"test_a": 0, "test_b": 1}


@dataclass(frozen=True)
class ChangeEntry:
    """One entry of Table 7, and which confusion matrices have both numbers at the counts of its split."""

    method: str
    model: str  # the paper's name of the network
    split: str  # "test_a" or "test_b"
    oa: float
    kappa: float
    audit: Feasibility

    @property
    def reason(self) -> str:
        """Why the entry is possible or not, in one sentence."""
        bound, tables = self.audit.bound, self.audit.tables or ()
        if not self.audit.possible:
            reason = f"kappa {self.kappa:.4f} is above {bound:.4f}, the most this OA allows in any two-class table"
            return reason + ("; the OA is that of never saying 'changed'" if self.audit.all_unchanged else "")
        if self.audit.recovered:
            tn, fp, fn, tp = self.audit.recovered
            return f"only one table fits: TN {tn}, FP {fp}, FN {fn}, TP {tp}"
        if tables:
            return f"{len(tables)} tables fit"
        if self.audit.cut_off:
            return f"{len(self.audit.cut_off)} tables fit if both numbers are cut off, not rounded"
        pairs, changed = PAIRS_CHANGED[self.split]
        return f"within the bound, but no table of {pairs:,} pairs with {changed} changed rounds to both numbers"


def paper_name(model: str, width: float = 1.0) -> str | None:
    """Return the paper's name of a network ("vit_b16" -> "ViT"), or None where the paper has none of this width."""
    return PAPER_NAMES.get("".join(c for c in model.lower() if c.isalnum())) if width == 1 else None


def scene(model: str, split: str, width: float = 1.0) -> Published | None:
    """Return the entry of Table 6 (scene classification), or None where the paper has no such network or split."""
    name = paper_name(model, width)
    if name not in TABLE_6 or split not in _COLUMNS:
        return None
    oa = round(TABLE_6[name][_COLUMNS[split]] / 100, 4)
    return Published(SOURCE_TABLE_6, name, oa, reason="only the overall accuracy is published")


def change(method: str, model: str, split: str, width: float = 1.0) -> Published | None:
    """Return the entry of Table 7 (change detection), or None where the paper has no such method, network or split."""
    entry = change_entry(method, paper_name(model, width), split)
    if entry is None:
        return None
    threshold, possible = TABLE_7_THRESHOLDS.get((method, entry.model)), entry.audit.possible
    return Published(SOURCE_TABLE_7, entry.model, entry.oa, entry.kappa, threshold, possible, entry.reason)


def change_entry(method: str, name: str | None, split: str) -> ChangeEntry | None:
    """Return the entry of Table 7 of the paper's name of a network, or None where the paper has none."""
    found = (entry for entry in table_7() if (entry.method, entry.model, entry.split) == (method, name, split))
    return next(found, None)


@functools.cache
def table_7() -> tuple[ChangeEntry, ...]:
    """Return the 46 entries of Table 7 with their audit, in the order of the paper."""
    return tuple(
        ChangeEntry(method, model, split, oa, kappa, feasibility(oa, kappa, *PAIRS_CHANGED[split]))
        for (method, model), values in TABLE_7.items()
        for split, (oa, kappa) in zip(_COLUMNS, (values[:2], values[2:]), strict=True)
    )
