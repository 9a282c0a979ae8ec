"""What is published of several labels an image, against the numbers it must agree with and the builders' names."""

import pytest

from mtsccd_jax.models import MODELS
from mtsccd_jax.ops.multilabel import METRICS
from mtsccd_jax.report import published
from mtsccd_jax.report.published import labels
from tfds_builders.bigearthnet_v1.config import CONFIGS as V1_CONFIGS
from tfds_builders.bigearthnet_v2.config import CONFIGS as V2_CONFIGS
from tfds_builders.mlrsnet import config as mlrsnet
from tfds_builders.mlrsnet.names import IMAGES


def entries():
    return [(source, entry) for source in labels.SOURCES for entry in source.entries]


def test_every_entry_is_of_a_network_configuration_and_metric_that_there_are():
    configs = {
        "bigearthnet_v1": {c.name: c for c in V1_CONFIGS},
        "bigearthnet_v2": {c.name: c for c in V2_CONFIGS},
        "mlrsnet": {c.name: c for c in mlrsnet.CONFIGS},
    }
    for source, entry in entries():
        assert entry.network in MODELS
        assert set(entry.metrics) <= set(source.metrics) <= set(METRICS)
        assert all(0 < value < 1 for value in entry.metrics.values())
        assert set(entry.configs) <= set(configs[source.dataset])
        assert set(source.examples) <= set(configs[source.dataset])
    assert len(entries()) == 3 + 8 + 8 * 3


def test_configurations_have_the_labels_and_patches_that_the_values_are_of():
    v1 = {c.name: c for c in V1_CONFIGS}
    for entry in labels.BIGEARTHNET_V1.entries:
        assert all((v1[name].labels, v1[name].keep_snow_and_cloud) == ("43", False) for name in entry.configs)
    assert {v1[name].split for name in labels.BIGEARTHNET_V1.examples} == {"random"}
    v2 = {c.name: c for c in V2_CONFIGS}
    assert all(v2[name].patches == "recommended" for e in labels.REBEN.entries for name in e.configs)
    by_name = {c.name: c for c in mlrsnet.CONFIGS}
    for entry in labels.MLRSNET.entries:
        (config,) = (by_name[name] for name in entry.configs)
        assert config.labels == "official"
        assert entry.run == f"{config.train_percent} % for training"
        test_percent = 100 - config.train_percent - config.validation_percent
        assert labels.MLRSNET.examples[config.name] == round(IMAGES * test_percent / 100)


def test_the_average_of_the_bigearthnet_paper_cannot_be_micro():
    """Of pooled decisions F1 is the harmonic mean of precision and recall; of means it is another number."""
    for entry in labels.BIGEARTHNET_V1.entries:
        precision, recall, f1, f2 = entry.metrics.values()
        assert f1 < 2 * precision * recall / (precision + recall) - 0.02
        assert f2 < 5 * precision * recall / (4 * precision + recall) - 0.01
    pooled = 2 * 0.6993 * 0.7710 / (0.6993 + 0.7710)
    assert f"of S-CNN-All 0.710, not {pooled:.3f}" in labels.BIGEARTHNET_V1.caveats[1]


def test_micro_figures_of_the_cards_are_consistent():
    """Precision and F1 over all decisions leave a recall in [0, 1]; average precision lies below 1."""
    for entry in labels.REBEN.entries:
        if "precision_micro" in entry.metrics:
            precision, f1 = entry.metrics["precision_micro"], entry.metrics["f1_micro"]
            assert 0 < f1 * precision / (2 * precision - f1) < 1
    resnets = [e for e in labels.REBEN.entries if (e.model, e.run) == ("ResNet-50", "S1+S2")]
    assert [entry.repeated for entry in resnets] == [False, True]
    apart = abs(resnets[0].metrics["ap_macro"] - resnets[1].metrics["ap_macro"])
    assert f"are {apart:.3f} apart" in labels.REBEN.caveats[0]


@pytest.mark.parametrize(
    ("dataset", "network", "bands", "model", "metric", "value"),
    [
        ("bigearthnet_v1/random_s2_43", "scnn", ("s2",), "S-CNN-All", "f1_samples", 0.7098),
        ("bigearthnet_v1/random_rgb_43", "scnn", ("rgb",), "S-CNN-RGB", "recall_samples", 0.7557),
        ("bigearthnet_v1/random_s2_43", "scnn", ("B02", "B03", "B04"), "S-CNN-RGB", "f2_samples", 0.7139),
        ("bigearthnet_v1/rgb_43", "inception_v2", ("rgb",), "Inception-v2", "precision_samples", 0.4823),
        ("bigearthnet_v2/s1_s2_10m_20m", "resnet50", ("s1_10m_20m",), "ResNet-50", "ap_macro", 0.703272),
        ("bigearthnet_v2/official", "resnet50", ("VH", "VV"), "ResNet-50", "ap_macro", 0.628376),
        ("bigearthnet_v2/s2_10m_20m", "mlp_mixer_base_patch16", ("10m_20m",), "MLP-Mixer-B/16", "f1_micro", 0.744229),
        ("mlrsnet/official_20_10_70", "densenet201", (), "DenseNet201", "ap_macro", 0.8725),
        ("mlrsnet/official", "densenet201", (), "DenseNet201", "f1_macro", 0.8538),
    ],
)
def test_values_are_found_by_data_network_and_bands(dataset, network, bands, model, metric, value):
    found = published.multilabel(dataset, network, bands)
    assert (found.model, found.metrics[metric], found.possible) == (model, value, True)
    assert (found.oa, found.kappa, found.threshold) == (None, None, None)
    assert "official split" not in found.reason or dataset.endswith("/rgb_43")


@pytest.mark.parametrize(
    "arguments",
    [
        ("bigearthnet_v1/official", "scnn", ("s2",), 1.0, "test"),
        ("bigearthnet_v1/all_patches_s2_43", "scnn", ("s2",), 1.0, "test"),
        ("bigearthnet_v1/random_s2_43", "scnn", ("10m_20m",), 1.0, "test"),
        ("bigearthnet_v1/random_s2_43", "scnn", ("s2",), 0.5, "test"),
        ("bigearthnet_v1/random_s2_43", "scnn", ("s2",), 1.0, "validation"),
        ("bigearthnet_v2/with_snow_and_cloud", "resnet50", ("s1",), 1.0, "test"),
        ("bigearthnet_v2/s1", "resnet18", ("s1",), 1.0, "test"),
        ("mlrsnet/corrected", "vgg16", (), 1.0, "test"),
        ("mlrsnet/official", "vgg16", ("rgb",), 1.0, "test"),
        ("folder:mine", "vgg16", (), 1.0, "test"),
    ],
)
def test_what_is_not_published_is_none(arguments):
    assert published.multilabel(*arguments) is None


def test_the_reason_says_which_card_and_which_split():
    card = published.multilabel("bigearthnet_v2/s1", "mobilevit_s", ("s1",))
    assert card.reason == "card v0.2.0; recommended test split, one training"
    assert (
        "whose precision repeats"
        in published.multilabel("bigearthnet_v2/official", "mobilevit_s", ("s1_10m_20m",)).reason
    )
    assert published.multilabel("bigearthnet_v1/s2_43", "scnn", ("s2",)).reason.endswith("of the official split")
