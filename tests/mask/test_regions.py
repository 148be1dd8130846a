"""Regions in pixels, on the sky and as text."""

import logging

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from purepipe.errors import DataError, InputFileError, PurepipeError
from purepipe.mask import regions as shapes

from .fields import wcs

SHAPE = (256, 300)

SHAPES = [
    "circle(120.3, 90.7, 33.21)",
    "ellipse(120.3, 90.7, 50.2, 20.1, 37)",
    "box(120.3, 90.7, 50.3, 20.7, 37)",
    "polygon(20.3,30.1,100.2,40.2,80.7,120.3)",
    "annulus(120.3, 90.7, 10.1, 33.3)",
    "ellipse(120.3, 90.7, 10.1, 5.3, 40.7, 21.4, 37)",
    "box(120.3, 90.7, 20.2, 10.3, 40.7, 21.4, 37)",
]


def package_mask(text):
    """The same shape drawn by the package `regions` itself, by pixel centres."""
    from regions import Regions

    (item,) = Regions.parse("image\n" + text, format="ds9")
    return item.to_mask("center").to_image(SHAPE) > 0


@pytest.mark.parametrize("text", SHAPES)
def test_shapes_in_pixels(text):
    mask = shapes.draw_regions(shapes.regions_from_ds9(text), SHAPE)
    np.testing.assert_array_equal(mask, package_mask(text))


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        (shapes.circle(119.3, 89.7, 33.21), SHAPES[0]),
        (shapes.ellipse(119.3, 89.7, 50.2, 20.1, 37), SHAPES[1]),
        (shapes.box(119.3, 89.7, 50.3, 20.7, 37), SHAPES[2]),
        (shapes.polygon([(19.3, 29.1), (99.2, 39.2), (79.7, 119.3)]), SHAPES[3]),
        (shapes.annulus(119.3, 89.7, 10.1, 33.3), SHAPES[4]),
    ],
)
def test_shapes_from_numbers_are_zero_based(shape, text):
    np.testing.assert_array_equal(shapes.draw_regions([shape], SHAPE), package_mask(text))


def test_a_point_is_one_pixel():
    mask = shapes.draw_regions([shapes.point(10.4, 20.6)], SHAPE)
    assert np.argwhere(mask).tolist() == [[21, 10]]
    again = shapes.draw_regions(shapes.regions_from_ds9("image\npoint(11.4,21.6)"), SHAPE)
    np.testing.assert_array_equal(mask, again)


def test_excluded_regions_are_left_out_wherever_they_stand():
    text = "image\n-circle(50,50,10)\nbox(50,50,40,40,0)\n"
    mask = shapes.draw_regions(shapes.regions_from_ds9(text), SHAPE)
    assert not mask[49, 49]
    assert mask[49 + 15, 49]
    assert not shapes.draw_regions(shapes.regions_from_ds9("-circle(50,50,10)"), SHAPE).any()


SKY = [
    'circle(150.003, 32.001, 8.3")',
    'ellipse(150.003, 32.001, 12.1", 5.2", 40)',
    'box(150.003, 32.001, 12.1", 5.2", 40)',
    'annulus(150.003, 32.001, 3.1", 8.3")',
    'ellipse(150.003, 32.001, 4.1", 2.2", 12.1", 6.5", 40)',
    'box(150.003, 32.001, 4.1", 2.2", 12.1", 6.5", 40)',
    "polygon(150,32,150.004,32.0005,150.002,32.004)",
    "point(150.002, 32.001)",
]


@pytest.mark.parametrize("angle", [0.0, 130.0])
@pytest.mark.parametrize("text", SKY)
def test_shapes_on_the_sky(text, angle):
    from astropy.wcs import WCS
    from regions import Regions

    from .fields import header

    (item,) = Regions.parse("icrs\n" + text, format="ds9")
    pixel = item.to_pixel(WCS(header(SHAPE, angle=angle)))
    if text.startswith("point"):
        x, y = np.rint(pixel.center.x), np.rint(pixel.center.y)
        expected = np.zeros(SHAPE, bool)
        expected[int(y), int(x)] = True
    else:
        expected = pixel.to_mask("center").to_image(SHAPE) > 0
    found = shapes.regions_from_ds9("icrs\n" + text, wcs(SHAPE, angle=angle))
    mask = shapes.draw_regions(found, SHAPE)
    # The package makes a flat shape with the scale at its centre; only the rim may differ.
    assert np.count_nonzero(mask != expected) <= 3
    assert mask.any()


def test_distortion_is_followed():
    field = wcs(SHAPE, sip=3e-4)
    (region,) = shapes.regions_from_ds9('icrs\ncircle(149.997, 32.004, 8")', field)
    (contour,) = region.contours
    ra, dec = field.pixel_to_sky(contour[:, 0], contour[:, 1])
    dra = (ra - 149.997) * np.cos(np.radians(32.004))
    np.testing.assert_allclose(np.hypot(dra, dec - 32.004) * 3600, 8, atol=1e-3)
    # and it matters here: the same circle without it is elsewhere
    (plain,) = shapes.regions_from_ds9('icrs\ncircle(149.997, 32.004, 8")', wcs(SHAPE))
    assert np.abs(plain.contours[0] - contour).max() > 1


def test_galactic_regions():
    from astropy.coordinates import SkyCoord

    galactic = SkyCoord(150.003, 32.001, unit="deg").galactic
    text = f'galactic\ncircle({galactic.l.deg}, {galactic.b.deg}, 8.3")'
    mask = shapes.draw_regions(shapes.regions_from_ds9(text, wcs(SHAPE)), SHAPE)
    same = shapes.regions_from_ds9("icrs\n" + SKY[0], wcs(SHAPE))
    assert np.count_nonzero(mask != shapes.draw_regions(same, SHAPE)) <= 1


def test_what_has_no_area_is_said(caplog):
    with caplog.at_level(logging.WARNING):
        assert shapes.regions_from_ds9("image\nline(1,1,5,5)") == []
        assert shapes.regions_from_ds9('icrs\ncircle(330,-32,8")', wcs(SHAPE)) == []
    assert "LinePixelRegion has no area" in caplog.text
    assert "not wholly on this side of the sky" in caplog.text


def test_region_errors():
    with pytest.raises(DataError, match=r"CircleSkyRegion: .* world coordinates"):
        shapes.regions_from_ds9('icrs\ncircle(150,32,8")')
    with pytest.raises(InputFileError, match=r"a\.reg: the regions are not understood"):
        shapes.regions_from_ds9("image\npanda(1,2,0,360,4,10,20,1)", file="a.reg")
    with pytest.raises(InputFileError, match="are not understood"):
        shapes.regions_from_ds9("image\npolygon(1,2,3,4,5)")
    for frame in ("amplifier", "icrss"):
        with pytest.raises(InputFileError, match=f'"{frame}" frame or shape is not'):
            shapes.regions_from_ds9(f"{frame}\ncircle(5,5,2)", wcs())
    with pytest.raises(DataError, match=r"at least three vertices \(got 2"):
        shapes.regions_from_ds9("image\npolygon(1,2,3,4)")


def test_weightwatcher_text(caplog):
    text = (
        "# Region file\nglobal color=green\nimage\n"
        "image;polygon(1,2,3,4,5,6) # text\n"
        "-polygon 1 2 3 4\t5 7\n"
        "circle(1,2,3)\n"
    )
    with caplog.at_level(logging.WARNING):
        found = shapes.polygons_from_weightwatcher(text)
    assert [polygon.tolist() for polygon in found] == [
        [[1, 2], [3, 4], [5, 6]],
        [[1, 2], [3, 4], [5, 7]],
    ]
    assert "line 6: circle 1 2 3 masks nothing" in caplog.text


def test_polygons_of_other_extensions_are_left_out():
    text = "polygon(1,1,2,2,3,1)\ntile 2\npolygon(1,1,2,2,3,2)\n# tile 1\npolygon(1,1,2,2,3,3)\n"
    last = [polygon[2, 1] for polygon in shapes.polygons_from_weightwatcher(text)]
    assert last == [1, 3]
    last = [polygon[2, 1] for polygon in shapes.polygons_from_weightwatcher(text, extension=2)]
    assert last == [2]


def test_a_tile_counts_down(caplog):
    triangles = [f"polygon(1,1,2,2,3,{k})" for k in range(6)]
    text = "\n".join([triangles[0], "tile 3", *triangles[1:]])

    def drawn(extension, **options):
        found = shapes.polygons_from_weightwatcher(text, extension=extension, **options)
        return [polygon[2, 1] for polygon in found]

    # As the original draws them.
    assert [drawn(1), drawn(2), drawn(3)] == [[0, 3, 4, 5], [2], [1]]
    assert "line 4: WeightWatcher takes another image for this polygon" in caplog.text
    assert [drawn(k, lasting=True) for k in (1, 2, 3)] == [[0], [], [1, 2, 3, 4, 5]]


def test_weightwatcher_text_errors(caplog):
    with pytest.raises(InputFileError, match=r"p: line 1: .* even number"):
        shapes.polygons_from_weightwatcher("polygon(1,2,3)", file="p")
    with pytest.raises(InputFileError, match="line 2: a coordinate is not a number"):
        shapes.polygons_from_weightwatcher("\npolygon(1,2,x,4)")
    with pytest.raises(InputFileError, match="p: line 1: a coordinate is not finite"):
        shapes.polygons_from_weightwatcher("polygon(1,2,nan,4,5,6)", file="p")
    with pytest.raises(InputFileError, match="line 1: sky coordinates"):
        shapes.polygons_from_weightwatcher("fk5\npolygon(1,2,3,4)")
    with caplog.at_level(logging.WARNING):
        (long,) = shapes.polygons_from_weightwatcher("polygon(" + "1.25 " * 2000 + ")")
    assert len(long) == 1000
    assert "cut this polygon after 4095" in caplog.text


def test_polygons_survive_the_way_to_ds9_and_back():
    vertices = np.random.default_rng(0).uniform(0, 100, (7, 2))
    text = shapes.format_ds9([vertices])
    (region,) = shapes.regions_from_ds9(text)
    np.testing.assert_allclose(region.contours[0], vertices, rtol=1e-14)
    (again,) = shapes.polygons_from_weightwatcher(text)
    np.testing.assert_allclose(again - 1, vertices, rtol=1e-13)


_PIECES = st.sampled_from(
    ["polygon", "circle", "box", "ellipse", "annulus", "point", "line", "(", ")", ",", " ", "\n",
     ";", "#", "-", "+", "image", "physical", "fk5", "icrs", "galactic", "tile 2",
     "global color=red",
     "1", "2.5", "1e3", "-7", "nan", "inf", "1e999", "10:20:30", '3"', "2'", "1d", "{", "}", "\0",
     "é", "polygon(1,1,9,1,9,9)", "circle(5,5,2)", "# tile 1", "|", "&", "\r"]
)  # fmt: skip
_REGION_TEXT = st.one_of(
    st.text(max_size=60), st.lists(_PIECES, max_size=30).map("".join),
    st.lists(_PIECES, max_size=30).map(" ".join),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(_REGION_TEXT)
@example("polygon(" + "(" * 3000)
@example("polygon(" + "1," * 100_000)
@example("circle(" * 2000)
@example("__import__('os').system('true')")
def test_hostile_region_text_is_refused_or_drawn(text):
    field = wcs((40, 50))
    for parse in (
        shapes.polygons_from_weightwatcher,
        lambda text: shapes.regions_from_ds9(text, field),
    ):
        try:
            found = parse(text)
        except PurepipeError:
            continue
        for item in found:
            contours = item.contours if isinstance(item, shapes.Region) else (item,)
            assert all(np.isfinite(line).all() and line.shape[1] == 2 for line in contours)
