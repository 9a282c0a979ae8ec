"""Charts are valid SVG, the same every time, show what they were given, and take the page's colours."""

import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from mtsccd_jax.report.pictures import chart_style, charts
from mtsccd_jax.report.pictures.charts import Estimate, Speed
from mtsccd_jax.tasks.change import charts as change_charts
from mtsccd_jax.tasks.change.charts import Curve, Point
from mtsccd_jax.tasks.labels.report import label_chart

NAMESPACE = "{http://www.w3.org/2000/svg}"


def texts(chart):
    """Everything written in a chart."""
    return [" ".join("".join(e.itertext()).split()) for e in ElementTree.fromstring(chart.svg).iter(f"{NAMESPACE}text")]


def random_pairs(n=300, seed=0):
    random = np.random.default_rng(seed)
    changed = random.random(n) < 0.2
    return random.gamma(np.where(changed, 9.0, 4.0), 0.1), changed


def random_curve(n=1000):
    x = np.linspace(2, 0, n)
    return Curve(x, oa=0.5 + 0.1 * x, kappa=x / 4, f1=x / 3)


def made_charts():
    """One chart of every kind, by name."""
    distance, changed = random_pairs()
    estimates = [
        Estimate("Hefei", 0.5, 0.4, 0.6, trivial=0.0, published=0.55),
        Estimate("Nanjing", 0.4, None, None, published=0.82, possible=False),
    ]
    step = np.arange(1, 901)
    counts = np.random.default_rng(0).integers(0, 50, (10, 10))
    return {
        "intervals": charts.intervals(estimates, "Cohen's kappa", "alt"),
        "confusion_10": charts.confusion(counts, list("ABCDEFGHIJ"), "alt"),
        "confusion_2": charts.confusion(np.array([[90, 10], [3, 7]]), ["unchanged", "changed"], "alt"),
        "histogram": change_charts.distance_histogram(distance, changed, 0.6, "distance (no unit)", "alt"),
        "curves": change_charts.threshold_curves(random_curve(), random_curve(90), 0.5, 0.8, "distance", "alt"),
        "loss": charts.loss_curve(step, np.exp(-step / 300), np.full(900, 0.1), "alt"),
        "throughput": charts.throughput(step, np.full(900, 812.0), "alt"),
        "pareto": charts.pareto([Speed(900, 0.7, "slow"), Speed(5000, 0.6, "fast", "other")], "kappa", "alt"),
        "by_label": label_chart(["a", "b"], np.array([0.9, 0.4]), np.array([0.8, 0.3]), np.array([0.5, 0.2]), "alt"),
        "plane": change_charts.kappa_plane([Point(0.7, 0.3)], [Point(0.8, 0.8)], [Point(0.3, -0.2, "mine")], "alt"),
    }


@pytest.fixture(scope="module")
def drawn():
    return made_charts()


def test_charts_are_svg_with_a_name_and_labelled_axes(drawn):
    for name, chart in drawn.items():
        root = ElementTree.fromstring(chart.svg)
        with Image.open(io.BytesIO(chart.png)) as image:
            assert image.format == "PNG", name
            assert image.width >= 600, name
        assert root.tag == f"{NAMESPACE}svg", name
        assert root.get("role") == "img", name
        assert root.get("aria-label") == "alt", name
    assert "distance (no unit)" in texts(drawn["histogram"])
    assert "share of pairs in each bin, %" in texts(drawn["histogram"])
    assert "threshold on the distance" in texts(drawn["curves"])
    assert "training loss (nats)" in texts(drawn["loss"])
    assert "training throughput, images/s" in texts(drawn["throughput"])
    assert {"overall accuracy (0 to 1)", "Cohen's kappa (-1 to 1)"} <= set(texts(drawn["plane"]))


def test_the_same_chart_is_the_same_text(drawn):
    assert made_charts() == drawn


def test_charts_load_nothing(drawn):
    for svg in (chart.svg for chart in drawn.values()):
        links = re.findall(r'(?:href|src)="([^"]*)"', svg) + re.findall(r"url\(([^)]*)\)", svg)
        assert all(link.startswith("#") for link in links)


def test_the_legend_names_only_what_is_there(drawn):
    assert {"this run, 95 % interval", "trivial predictor", "paper", "paper, impossible value"} <= set(
        texts(drawn["intervals"])
    )
    alone = texts(charts.intervals([Estimate("a", 0.1)], "x", "alt"))
    assert not {"trivial predictor", "paper", "paper, impossible value"} & set(alone)


def test_a_confusion_matrix_shows_shares_of_rows_and_counts(drawn):
    shown = texts(drawn["confusion_2"])
    assert "90.0 %" in shown
    assert "70.0 %" in shown
    assert any(text.startswith("changed") for text in shown)
    shares = texts(charts.confusion(np.array([[999, 1, 0, 0, 0]] + [[0] * 5] * 4), list("ABCDE"), "alt"))
    assert "100" in shares
    assert "<1" in shares
    assert "B 0" in shares  # a class without examples has an empty row


def test_histograms_and_curves_take_edge_cases():
    distance, changed = random_pairs(40)
    cases = [(distance, changed, None), (distance, np.ones(40, bool), 0.5), (np.full(40, 0.3), changed, 0.3)]
    cases += [(np.zeros(0), np.zeros(0, bool), None)]
    for d, c, threshold in cases:
        ElementTree.fromstring(change_charts.distance_histogram(d, c, threshold, "distance", "alt").svg)
    ElementTree.fromstring(change_charts.threshold_curves(random_curve(1), None, None, None, "distance", "alt").svg)
    ElementTree.fromstring(charts.loss_curve(np.array([1]), np.array([np.nan]), None, "alt").svg)
    ElementTree.fromstring(change_charts.kappa_plane([], [], [], "alt").svg)


def test_text_is_escaped():
    chart = charts.intervals([Estimate("a < b & c", 0.1)], "x", 'say "<no>" & go')
    assert ElementTree.fromstring(chart.svg).get("aria-label") == 'say "<no>" & go'
    assert "a < b & c" in texts(chart)


def test_inline_charts_take_the_pages_colours_and_have_ids_of_their_own(drawn):
    for name, chart in drawn.items():
        svg, inline = chart.svg, chart_style.inline(chart.svg, "f7")
        assert len(inline) < len(svg), name
        root = ElementTree.fromstring(inline)
        assert root.tag == "svg", name
        assert root.get("viewBox"), name
        assert root.get("width") is None, name
        assert "http" not in inline, name
        for color, variable in chart_style.CSS_VARIABLES.items():
            assert color not in inline, name
            assert (f"var({variable})" in inline) == (color in svg), name
        ids = [e.get("id") for e in root.iter() if e.get("id")]
        assert len(ids) == len(set(ids)), name
        assert all(i.startswith("f7-") for i in ids), name
        used = re.findall(r'href="#([^"]*)"', inline) + re.findall(r"url\(#([^)]*)\)", inline)
        assert set(used) <= set(ids), name


def test_short_charts_say_the_same_in_the_same_places(drawn):
    for name, chart in drawn.items():
        before, after = ElementTree.fromstring(chart.svg), ElementTree.fromstring(chart_style.inline(chart.svg, "f7"))
        written = [
            [" ".join("".join(e.itertext()).split()) for e in root.iter() if e.tag.rpartition("}")[2] == "text"]
            for root in (before, after)
        ]
        assert written[0] == written[1], name
        paths = [[e.get("d") for e in root.iter() if e.tag.rpartition("}")[2] == "path"] for root in (before, after)]
        assert len(paths[0]) == len(paths[1]) > 0, name
        for long, short in zip(*paths, strict=True):
            assert re.findall("[A-Za-z]", long) == re.findall("[A-Za-z]", short), name
            numbers = [np.array(re.findall(r"-?[\d.]+", text), float) for text in (long, short)]
            np.testing.assert_allclose(*numbers, atol=0.051)


def test_the_frontier_is_what_none_beats_in_both():
    places = [(100, 0.9), (200, 0.8), (150, 0.7), (200, 0.7), (400, 0.8), (500, 0.1)]
    front = charts.frontier([Speed(x, y, str(i)) for i, (x, y) in enumerate(places)])
    assert [speed.label for speed in front] == ["0", "4", "5"]
    for i, (x, y) in enumerate(places):
        beaten = any(a >= x and b >= y and (a, b) != (x, y) for a, b in places)
        assert (str(i) in {speed.label for speed in front}) == (not beaten)


@pytest.mark.parametrize("points", [1, 21])
def test_long_names_leave_the_plot_its_room_and_nothing_is_printed(points, capfd):
    label = "vit_base_patch8 x0.0833, bigearthnet_v2_vit_base_patch8_s1_s2_official_stand_in"
    speeds = [Speed(100 * 1.2**i, 0.9 - i / 40, f"{label} {i}") for i in range(points)]
    made = [
        charts.pareto(speeds, "average precision", "alt"),
        charts.intervals([Estimate(speed.label, speed.value, 0.1, 0.95) for speed in speeds], "AP", "alt"),
    ]
    for chart in made:
        root = ElementTree.fromstring(chart.svg)
        axes = next(e for e in root.iter() if e.get("id") == "patch_2")  # the ground of the plot
        corners = np.array(re.findall(r"-?[\d.]+", next(e.get("d") for e in axes.iter() if e.get("d"))), float)
        assert np.ptp(corners[::2]) > 0.4 * 72 * chart_style.WIDTH_IN
        assert any("…" in text for text in texts(chart))
    assert capfd.readouterr() == ("", "")


def test_the_readers_matplotlib_settings_do_not_matter(drawn):
    import matplotlib

    distance, changed = random_pairs()
    with matplotlib.rc_context({"axes.grid": False, "font.size": 30, "svg.fonttype": "path"}):
        chart = change_charts.distance_histogram(distance, changed, 0.6, "distance (no unit)", "alt")
        assert chart == drawn["histogram"]
        assert matplotlib.rcParams["font.size"] == 30
