"""What data show of themselves: one line in a terminal, a card in a notebook, a picture."""

import base64
import dataclasses
import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import purepipe
from purepipe import Exposure, PSFModel
from purepipe.config import SurveyConfig
from purepipe.detect import Background, Detection, Segmentation
from purepipe.display import brief, card, show_image, show_stamps, thin_flags, thinning
from purepipe.pipeline import Run
from purepipe.pipeline.store import Outcome, StepRecord
from purepipe.psf import PSFStamps
from purepipe.select import StarSelection
from purepipe.shapes import MetacalResult, ShearEstimate
from purepipe.survey import EpochStamps
from purepipe.wcs import WCS

CARDS = {
    "OBJECT": "NGC <5>", "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0,
    "CRVAL2": 32.0, "CRPIX1": 30.5, "CRPIX2": 20.5, "CD1_1": -5e-5, "CD1_2": 0.0, "CD2_1": 0.0,
    "CD2_2": 5e-5,
}  # fmt: skip


def exposure():
    from astropy.io.fits import Header

    cards = Header(CARDS).tostring(sep="", endcard=False, padding=False)
    rng = np.random.default_rng(1)
    flags = np.zeros((40, 60), np.int32)
    flags[5, 7] = 4
    return Exposure(
        rng.normal(100, 3, (40, 60)), weight=np.ones((40, 60)), weight_kind="mask", flags=flags,
        wcs=WCS.from_header(cards, (40, 60)), gain=1.6, saturation=6e4, name="a & b", header=cards,
    )  # fmt: skip


def segmentation():
    data = np.zeros((40, 60), np.int32)
    data[3:9, 4:10], data[20:25, 30:50] = 1, 2
    return Segmentation(data)


def background():
    level = np.arange(6, dtype=np.float32).reshape(2, 3)
    return Background(level, np.ones_like(level), 2.5, 1.0, (20, 20), (40, 60))


def psf_model(contexts=("X_IMAGE", "Y_IMAGE")):
    y, x = np.mgrid[-8:9, -8:9]
    mask = np.exp(-(x**2 + y**2) / 8.0)[None].repeat(3 if contexts else 1, axis=0)
    n = len(contexts)
    return PSFModel(
        mask, None, contexts, (30.0, 20.0)[:n], (60.0, 40.0)[:n], (1,) * n, (1,) * bool(n),
        50, 48, 1.01, 4.7, 1.0,
    )  # fmt: skip


def psf_stamps():
    n = 30
    return PSFStamps(
        np.ones((n, 9, 9), np.float32), np.zeros(n, np.int32), *np.full((4, n), 0.5)
    )  # fmt: skip


def epoch_stamps(n=3):
    zeros, stamps = np.zeros(n), np.ones((n, 9, 9), np.float32)
    return EpochStamps(
        np.arange(n), np.full(n, "1000001"), np.zeros(n, np.int32), zeros, zeros,
        np.zeros(n, np.int32), np.zeros((n, 2, 2)), zeros, stamps, stamps,
        np.zeros((n, 9, 9), np.int32),
    )  # fmt: skip


def metacal(n=20, flag=0):
    rng = np.random.default_rng(2)
    return MetacalResult(
        pars=rng.normal(0, 0.1, (n, 5, 6)), cov=np.ones((n, 5, 6, 6)), s2n=np.full((n, 5), 30.0),
        flags=np.full((n, 5), flag, np.int32), evaluations=np.ones((n, 5), np.int32),
        sigma_target=np.ones((n, 2)), epoch_flags=np.zeros((n, 2), np.int32),
        psf_pars=np.ones((n, 2, 6)), psf_err=np.ones((n, 2, 6)),
        psf_flags=np.zeros((n, 2), np.int32), weight=np.ones((n, 2)), step=0.01,
        implicit_response=np.full((n, 2, 2), np.nan),
    )  # fmt: skip


def shear():
    response = np.diag([0.7, 0.8])
    return ShearEstimate(
        np.array([0.01, -0.02]), 1e-6 * np.eye(2), response, response, 0 * response,
        np.array([0.007, -0.016]), 90, 100, 95, np.random.default_rng(3).normal(0, 0.001, (9, 2)),
    )  # fmt: skip


def run():
    step = StepRecord("mask", "pixels", 100, 90, 0.5)
    outcomes = (
        Outcome("ccd 1-0", "ccd", "done", steps=(step,)),
        Outcome("ccd 1-1", "ccd", "timed out"),
    )
    return Run(Path("runs/first"), SurveyConfig(), outcomes)


EVERYTHING = {
    "exposure": (exposure, ("60 x 40 pixels", "a &amp; b", "NGC &lt;5&gt;", "0.0417 %", "0.1800")),
    "segmentation": (segmentation, ("largest number", "5.67 %")),
    "background": (background, ("2.5 ADU", "20 x 20 pixels", "the map")),
    "detection": (
        lambda: Detection({"NUMBER": np.arange(2)}, {"SEXNFIN": 2}, background(), segmentation()),
        ("objects", "2.5 ADU"),
    ),
    "psf_model": (psf_model, ("48 of 50", "X_IMAGE, Y_IMAGE (degree 1)", "4.700 pixels")),
    "constant_psf": (lambda: psf_model(()), ("nothing",)),
    "psf_stamps": (psf_stamps, ("usable", "0.500 pixels")),
    "epoch_stamps": (epoch_stamps, ("3 of 9 pixels a side", "none yet")),
    "metacal": (metacal, ("objects", "not calibrated", "30.0")),
    "shear": (shear, ("+0.01000", "90 of 100", "0.7000, 0.8000")),
    "run": (run, ("1 done", "1 timed out")),
}


@pytest.mark.parametrize("name", EVERYTHING)
def test_everything_shows_itself(name):
    make, expected = EVERYTHING[name]
    data = make()
    page = data._repr_html_()
    for text in expected:
        assert text in page
    assert "<script" not in page
    (source,) = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    picture = Image.open(io.BytesIO(base64.b64decode(source, validate=True))).convert("RGB")
    assert len(picture.getcolors(1 << 20)) > 1
    text = repr(data)
    assert text.startswith(type(data).__name__ + "(")
    assert "array(" not in text
    assert len(text) < 700


@pytest.mark.parametrize("name", EVERYTHING)
def test_plots_take_the_axes_of_the_caller(name):
    ax = Figure().subplots()
    assert EVERYTHING[name][0]().plot(ax) is ax
    assert ax.has_data()


@pytest.mark.parametrize(
    "data", [metacal(5, flag=1), metacal(0), epoch_stamps(0),
             Run(Path("runs/first"), SurveyConfig(), ()),
             PSFModel(np.zeros((1, 5, 5)), None, (), (), (), (), (), 0, 0, 0, 3, 0)],
)  # fmt: skip
def test_nothing_to_draw_is_no_error(data):
    page = data._repr_html_()
    assert "<table>" in page
    assert "<img" not in page


def test_star_selection_counts():
    stars = StarSelection(np.array([0, 0, 128, 4], np.int32), 4.25, 0.03)
    page = stars._repr_html_()
    assert "4.250 pixels" in page
    assert "<img" not in page
    assert repr(stars) == "StarSelection(flags=[  0,   0, 128,   4], fwhm=4.25, width=0.03)"


def test_images_without_data_can_be_shown():
    assert "<img" in Exposure(np.full((5, 70), np.nan))._repr_html_()
    ax = Figure().subplots()
    show_image(ax, np.zeros((3, 5000)))
    assert ax.get_images()[0].get_array().shape[1] < 5000
    show_stamps(ax, np.full((2, 4, 4), np.nan))


def test_a_pixel_without_data_does_not_blank_its_block():
    image = np.arange(16.0).reshape(4, 4)
    image[0, 0], image[2:, 2:] = np.nan, np.inf
    ax = Figure().subplots()
    show_image(ax, image, step=2)
    shown = np.ma.filled(ax.get_images()[0].get_array(), np.nan)
    np.testing.assert_array_equal(shown, [[10 / 3, 4.5], [10.5, np.nan]])


def test_new_axes_without_a_caller(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    from matplotlib import pyplot as plt

    try:
        ax = exposure().plot()
        assert ax.figure.number in plt.get_fignums()
    finally:
        plt.close("all")


def test_a_flagged_pixel_stays_visible_where_flags_are_thinned():
    flags = np.zeros((101, 103), np.int32)
    flags[100, 102] = -(2**31)
    thinned = thin_flags(flags, 10)
    assert np.count_nonzero(thinned) == 1
    assert thinned[10, 10] == 1 << 31
    assert thinning(Figure().subplots(), (4000, 3), None) == 3


def test_brief_shortens_what_is_long():
    text = brief(exposure())
    assert "image=<float32 40 x 60>" in text
    assert "wcs=WCS(shape=(40, 60))" in text
    assert "header" not in text
    assert "columns=<1 items>, meta=<1 items>" in repr(EVERYTHING["detection"][0]())


def test_cards_escape_and_leave_out_what_is_empty():
    text = card("<b>", [("<i>", "x < y"), ("none", None), ("empty", ""), ("zero", 0)])
    assert "&lt;b&gt;" in text
    assert "x &lt; y" in text
    assert "none" not in text
    assert "empty" not in text
    assert ">0<" in text


def test_names_complete_on_tab():
    names = dir(purepipe)
    assert {"Exposure", "extract", "detect", "psf", "__version__"} <= set(names)
    assert not {"Any", "import_module", "TYPE_CHECKING"} & set(names)
    for name in names:
        assert getattr(purepipe, name) is not None
    for room in ("detect", "io", "psf", "shapes", "survey", "mask", "select", "pipeline"):
        module = getattr(purepipe, room)
        assert set(module.__all__) <= set(dir(module)), room
        for name in module.__all__:
            assert getattr(module, name) is not None


def test_rooms_are_attributes_and_pictures_are_not_loaded_before_they_are_shown():
    code = """
import sys, purepipe as pp, numpy as np
pp.detect.extract, pp.psf.PSFModel
repr(pp.Exposure(np.zeros((4, 5))))
print([name for name in ("matplotlib", "galsim", "PIL") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "room", ["detect", "mask", "pipeline", "psf", "select", "shapes", "survey"]
)
def test_public_data_with_arrays_show_types_and_shapes(room):
    module = getattr(purepipe, room)
    for name in module.__all__:
        kind = getattr(module, name)
        if not dataclasses.is_dataclass(kind):
            continue
        types = " ".join(str(field.type) for field in dataclasses.fields(kind))
        if "NDArray" in types or "Table" in types:
            assert kind.__repr__ is brief, name
