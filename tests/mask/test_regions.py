"""Regions in pixels, on the sky and as text."""

import logging

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from purepipe.errors import DataError, InputFileError, PurepipeError
from purepipe.mask import regions as shapes
from purepipe.mask import regions_from_ds9
from purepipe.wcs import WCS

from .fields import header, wcs

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
    mask = shapes.draw_regions(regions_from_ds9(text), SHAPE)
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
    again = shapes.draw_regions(regions_from_ds9("image\npoint(11.4,21.6)"), SHAPE)
    np.testing.assert_array_equal(mask, again)


def test_excluded_regions_are_left_out_wherever_they_stand():
    text = "image\n-circle(50,50,10)\nbox(50,50,40,40,0)\n"
    mask = shapes.draw_regions(regions_from_ds9(text), SHAPE)
    assert not mask[49, 49]
    assert mask[49 + 15, 49]
    assert not shapes.draw_regions(regions_from_ds9("-circle(50,50,10)"), SHAPE).any()


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
    found = regions_from_ds9("icrs\n" + text, wcs(SHAPE, angle=angle))
    mask = shapes.draw_regions(found, SHAPE)
    # The package makes a flat shape with the scale at its centre; only the rim may differ.
    assert np.count_nonzero(mask != expected) <= 3
    assert mask.any()


def test_distortion_is_followed():
    field = wcs(SHAPE, sip=3e-4)
    (region,) = regions_from_ds9('icrs\ncircle(149.997, 32.004, 8")', field)
    (contour,) = region.contours
    ra, dec = field.pixel_to_sky(contour[:, 0], contour[:, 1])
    dra = (ra - 149.997) * np.cos(np.radians(32.004))
    np.testing.assert_allclose(np.hypot(dra, dec - 32.004) * 3600, 8, atol=1e-3)
    # and it matters here: the same circle without it is elsewhere
    (plain,) = regions_from_ds9('icrs\ncircle(149.997, 32.004, 8")', wcs(SHAPE))
    assert np.abs(plain.contours[0] - contour).max() > 1


def test_galactic_regions():
    from astropy.coordinates import SkyCoord

    galactic = SkyCoord(150.003, 32.001, unit="deg").galactic
    text = f'galactic\ncircle({galactic.l.deg}, {galactic.b.deg}, 8.3")'
    mask = shapes.draw_regions(regions_from_ds9(text, wcs(SHAPE)), SHAPE)
    same = regions_from_ds9("icrs\n" + SKY[0], wcs(SHAPE))
    assert np.count_nonzero(mask != shapes.draw_regions(same, SHAPE)) <= 1


def test_what_has_no_area_is_said(caplog):
    from regions import Regions

    with caplog.at_level(logging.WARNING):
        assert regions_from_ds9("image\nline(1,1,5,5)") == []
        assert regions_from_ds9('icrs\ncircle(330,-32,8")', wcs(SHAPE)) == []
        (line,) = Regions.parse("image\nline(1,1,5,5)", format="ds9")
        assert shapes.regions_from_objects([line]) == []
    assert "regions line 2: a line has no area" in caplog.text
    assert "LinePixelRegion has no area" in caplog.text
    assert "not wholly on this side of the sky" in caplog.text


ERRORS = {
    "panda(1,2,0,360,4,10,20)": r"a\.reg: line 2: panda: a sector needs .*got 7 n.*: 8",
    "panda(1,2,0,x,4,10,20,1)": r"line 2: panda: an angle or a size is not a number",
    "pie(1,2,0,360,4,10)": r"line 2: this is no shape or coordinate system of DS9 .*Valid names",
    "polygone(1,2,3,4,5,6)": r"got 'polygone.*Did you mean 'polygon'",
    "polygon(1,2,3,4,5)": r"line 2: polygon: an even number of coordinates is needed \(got 5",
    "polygon(1,2,3,4)": r"at least three vertices are needed \(got 2",
    "polygon(1,2,nan,4,5,6)": "line 2: PolygonPixelRegion: positions and sizes must be finite",
    "circle(1,2,0)": "line 2: circle: this is not understood: 'radius' must be a strictly positive",
    "circle(1,2)": r"line 2: circle: a position and a radius are needed \(got 2 n.*; allowed: 3\)",
    "circle": r"line 2: circle: a position and a radius are needed \(got 0 numbers",
    "circle(1,2,3,4)": r"line 2: circle: a position and a radius are needed \(got 4 numbers",
    "point(1)": r"line 2: point: two coordinates are needed \(got 1 n.*; allowed: 2\)",
    "annulus(1,2,3)": r"line 2: annulus: a position and two radii .*got 3 n.*allowed: 4 or more",
    "ellipse(1,2,3)": r"line 2: ellipse: a position and two semi-axes are needed",
    "box(1,2)": r"line 2: box: a position, a width and a height are needed",
    "ellipse(1,2,3,4,x)": r"line 2: ellipse: this is not a number \(got 'x'\)",
    "circle(a,2,3)": r"line 2: circle: this is not a number \(got 'a'\)",
    "circle(1,2,3)&!circle(1,2,1)": "shapes joined by & or | are not supported; write each on a",
    "circle(1,2,3)garbage": "circle: nothing may follow the closing bracket, but 'garbage' does",
    "circle(1,2,3) \\": "circle: nothing may follow the closing bracket, but ",
    "circle(1,2,3]": r"circle: the closing bracket is missing \(got 'circle\(1,2,3\]'\)",
    "polygon(1,1,4,1,4,4": "line 2: polygon: the closing bracket is missing",
    "polygon 1,1,4,1,4,4)": "line 2: polygon: one pair of brackets is needed",
    "# panda(5,5,0,90,1,0,4,1": "line 2: panda: the closing bracket is missing",
    'circle(1,2,3")': "a size in the units of the other coordinates needs the image's",
    "amplifier": r"this coordinate system is not supported \(got amplifier; allowed: image, phys",
    "icrss": "this is no shape or coordinate system of DS9 .got 'icrss'.*Did you mean 'icrs'",
    "tile 2": "not supported .got tile 2",
}


@pytest.mark.parametrize("text", ERRORS)
def test_region_errors(text):
    with pytest.raises((InputFileError, DataError), match=ERRORS[text]):
        regions_from_ds9(f"image\n{text}\ncircle(5,5,2)", file="a.reg")


def test_regions_on_the_sky_need_coordinates():
    with pytest.raises(DataError, match=r"a: line 2: CircleSkyRegion: .* world coordinates"):
        regions_from_ds9('icrs\ncircle(150,32,8")', file="a")
    (item,) = regions_as_objects('icrs\ncircle(150,32,8")')
    with pytest.raises(DataError, match=r"^CircleSkyRegion: .* world coordinates"):
        shapes.regions_from_objects([item])


def regions_as_objects(text):
    from regions import Regions

    return Regions.parse(text, format="ds9")


def drawn(text, **options):
    return shapes.draw_regions(regions_from_ds9(text, wcs(SHAPE, **options)), SHAPE)


# What DS9 and people write, and the same in plain words.
WRITINGS = {
    "# Region file format: DS9 version 4.1\nglobal color=green dashlist=8 3 font=\"a; b\"\n"
    "image\ncircle(120,90,20)\n": "circle(120,90,20)",
    "image\r\ncircle(120,90,20)\r\nbox(30,30,8,8,0)":
        "circle(120,90,20)\nbox(30,30,8,8,0)",
    "\ufeffIMAGE\n\tCircle( 120 ,\t90, 20 )": "circle(120,90,20)",
    "image; circle 120 90 20 # color=red text={circle(1,1,1); box}": "circle(120,90,20)",
    "global color=red;image;circle(120,90,20);box(30,30,8,8,0);":
        "circle(120,90,20)\nbox(30,30,8,8,0)",
    "circle(120,90,20) # text=\"one; two\" tag={a} tag={b;c}": "circle(120,90,20)",
    "image\n# circle(1,1,9)\n# a remark (with words)\ncircle(120,90,20)": "circle(120,90,20)",
    "image\n# composite(120,90,0) || composite=1\ncircle(120,90,20) ||\nbox(30,30,8,8,0)":
        "circle(120,90,20)\nbox(30,30,8,8,0)",
    "# made by X; do not edit\n# don't; circle\n# circle(1,1,9); box(1,1,9,9)\n"
    "image # of the sky; as it is\ncircle(120,90,20) # bright; one": "circle(120,90,20)",
    "image\ncircle(120,90,20) # color=red; box(30,30,8,8,0) # tag={a};-circle(120,90,3)":
        "circle(120,90,20)\nbox(30,30,8,8,0)\n-circle(120,90,3)",
    "image\tcircle(120,90,20)": "circle(120,90,20)",
    "composite(120,90,0) || composite=1\ncircle(120,90,20) || # color=red":
        "circle(120,90,20)",
    "image\ncircle(120,90,20)\n# -panda(120,90,0,90,1,0,9,1) # color=red":
        "circle(120,90,20)\n-panda(120,90,0,90,1,0,9,1)",
    "global include=0\n+circle(120,90,20)\ncircle(120,90,3)":
        "circle(120,90,20)\n-circle(120,90,3)",
    "image\ncircle(120,90,20) # include=0\ncircle(120,90,50)":
        "-circle(120,90,20)\ncircle(120,90,50)",
    "global include=0\ncircle(120,90,20)\ncircle(120,90,50) # include=1":
        "-circle(120,90,20)\ncircle(120,90,50)",
    "image\n# vector(9,9,5,30) vector=1\n# text(9,9) text={x}\n# ruler(9,9,5,3) ruler=physical\n"
    "# compass(9,9,5) compass=physical {N} {E} 1 1\nsegment(1,1,5,5,9,9)\ncircle(120,90,20)":
        "circle(120,90,20)",
    "physical\ncircle(120p,90i,20p)": "circle(120,90,20)",
    "image\ncircle(120,90,3.74\")": "circle(120,90,20)",
    "image\nellipse(120,90,3.74\",0.0623333333333')": "ellipse(120,90,20,20)",
    "image\nbox(120,90,20,10,30d)": "rotbox(120,90,20,10,30)",
    "image\nannulus(120,90,10,20,30)": "annulus(120,90,10,30)",
    "image\nannulus(120,90,10,30,n=4)": "annulus(120,90,10,30)",
    "image\ncircle point 120 90\npoint(50,60) # point=boxcircle 11": "point(120,90)\npoint(50,60)",
    "image\npanda(120,90,0,360,4,10,30,2)": "annulus(120,90,10,30)",
    "image\n# epanda(120,90,-30,330,4,10,5,30,15,1,20) # color=red":
        "ellipse(120,90,10,5,30,15,20)",
    "image\nbpanda(120,90,10,370,4,0,0,30,15,1)": "box(120,90,30,15)",
}  # fmt: skip


@pytest.mark.parametrize("text", WRITINGS, ids=range(len(WRITINGS)))
def test_what_ds9_and_people_write(text):
    mask = drawn(text)
    assert mask.any()
    # The package counts the pixels of rings around rings one by one.
    assert np.count_nonzero(mask != drawn("image\n" + WRITINGS[text])) <= 8


TILES = (
    "image\nellipse 5 5 2 1\n# tile 2 comes next\ntile 2\n# panda(5,5,0,90,1,0,4,1)\n"
    "box 5 5 2 2; tile 1\n"
)


def test_shapes_of_one_image_of_several():
    text = TILES.replace("; tile 1", "\n# tile 1\npoint(7,7)\nTILE 2;point(9,9)")
    counts = [[len(item.contours[0]) for item in regions_from_ds9(text, extension=k)]
              for k in (1, 2, 3)]  # fmt: skip
    assert counts[0][0] > 10
    assert counts[0][1:] == [4]
    assert counts[1][0] > 10
    assert counts[1][1:] == [4, 4]
    assert counts[2] == []
    # Complaints name the line of the file, for whichever image it is.
    for extension in (1, 2):
        with pytest.raises(InputFileError, match=r"line 6: this coordinate .* \(got tile 1;"):
            regions_from_ds9(TILES, extension=extension)


@pytest.mark.parametrize("frame", ["image", "fk5"])
@pytest.mark.parametrize(
    ("kind", "sizes", "end"),
    [("panda", "10{u},30{u}", ""), ("epanda", "12{u},6{u},40{u},20{u}", ",25"),
     ("bpanda", "12{u},6{u},60{u},30{u}", ",25"), ("panda", "0,30{u}", "")],
)  # fmt: skip
@pytest.mark.parametrize(("start", "stop"), [(20, 75), (160, 300), (300, 20), (-30, 200)])
def test_sectors(frame, kind, sizes, end, start, stop):
    centre = "120,90" if frame == "image" else "150.0015,31.998"
    sizes = sizes.format(u="p")
    mask = drawn(f"{frame}\n{kind}({centre},{start},{stop},3,{sizes},1{end})", angle=0.0)
    whole = drawn(f"{frame}\n{kind}({centre},0,360,3,{sizes},1{end})", angle=0.0)
    x, y = (119, 89) if frame == "image" else wcs(SHAPE).sky_to_pixel(150.0015, 31.998)
    dy, dx = np.indices(SHAPE) - np.array([y, x]).reshape(2, 1, 1)
    angle = (np.degrees(np.arctan2(dy, dx)) - start) % 360
    inside = angle <= (stop - start) % 360
    # The pixels of the centre and of the two sides are those of rounding errors.
    near = np.minimum.reduce([angle, abs(angle - (stop - start) % 360), 360 - angle])
    sure = np.hypot(dx, dy) * np.radians(near) > 1
    np.testing.assert_array_equal(mask[sure], (whole & inside)[sure])
    assert mask.sum() > 50


def test_sizes_in_pixels_on_the_sky():
    text = "fk5\ncircle(150,32,20p)"
    assert np.count_nonzero(drawn(text) != drawn('fk5\ncircle(150,32,3.74")')) <= 4


def test_physical_coordinates_follow_the_header():
    cards = header(SHAPE)
    cards["LTV1"], cards["LTM1_1"], cards["LTM2_2"], cards["LTV2"] = -50.0, 0.5, 0.5, 10.0
    found = regions_from_ds9("physical\npolygon(200,100,260,100,260,160)", WCS.from_header(cards))
    np.testing.assert_allclose(found[0].contours[0], [(49, 59), (79, 59), (79, 89)])


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
    (region,) = regions_from_ds9(text)
    np.testing.assert_allclose(region.contours[0], vertices, rtol=1e-14)
    (again,) = shapes.polygons_from_weightwatcher(text)
    np.testing.assert_allclose(again - 1, vertices, rtol=1e-13)


_PIECES = st.sampled_from(
    ["polygon", "circle", "box", "ellipse", "annulus", "point", "line", "(", ")", ",", " ", "\n",
     ";", "#", "-", "+", "image", "physical", "fk5", "icrs", "galactic", "tile 2",
     "global color=red",
     "1", "2.5", "1e3", "-7", "nan", "inf", "1e999", "10:20:30", '3"', "2'", "1d", "{", "}", "\0",
     "# panda(5,5,0,90,1,0,4,1)", "# a; circle", "tile", "include=0",
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
@example("#" + " " * 30_000)  # patterns must not try each blank with each
@example("x#;" + " " * 30_000)
@example("__import__('os').system('true')")
def test_hostile_region_text_is_refused_or_drawn(text):
    field = wcs((40, 50))
    for parse in (
        shapes.polygons_from_weightwatcher,
        lambda text: regions_from_ds9(text, field),
        lambda text: regions_from_ds9(text, field, extension=1),
    ):
        try:
            found = parse(text)
        except PurepipeError:
            continue
        for item in found:
            contours = item.contours if isinstance(item, shapes.Region) else (item,)
            assert all(np.isfinite(line).all() and line.shape[1] == 2 for line in contours)
