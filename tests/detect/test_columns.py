"""Columns of SExtractor beyond ShapePipe's: the original's values, stored and live."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from purepipe.catalogue.requests import requested_columns
from purepipe.config import DetectConfig
from purepipe.detect import extract
from purepipe.detect.associate import associate
from purepipe.detect.columns import wanted_measurements
from purepipe.detect.records_nb import OBJECT
from purepipe.detect.tabulate import _corrected
from purepipe.errors import ConfigError, DataError
from purepipe.exposure import Exposure, WeightKind
from purepipe.legacy.astromatic_files import read_neural_network
from purepipe.wcs import WCS

from .cases import exposure_of
from .columns import (
    ALL,
    APERTURES,
    REFERENCE,
    SIZED,
    entries,
    live_fields,
    network_text,
    reference_exposure,
    stored_names,
)
from .fields import header, make_field
from .sextractor import EXPOSURE, PROGRAM, run_sextractor

STORED = Path(__file__).parents[1] / "reference" / "detect"
NETWORK = Path("/usr/share/source-extractor/default.nnw")

needs_program = pytest.mark.skipif(PROGRAM is None, reason="source-extractor is not installed")


def tolerance(name):
    """Relative difference that rounding, cancellation or another library's constants explain."""
    if name.startswith(("XY", "CXY", "ERRXY", "ERRCXY")) and "WORLD" in name:
        return 1e-4  # small beside the variances that they are made of; the largest seen is 2.3e-5
    if name.endswith("_B1950"):
        return 1e-9
    return 3e-7


def assert_agrees(table, original, names):
    assert len(table) == len(original[names[0]])
    for name in names:
        ours, theirs = np.asarray(table[name]), np.asarray(original[name])
        assert ours.dtype == theirs.dtype.newbyteorder("="), name
        assert ours.shape == theirs.shape, name
        ours, theirs = ours.astype(float), theirs.astype(float)
        if name.endswith("GROWTH"):  # the original reads beyond the end for the last point
            ours, theirs = ours[..., :-1], theirs[..., :-1]
        # Positions are differenced over a pixel, where their last digit is 1e-9 of the difference:
        # the largest difference seen in these fields is 7.8e-5.
        atol = 1e-4 if "THETA" in name else 2e-6 if name == "CLASS_STAR" else 0
        if name.startswith("POLAR"):  # single precision of a difference of nearly equal numbers
            atol = 1e-7
        if name == "VIGNET_SHIFT":
            peak = np.asarray(original["FLUX_MAX"], float)[:, None, None]
            known = ours > -1e29
            assert known.any()
            assert (np.abs(theirs) < 1e20)[known].all()
            assert (np.abs(ours - theirs) / peak)[known].max() < 2e-5
            continue
        np.testing.assert_allclose(ours, theirs, rtol=tolerance(name), atol=atol, err_msg=name)


@pytest.fixture(scope="module")
def stored():
    with np.load(STORED / "exposure.npz") as images, np.load(STORED / "columns.npz") as file:
        return {**{name: images[name] for name in ("image", "weight")}, **file}


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "small.nnw"
    path.write_text(network_text())
    return read_neural_network(path)


@pytest.mark.parametrize("case", REFERENCE)
def test_columns_are_the_originals(case, stored, network):
    changes = REFERENCE[case][1]
    exposure = reference_exposure(stored)
    config = DetectConfig.exposure(columns=SIZED, **APERTURES, **changes)
    ours = extract(exposure, config, network=network, catalogue=stored["entries"]).table
    names = stored_names(case)
    assert_agrees(ours, {name: stored[f"{case} {name}"] for name in names}, names)


@pytest.mark.binaries
@needs_program
@pytest.mark.parametrize("name", ["plain", "turned", "local", "blank"])
def test_all_columns_live(name, tmp_path, network):
    compare_live(live_fields()[name], tmp_path, network)


@pytest.mark.binaries
@needs_program
@pytest.mark.parametrize(("ra", "dec"), [(10.0, -20.0), (210.0, -54.0)])
def test_angles_in_b1950_far_from_the_pole(ra, dec, tmp_path, network):
    field, keys, changes, _, weighted = live_fields()["turned"]
    cards = {"CRVAL1": ra, "CRVAL2": dec}
    compare_live((field, keys, changes, cards, weighted), tmp_path, network)


@pytest.mark.binaries
@needs_program
@pytest.mark.parametrize("parity", [1, -1])
def test_headers_whose_first_axis_is_the_declination(parity, tmp_path, network):
    """Positions, moments and angles on the sky, and what needs the pixel scale."""
    field, keys, changes, _, weighted = live_fields()["turned"]
    cards = {
        "CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN", "CRVAL1": -20.0, "CRVAL2": 150.0,
        "CD1_1": 4e-5, "CD1_2": parity * 3e-5, "CD2_1": -3e-5, "CD2_2": parity * 4e-5,
    }  # fmt: skip
    compare_live((field, keys, changes, cards, weighted), tmp_path, network)


@pytest.mark.binaries
@needs_program
@pytest.mark.parametrize(("width", "height"), [(9, 9), (7, 12)])
def test_shifted_stamps_reach_further_in_the_line_buffer(width, height, tmp_path, network):
    keys = {"MEMORY_BUFSIZE": 100, "MEMORY_OBJSTACK": 20}
    changes = {"buffer_lines": 100, "buffer_objects": 20}
    columns = ("NUMBER", "X_IMAGE", "FLUX_MAX", f"VIGNET_SHIFT({width},{height})")
    case = make_field((340, 260), 140, seed=59, clusters=3), keys, changes, {}, False
    compare_live(case, tmp_path, network, columns)


@pytest.mark.slow
@pytest.mark.binaries
@needs_program
@pytest.mark.parametrize("name", live_fields())
def test_all_columns_on_many_fields(name, tmp_path, network):
    compare_live(live_fields()[name], tmp_path, network)


@pytest.mark.binaries
@needs_program
def test_local_backgrounds_without_a_filter(tmp_path, network):
    keys = {"BACKPHOTO_TYPE": "LOCAL", "FILTER": "N", "CLEAN": "N"}
    changes = {"back_photometry": "local", "filter": None, "clean": False}
    columns = ("BACKGROUND", "FLUX_ISO", "FLUX_MAX", "ISO3", "FLUX_APER(3)", "FLUX_AUTO", "FLAGS")
    case = make_field((300, 280), 60, seed=600, clusters=3), keys, changes, {}, False
    compare_live(case, tmp_path, network, columns)


@pytest.mark.binaries
@needs_program
def test_petrosian_rings_of_whole_numbers_may_add_up_to_zero(tmp_path, network):
    keys = {"BACK_TYPE": "MANUAL", "BACK_VALUE": 600, "DETECT_MINAREA": 2, "DETECT_THRESH": 1}
    changes = {"back_type": "manual", "back_value": 600.0, "min_area": 2, "threshold": 1.0}
    field = make_field((300, 280), 60, seed=6, noise=1.5)
    case = replace(field, image=np.round(field.image)), keys, changes, {}, False
    compare_live(case, tmp_path, network, ("FLUX_PETRO", "FLUXERR_PETRO", "PETRO_RADIUS", "FLAGS"))


@pytest.mark.binaries
@needs_program
@pytest.mark.parametrize("height", [300, 110, 90])
def test_local_backgrounds_need_their_frame_in_the_line_buffer(height, tmp_path, network):
    """A long streak is complete, and its parts are measured, when its first lines have left."""
    keys = {"BACKPHOTO_TYPE": "LOCAL", "BACKPHOTO_THICK": 12, "CLEAN": "N", "MEMORY_BUFSIZE": 60}
    changes = {
        "back_photometry": "local", "back_thickness": 12, "clean": False, "buffer_lines": 60,
    }  # fmt: skip
    field = make_field((height, 240), height // 3, seed=635, clusters=3)
    image = field.image.copy()
    image[5:-5, 100:102] += 100 + 60 * np.sin(np.arange(height - 10)[:, None] / 7)
    columns = ("BACKGROUND", "FLUX_ISO", "FLUX_MAX", "ISO3", "FLUX_APER(3)", "FLUX_AUTO", "FLAGS")
    case = replace(field, image=image), keys, changes, {}, False
    compare_live(case, tmp_path, network, columns)


def compare_live(case, folder, network, columns=ALL):
    field, keys, changes, cards, weighted = case
    folder.mkdir(exist_ok=True)
    (folder / "small.nnw").write_text(network_text())
    rows = entries(field.image.shape)
    (folder / "sky.list").write_text("\n".join(" ".join(map(repr, r)) for r in rows.tolist()))
    if cards:
        said = {
            key: f"{value!r:20}" if isinstance(value, str) else f"{value:20.12E}"
            for key, value in cards.items()
        }
        lines = "".join(f"{key:8s}= {text}\n" for key, text in said.items())
        (folder / "image.head").write_text(lines + "END\n")
    base = {
        **EXPOSURE, "STARNNW_NAME": "small.nnw", "PHOT_APERTURES": "5,8,13", "SEEING_FWHM": 0.7,
        "PHOT_FLUXFRAC": "0.3,0.8", "ASSOC_NAME": "sky.list", "ASSOC_DATA": "1,2,4",
        "ASSOC_PARAMS": "2,3,4", "ASSOC_RADIUS": 9, "ASSOCSELEC_TYPE": "ALL",
    }  # fmt: skip
    if not weighted:
        base["WEIGHT_TYPE"] = "NONE"
    table, _ = run_sextractor(folder, field, {**base, **keys}, list(columns), checks=())
    exposure = exposure_of(field, WeightKind.RELATIVE if weighted else None)
    if cards:
        text = header(field.image.shape)
        for key, value in said.items():
            text = re.sub(rf"{key:8s}= .{{70}}", f"{key:8s}= {value}".ljust(80), text)
        exposure = exposure.replace(wcs=WCS.from_header(text))
    config = DetectConfig.exposure(columns=columns, **APERTURES, **changes)
    ours = extract(exposure, config, network=network, catalogue=rows).table
    assert len(table) > 3
    assert_agrees(ours, table, table.colnames)


def test_flags_depend_on_the_columns_that_are_asked_for():
    exposure = exposure_of(make_field((300, 90), 60, seed=4, clusters=4))

    def flags(*columns):
        return np.asarray(
            extract(exposure, DetectConfig.exposure(columns=("FLAGS", *columns))).table["FLAGS"]
        )

    assert not (flags("X_IMAGE") & 17).any()
    assert not (flags("FLUX_APER") & 1).any()
    assert (flags("FLUX_AUTO") & 1).any()
    assert (flags("FLUX_RADIUS") & 16).sum() >= (flags("FLUX_AUTO") & 16).sum() > 0


def test_error_of_the_corrected_flux_is_the_originals_where_the_flux_is_low():
    """Two objects found on one image and measured on another: faint there, and negative."""
    objects = np.zeros(2, OBJECT)
    objects["npix"], objects["threshold"] = [7, 142], 21.2126
    objects["iso_flux"], objects["iso_variance"] = [98.4064, -244.968], [1218.35, 44547.6]
    np.testing.assert_allclose(_corrected(objects)[1], [93.40391, 211.06313], rtol=1e-5)


def test_what_columns_need():
    def wanted(*columns):
        return wanted_measurements(DetectConfig(columns=columns, apertures=(3.0, 5.0)))

    assert wanted("NUMBER") == wanted("CLASS_STAR") == wanted("ISO0")
    assert wanted("MAG_APER").circles == 2
    assert wanted("MAG_APER(1)", "FLUX_APER(9)").circles == 2
    assert wanted("MAG_APER(1)").circles == 1
    assert wanted("XWIN_WORLD").auto
    assert wanted("XWIN_WORLD").growth
    assert not wanted("FLUX_GROWTH(3)").auto
    assert wanted("VIGNET(9,5)").vignet == (9, 5)
    assert wanted("VIGNET(9)").vignet == (9, 1)
    assert wanted("VIGNET").vignet == (51, 51)
    assert wanted("VIGNET(9,5)").reach(DetectConfig()) == 3


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("FLUX_PSF", r"fits of point sources.*got FLUX_PSF.*FLUX_WIN"),
        ("MAG_MODEL", r"fits of galaxy models.*got MAG_MODEL.*purepipe\.shapes"),
        ("DISK_SCALE_WORLD", r"fits of galaxy models.*FLUX_AUTO"),
        ("FLUX_SPHEROID", r"fits of galaxy models"),
        ("VECTOR_SOMFIT", r"self-organising maps"),
        ("DGEOX_IMAGE", r"differential geometry"),
        ("X_MAMA", r"scanning machine.*X_WORLD"),
        ("FLUX_AUT", r"unknown column.*'FLUX_AUTO'"),
        ("FLUX_AUTO(3)", r"size does not fit.*FLUX_AUTO\(3\)"),
        ("FLUX_APER(0)", r"size does not fit"),
        ("VIGNET(3,3,3)", r"size does not fit.*VIGNET\(w,h\)"),
        ("FLUX APER", r"not a column.*NAME\(w,h\)"),
    ],
)
def test_columns_that_do_not_exist_are_refused(column, message):
    with pytest.raises(ConfigError, match=message):
        requested_columns(DetectConfig(columns=("NUMBER", column)))


def blob(**keywords):
    yy, xx = np.mgrid[:80, :70]
    image = np.random.default_rng(1).normal(10, 1, (80, 70))
    image += 300 * np.exp(-((xx - 30.2) ** 2 + (yy - 41.7) ** 2) / 8)
    return Exposure(image.astype(np.float32), **keywords)


def test_more_apertures_than_diameters_are_zero(caplog):
    table = extract(blob(), DetectConfig(columns=("FLUX_APER(3)",), apertures=(4.0, 6.0))).table
    assert table["FLUX_APER"].shape == (1, 3)
    assert (table["FLUX_APER"][0, :2] > 0).all()
    assert table["FLUX_APER"][0, 2] == 0
    assert "there are only 2" in caplog.text


def test_class_star_needs_a_network_and_a_scale(network):
    config = DetectConfig(columns=("CLASS_STAR",))
    with pytest.raises(ConfigError, match=r"needs a neural network.*read_neural_network"):
        extract(blob(), config)
    value = extract(blob(), DetectConfig(columns=("CLASS_STAR",), pixel_scale=0.2), network=network)
    assert 0 <= value.table["CLASS_STAR"][0] <= 1


def test_a_network_of_another_size_is_refused(tmp_path):
    (tmp_path / "tiny.nnw").write_text("NNW\n2 1 1\n0\n1\n0.5 0.1\n0\n1\n")
    tiny = read_neural_network(tmp_path / "tiny.nnw")
    with pytest.raises(ConfigError, match=r"does not fit.*1 inputs and 1 outputs.*10 inputs"):
        extract(blob(), DetectConfig(columns=("CLASS_STAR",)), network=tiny)


def associated(rows, **changes):
    config = DetectConfig(
        columns=("VECTOR_ASSOC(2)", "NUMBER_ASSOC"), assoc_data=(1, 4), assoc_radius=2.5, **changes
    )
    table = extract(blob(), config, catalogue=rows).table
    return table["VECTOR_ASSOC"].tolist(), table["NUMBER_ASSOC"].tolist()


@pytest.mark.parametrize(
    ("kind", "vector", "count"),
    [
        ("first", [8, 20], 1), ("nearest", [7, 21], 3), ("mean", [8 - 1 / 63 + 2 / 63, 0], 3),
        ("sum", [24, 63], 3), ("min", [8, 20], 3), ("max", [9, 22], 3),
        ("mag_mean", [None, None], 3), ("mag_sum", [None, None], 3),
    ],
)  # fmt: skip
def test_kinds_of_association(kind, vector, count):
    rows = [[9, 31.2, 44.0, 22], [8, 31.2, 41.0, 20], [7, 31.2, 42.7, 21]]
    vectors, counts = associated(rows, assoc_type=kind)
    assert counts == [count]
    weights = np.array([22, 20, 21.0])
    if kind == "mean":
        vector = [np.average([9, 8, 7], weights=weights), np.average(weights, weights=weights)]
    elif kind == "mag_mean":
        flux = 10 ** (-0.4 * weights)
        vector = [np.average([9, 8, 7], weights=flux), np.average(weights, weights=flux)]
    elif kind == "mag_sum":
        vector = [-2.5 * np.log10(np.sum(10 ** (-0.4 * np.array(v)))) for v in ([9, 8, 7], weights)]
    np.testing.assert_allclose(vectors[0], vector)


def test_association_selects_rows():
    here, away = [[5, 31.2, 42.7, 20]], [[5, 60.0, 12.0, 20]]
    assert associated(here, assoc_select="matched") == ([[5, 20]], [1])
    assert associated(away, assoc_select="matched") == ([], [])
    assert associated(away, assoc_select="-matched") == ([[0, 0]], [0])
    assert associated(away, assoc_select="all") == ([[0, 0]], [0])
    assert associated(np.empty((0, 4)), assoc_select="all")[1] == [0]
    assert associated([[5, 31.2, 42.7, 99.5]], assoc_type="mag_mean") == ([], [])


def test_objects_on_the_last_line_are_associated_with_nothing():
    x, y = np.full(3, 20.0), np.array([38.4, 38.49, 38.51])
    config = DetectConfig(assoc_data=(1,), assoc_params=(2, 3), assoc_radius=3.0)
    entries = [[7, 21.0, 39.0]]
    assert associate(x, y, entries, config, height=40).counts.tolist() == [1, 1, 0]
    assert associate(x, y, entries, config).counts.tolist() == [1, 1, 1]


def test_objects_left_out_by_an_association_stay_in_the_image_of_objects():
    field = make_field((120, 110), 12, seed=4)
    exposure = exposure_of(field)
    everything = DetectConfig.exposure(columns=("NUMBER", "NUMBER_ASSOC"), assoc_select="all")
    nothing = replace(everything, assoc_select="matched")
    nowhere, checks = np.array([[0, -900.0, -900.0, 1.0]]), ("OBJECTS", "SEGMENTATION")
    kept = extract(exposure, everything, catalogue=nowhere, checks=checks)
    left = extract(exposure, nothing, catalogue=nowhere, checks=checks)
    assert len(kept.table) > 3
    assert len(left.table) == 0
    assert not left.checks["SEGMENTATION"].any()
    assert np.array_equal(left.checks["OBJECTS"], kept.checks["OBJECTS"])
    assert kept.checks["OBJECTS"].any()


@pytest.mark.binaries
@needs_program
def test_no_bad_pixel_is_counted_where_the_detection_has_no_weights(tmp_path, network):
    keys, columns = {"WEIGHT_TYPE": "NONE,MAP_WEIGHT"}, ("NLOWWEIGHT_ISO", "FLAGS_WEIGHT", "FLAGS")
    case = make_field((200, 180), 40, seed=3), keys, {"detection_weight_type": "none"}, {}, True
    compare_live(case, tmp_path, network, columns)


def test_associated_catalogue_is_checked():
    with pytest.raises(ConfigError, match=r"need a catalogue.*ASSOC_NAME"):
        associated(None)
    with pytest.raises(ConfigError, match=r"assoc_data.*no such column.*got 4.*1 to 3"):
        associated([[1, 2, 3]])
    with pytest.raises(DataError, match="something else than numbers"):
        associated([["a", "b", "c", "d"]])
    with pytest.raises(DataError, match=r"not a table.*shape \(4,\)"):
        associated([1, 2, 3, 4])
    with pytest.raises(ConfigError, match=r"no world coordinates.*pixel"):
        associated([[1, 2, 3, 4]], assoc_coordinates="world")
    with pytest.raises(ConfigError, match="at least two columns"):
        associated([[1, 2, 3, 4]], assoc_params=(2,))


def test_world_coordinates_associate_like_pixels():
    exposure = exposure_of(make_field((200, 180), 20, seed=6))
    columns = ("NUMBER_ASSOC", "VECTOR_ASSOC(1)")
    place = extract(exposure, DetectConfig.exposure(columns=("X_IMAGE_DBL", "Y_IMAGE_DBL"))).table
    x, y = np.asarray(place["X_IMAGE_DBL"]), np.asarray(place["Y_IMAGE_DBL"])
    sky = np.column_stack(exposure.wcs.pixel_to_sky(x - 1, y - 1))
    tables = [
        extract(
            exposure,
            DetectConfig.exposure(
                columns=columns, assoc_params=(1, 2), assoc_data=(3,), assoc_coordinates=kind
            ),
            catalogue=np.column_stack([rows, np.arange(len(x))]),
        ).table
        for kind, rows in (("pixel", np.column_stack([x, y])), ("world", sky))
    ]
    assert len(tables[0]) == np.count_nonzero(y < 199.5)  # the others lie on the last line
    assert np.array_equal(tables[0]["NUMBER_ASSOC"], tables[1]["NUMBER_ASSOC"])
    assert np.array_equal(tables[0]["VECTOR_ASSOC"], tables[1]["VECTOR_ASSOC"])
