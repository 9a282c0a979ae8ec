"""Published results with several labels an image: BigEarthNet v1, reBEN (BigEarthNet v2) and MLRSNet.

An entry is one network as its source trained it. It is found by this project's name of the network and by the bands
that it saw. Percentages are stored as shares. Each metric has the nearest name of `ops.multilabel.METRICS`; where a
source does not say how it averages, the note of the entry says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mtsccd_jax.report.published.value import Published
from tfds_builders.bigearthnet.bands import CHANNEL_SETS

# What networks see, in the words of the sources -> bands. The model cards call the ten bands of 10 and 20 m "S2".
_MODALITIES: dict[str, tuple[str, ...]] = {
    "S1": CHANNEL_SETS["s1"],
    "RGB": CHANNEL_SETS["rgb"],
    "S2": CHANNEL_SETS["10m_20m"],
    "S1+S2": CHANNEL_SETS["s1_10m_20m"],
    "12 bands": CHANNEL_SETS["s2"],
    "S1 and 12 bands": CHANNEL_SETS["s1_s2"],
}


@dataclass(frozen=True)
class Entry:
    """One network of a source's table, with its metrics in [0, 1]."""

    model: str  # in the source
    network: str  # this project's name
    metrics: dict[str, float]
    bands: tuple[str, ...] = ()  # that it saw; empty for images
    configs: tuple[str, ...] = ()  # of the data set that it is about
    run: str = ""  # what tells it from other entries of this network, such as its modality
    note: str = ""  # beside the caveats of the source
    repeated: bool = False  # whether our rows stand beside another entry of the same network


@dataclass(frozen=True)
class Source:
    """One published table, or one set of model cards, in the order of the source."""

    name: str  # paper and table, or the model cards
    title: str  # the same in few words
    dataset: str  # without its configuration
    entries: tuple[Entry, ...]
    metrics: tuple[str, ...]
    examples: dict[str, int] = field(default_factory=dict)  # configuration -> known images of the published test split
    exact: bool = False  # whether the test split is a published list; otherwise it is drawn at random
    caveats: tuple[str, ...] = ()  # sentences on what the values are and are not
    note: str = ""  # the caveats in short, for the `reason` of a published value


_SAMPLES = ("precision_samples", "recall_samples", "f1_samples", "f2_samples")
_CARD = ("ap_macro", "ap_micro", "f1_macro", "f1_micro")
_CARD_AND_PRECISION = (*_CARD, "precision_macro", "precision_micro")

# Configurations with 43 classes and without snow and cloud: the paper's random split, and the archive's official one.
_RANDOM_43 = ("random_s2_43", "random_rgb_43")
_OFFICIAL_43 = ("s2_43", "rgb_43", "s1_s2_43")
# Configurations with the recommended patches alone.
_RECOMMENDED = ("official", "s1_s2", "s1_s2_10m_20m", "s2", "s2_10m_20m", "s1")
# Configurations with the authors' labels -> per cent of the images for training.
_MLRSNET = {"official_20_10_70": 20, "official_30_10_60": 30, "official": 40}


def _paper(model: str, network: str, bands: tuple[str, ...], run: str, *values: float) -> Entry:
    return Entry(model, network, dict(zip(_SAMPLES, values, strict=True)), bands, _RANDOM_43 + _OFFICIAL_43, run)


def _card(model: str, network: str, modality: str, note: str, *values: float, repeated: bool = False) -> Entry:
    """Return the entry of a model card; some early cards print average precision in place of precision."""
    bands = {"S1": CHANNEL_SETS["s1"], "S2": CHANNEL_SETS["10m_20m"], "S1+S2": CHANNEL_SETS["s1_10m_20m"]}[modality]
    metrics = dict(zip(_CARD_AND_PRECISION if len(values) == 6 else _CARD, values, strict=True))
    return Entry(model, network, metrics, bands, _RECOMMENDED, modality, note, repeated)


def _mlrsnet(model: str, network: str, *values: float) -> tuple[Entry, ...]:
    """Return the entries of one network on three splits; `values` are three mAP in per cent, then three F1."""
    return tuple(
        Entry(
            model,
            network,
            {"ap_macro": round(values[i] / 100, 4), "f1_macro": values[i + 3]},
            configs=(config,),
            run=f"{percent} % for training",
        )
        for i, (config, percent) in enumerate(_MLRSNET.items())
    )


BIGEARTHNET_V1 = Source(
    name="BigEarthNet paper (arXiv:1902.06148), Table 4",
    title="BigEarthNet v1, Table 4",
    dataset="bigearthnet_v1",
    entries=(
        _paper("Inception-v2", "inception_v2", CHANNEL_SETS["rgb"], "RGB", 0.4823, 0.5679, 0.4988, 0.5301),
        _paper("S-CNN-RGB", "scnn", CHANNEL_SETS["rgb"], "RGB", 0.6506, 0.7557, 0.6759, 0.7139),
        _paper("S-CNN-All", "scnn", CHANNEL_SETS["s2"], "12 bands", 0.6993, 0.7710, 0.7098, 0.7384),
    ),
    metrics=_SAMPLES,
    # 20 % of the 519,339 patches without snow, cloud and shadow.
    examples=dict.fromkeys(_RANDOM_43, 103868),
    caveats=(
        "43 classes; 60, 20 and 20 % of the patches without snow, cloud and shadow, drawn at random: the lists are not "
        "published, and neighbouring patches may stand on both sides.",
        "The paper does not name its average. It cannot be over all decisions: its F1 is not that of its P and R (of "
        "S-CNN-All 0.710, not 0.733). Beside it stand our means over images.",
        "Inception-v2 was trained on ImageNet and kept as it was; a hidden layer and a classifier were trained on its "
        "features. The S-CNNs began with random weights. 100 epochs of SGD each.",
    ),
    note="43 classes, a random 60/20/20 split whose lists are not published; the average is not named",
)

REBEN = Source(
    name="reBEN, model cards of BIFOLD-BigEarthNetv2-0",
    title="reBEN, model cards",
    dataset="bigearthnet_v2",
    entries=(
        _card(
            "ResNet-50",
            "resnet50",
            "S1+S2",
            "card v0.2.0, seed 42, 19 epochs",
            *(0.703272, 0.860669, 0.644179, 0.766649, 0.745704, 0.797974),
        ),
        _card(
            "ResNet-50",
            "resnet50",
            "S1+S2",
            "a copy of the card, seed 0, 23 epochs",
            *(0.710602, 0.859335, 0.656929, 0.764038, 0.726799, 0.798918),
            repeated=True,
        ),
        _card(
            "ResNet-50",
            "resnet50",
            "S1",
            "card v0.2.0, seed 42",
            *(0.628376, 0.800728, 0.576080, 0.701954, 0.643083, 0.758262),
        ),
        _card(
            "ViT-B/8-224",
            "vit_base_patch8",
            "S1+S2",
            "card v0.2.0, seed 0",
            *(0.667642, 0.842169, 0.603248, 0.745763, 0.710496, 0.779263),
        ),
        _card(
            "ConvNeXtV2-B",
            "convnextv2_base",
            "S1+S2",
            "card v0.1.1",
            *(0.692033, 0.857302, 0.626945, 0.759608, 0.751897, 0.796884),
        ),
        _card(
            "MobileViT-S",
            "mobilevit_s",
            "S1+S2",
            "card v0.1.1, whose precision repeats its average precision",
            *(0.703328, 0.863635, 0.637516, 0.763493),
        ),
        _card(
            "MobileViT-S",
            "mobilevit_s",
            "S1",
            "card v0.2.0",
            *(0.631198, 0.811763, 0.565671, 0.705591, 0.682849, 0.777789),
        ),
        _card(
            "MLP-Mixer-B/16",
            "mlp_mixer_base_patch16",
            "S2",
            "card v0.1.1, whose precision repeats its average precision",
            *(0.678437, 0.844076, 0.616138, 0.744229),
        ),
    ),
    metrics=_CARD_AND_PRECISION,
    examples=dict.fromkeys(_RECOMMENDED, 119825),
    exact=True,
    caveats=(
        "The recommended test split, one training each: two of ResNet-50 on S1+S2 are 0.007 apart in macro AP.",
        "Versions of the cards differ: weights of v0.1.1 take the bands in another order than those of v0.2.0.",
        "S2 are the ten bands of 10 and 20 m, S1 are VV and VH. There are cards of ResNet-18, ResNet-101 and ConvMixer "
        "too, whose numbers are not known here.",
    ),
    note="recommended test split, one training",
)

MLRSNET = Source(
    name="MLRSNet paper (ISPRS J. Photogramm. 169, 2020), as a course project quotes it",
    title="MLRSNet, as quoted",
    dataset="mlrsnet",
    entries=(
        *_mlrsnet("InceptionV3", "inception_v3", 81.50, 82.33, 84.84, 0.7746, 0.8016, 0.8146),
        *_mlrsnet("VGG16", "vgg16", 67.88, 72.66, 75.39, 0.5743, 0.6534, 0.6855),
        *_mlrsnet("VGG19", "vgg19", 66.12, 69.53, 73.60, 0.5677, 0.6120, 0.6329),
        *_mlrsnet("ResNet50", "resnet50", 82.65, 84.28, 86.01, 0.7530, 0.8176, 0.8353),
        *_mlrsnet("ResNet101", "resnet101", 83.26, 84.19, 85.72, 0.7618, 0.7703, 0.8226),
        *_mlrsnet("DenseNet121", "densenet121", 75.96, 77.99, 80.25, 0.7154, 0.7389, 0.7571),
        *_mlrsnet("DenseNet169", "densenet169", 82.16, 86.42, 87.35, 0.8138, 0.8408, 0.8521),
        *_mlrsnet("DenseNet201", "densenet201", 87.25, 87.84, 88.77, 0.8381, 0.8414, 0.8538),
    ),
    metrics=("ap_macro", "f1_macro"),
    # The rest of 109,161 images after training and 10 % of validation.
    examples={config: round(109161 * (90 - percent) / 100) for config, percent in _MLRSNET.items()},
    caveats=(
        "The authors' labels, which are damaged: 3,471 images carry more than 13 of 60 labels, and no stadium is "
        "called a stadium. Random splits whose lists are not published.",
        "Quoted by others: the paper's own table is not at hand. Over what mAP and F1 are averaged is not said; "
        "beside them stand our means over labels.",
    ),
    note="the authors' damaged labels, a random split whose lists are not published; the averages are not named",
)

SOURCES: tuple[Source, ...] = (BIGEARTHNET_V1, REBEN, MLRSNET)


def source_of(dataset: str) -> Source | None:
    """Return the source of values for a data set ("mlrsnet/official_20_10_70") whatever its configuration, or None."""
    name = dataset.partition("/")[0]
    return next((source for source in SOURCES if source.dataset == name), None)


def channels(bands: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the bands of a recipe, which lists them or gives one name of `CHANNEL_SETS`."""
    return CHANNEL_SETS.get(bands[0], tuple(bands)) if len(bands) == 1 else tuple(bands)


def find(dataset: str, network: str, bands: Sequence[str], width: float = 1.0) -> Entry | None:
    """Return the entry of a network on a data set with its configuration, or None where the source has none.

    `bands` are names in any order, or one name of `CHANNEL_SETS`; empty for images. Published networks have width 1.
    """
    source, config = source_of(dataset), dataset.partition("/")[2]
    seen = set(channels(bands))
    for entry in source.entries if source and width == 1 else ():
        if entry.network == network and set(entry.bands) == seen and config in entry.configs and not entry.repeated:
            return entry
    return None


def multilabel(
    dataset: str, model: str, bands: Sequence[str] = (), width: float = 1.0, split: str = "test"
) -> Published | None:
    """Return the published values of a network on the test split of a data set, or None where `find` has none."""
    source, entry = source_of(dataset), find(dataset, model, bands, width)
    if source is None or entry is None or split != "test":
        return None
    return Published(source.name, entry.model, reason=_reason(source, entry, dataset), metrics=dict(entry.metrics))


def modality(bands: Sequence[str]) -> str:
    """Return what a network sees in the words of the sources: "S1+S2", "RGB", "12 bands"; empty for images."""
    seen = channels(bands)
    known = next((text for text, known in _MODALITIES.items() if set(known) == set(seen)), "")
    return known or (", ".join(seen) if len(seen) < 4 else f"{len(seen)} bands")


def configuration(dataset: str) -> str:
    """Return the configuration of a data set, in the words of its source where these tell splits apart."""
    source, config = source_of(dataset), dataset.partition("/")[2]
    named = (entry.run for entry in (source.entries if source else ()) if config in entry.configs and not entry.bands)
    return next(named, config)


def _reason(source: Source, entry: Entry, dataset: str) -> str:
    """Say in one sentence what to know of the values of an entry beside a row of the data set."""
    official = source is BIGEARTHNET_V1 and dataset.partition("/")[2] in _OFFICIAL_43
    notes = (entry.note, source.note, "this row is of the official split" if official else "")
    return "; ".join(filter(None, notes))
