"""Recipes (.setools): sections, masks, splits, statistics, catalogues and plots."""

from __future__ import annotations

import contextlib
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from purepipe.errors import ConfigError
from purepipe.legacy.setools import read_setools
from purepipe.select.mode import mode
from purepipe.select.products import apply_recipe
from purepipe.select.recipe import parse_recipe

REFERENCE = Path(__file__).parents[1] / "reference" / "select"
# The file of ShapePipe's tutorial, unchanged.
TUTORIAL = (REFERENCE / "star_selection.setools").read_text()
TABLE = Table({"A": [1, 2, 3, 4], "B": [10, 20, 30, 40]})


def make(text: str, table: Table = TABLE, **options):
    return apply_recipe(parse_recipe(text), table, **options)


def detections() -> Table:
    with np.load(REFERENCE / "usual.npz") as columns:
        return Table({name: columns[name] for name in columns.files})


WRITINGS = {
    "windows": lambda text: text.replace("\n", "\r\n"),
    "old Macs": lambda text: text.replace("\n", "\r"),
    "byte order mark": lambda text: "\ufeff" + text,
    "tabulators": lambda text: text.replace(" ", "\t"),
    "indented": lambda text: text.replace("\n", "\n    "),
    "no last newline": str.rstrip,
    "no blanks": lambda text: "\n".join("".join(line.split()) for line in text.splitlines()),
    "remarks": lambda text: text.replace("\n", "  # a remark [MASK:no]\n"),
}


@pytest.mark.parametrize("name", WRITINGS)
def test_a_file_may_be_written_in_many_ways(name, tmp_path):
    path = tmp_path / "a.setools"
    path.write_bytes(WRITINGS[name](TUTORIAL).encode())
    expected, found = (
        apply_recipe(recipe, detections(), plots=False)
        for recipe in (parse_recipe(TUTORIAL), read_setools(path))
    )
    assert list(found.masks) == list(expected.masks)
    for key, mask in expected.masks.items():
        np.testing.assert_array_equal(found.masks[key].rows, mask.rows)
    assert len(found.plots) == len(expected.plots)


def test_the_tutorials_file_runs_unchanged():
    table = detections()
    products = make(TUTORIAL, table, plots=False)
    good = (table["FLAGS"] == 0) & (table["IMAFLAGS_ISO"] == 0)
    fwhm, mag = np.asarray(table["FWHM_IMAGE"]), np.asarray(table["MAG_AUTO"])
    pre = good & (mag > 0) & (mag < 20) & (fwhm > 0.3 / 0.186) & (fwhm < 1.5 / 0.186)
    centre = mode(fwhm[pre])
    stars = good & (mag > 17) & (mag < 21.5) & (fwhm <= centre + 0.2) & (fwhm >= centre - 0.2)
    np.testing.assert_array_equal(products.masks["star_selection"].rows, stars)
    assert [mask.save for mask in products.masks.values()] == [False, True, False]
    lines = products.statistics[0].text.splitlines()
    assert lines[0] == "# Statistics"
    assert lines[1] == f"Nb objects full cat = {len(table)}"
    assert lines[2] == f"Nb stars = {stars.sum()}"
    assert lines[6] == f"Mode fwhm used (arcsec) = {np.float32(centre * np.float32(0.186))!s}"
    assert products.notes == ()


def test_the_tutorials_plots():
    plots = make(TUTORIAL, detections()).plots
    assert [plot.name for plot in plots] == [
        "size_mag", "hist_mag_stars", "fwhm_field", "mag_star_field",
    ]  # fmt: skip
    for plot in plots:
        assert plot.format == "png"
        assert plot.content.startswith(b"\x89PNG")
        width, height = struct.unpack(">II", plot.content[16:24])
        assert width > 300
        assert height > 300


def test_masks_inherit_and_count():
    products = make("""
        [MASK:low]
        A < 4         # a comment
        NO_SAVE
        [MASK:odd]
        A != 2
        [MASK]
        mean(A) < 2.1   # the mean of the rows of both masks
        {low}
        {odd}
        A >= mean(A{low})
        [MASK:nothing]
        A > 10
        [MASK:copy]
        {low}
        [MASK:all]
        NO_SAVE
    """)
    masks = products.masks
    assert list(masks) == ["low", "odd", "mask_3", "nothing", "copy", "all"]
    np.testing.assert_array_equal(masks["mask_3"].rows, [False, False, True, False])
    assert masks["mask_3"].report() == (
        "mask_3: 1 of 4 rows\n  {low}: 3 alone, 3 left\n  {odd}: 3 alone, 2 left\n"
        "  mean(A) < 2.1: 2 alone, 2 left\n  A >= mean(A{low}): 1 alone, 1 left"
    )
    np.testing.assert_array_equal(masks["copy"].rows, masks["low"].rows)
    assert masks["all"].rows.all()
    assert products.notes == (
        "empty mask nothing: 0 of 4 rows\n  A > 10: 0 alone, 0 left",
    )  # fmt: skip


def test_a_repeated_section_replaces_the_first():
    products = make("[MASK:a]\nA<2\n[MASK:b]\nA<3\n[MASK:a]\nA<4")
    assert products.masks["a"].rows.sum() == 3
    assert list(products.masks) == ["a", "b"]


def test_random_splits():
    table = Table({"X": np.arange(400)})
    text = "[MASK:s]\nX < 73\n[RAND_SPLIT:one]\nRATIO=20\nMASK=s\n[RAND_SPLIT:two]\nRATIO=0.29"
    one, two = make(text, table, seed=3, unit="1-2").splits
    assert one.names == ("one_ratio_20", "one_ratio_80")
    assert two.names == ("two_ratio_29", "two_ratio_71")
    assert (len(one.drawn), len(one.rest)) == (15, 58)
    assert (len(two.drawn), len(two.rest)) == (116, 284)
    assert sorted([*one.drawn, *one.rest]) == list(range(73))
    assert np.all(np.diff(one.rest) > 0)
    again = make(text, table, seed=3, unit="1-2").splits[0]
    np.testing.assert_array_equal(again.drawn, one.drawn)
    for other in ({"seed": 4, "unit": "1-2"}, {"seed": 3, "unit": "1-3"}):
        assert not np.array_equal(make(text, table, **other).splits[0].drawn, one.drawn)


def test_percentages_are_not_lost_to_rounding():
    table = Table({"X": np.arange(100)})
    assert len(make("[RAND_SPLIT]\nRATIO=7", table).splits[0].drawn) == 7


def test_an_empty_split_is_said():
    products = make("[MASK:n]\nA>9\n[RAND_SPLIT:s]\nRATIO=20\nMASK=n")
    assert products.splits[0].empty
    assert "split s not made: 0 rows drawn, 0 left" in products.notes


def test_statistics_without_masks():
    text = '[STAT]\n"a = b # c" = mean(A)\nNb rows = len(A)\n"r" = A{m}\n'
    with pytest.raises(ConfigError, match=r"line 4, column 7: unknown mask \(got m\)"):
        make(text)
    statistics = make(text.replace("A{m}", "max(B)/4.")).statistics[0]
    assert statistics.name == "stat_1"
    assert statistics.text == "# Statistics\na = b # c = 2.5\nNbrows = 4\nr = 10.0\n"


def test_new_catalogues():
    products = make("""
        [MASK:m]
        A < 3
        [NEW_CAT:table]
        SUM = A + B
        OUTPUT_FORMAT = SEx_cat
        [NEW_CAT:text]
        OUTPUT_FORMAT = txt
        A = A
        FEW = B{m}
    """)
    table, text = products.catalogues
    assert table.format == "SEx_cat"
    assert table.text is None
    np.testing.assert_array_equal(table.columns["SUM"], [11, 22, 33, 44])
    assert text.text == "# HEADER\n# A\tFEW\n1\t10\n2\t20\n3\t\n4\t\n"
    with pytest.raises(
        ConfigError, match=r"NEW_CAT:new_cat_1: .*same number of rows \(got 2 and 4"
    ):
        make("[MASK:m]\nA<3\n[NEW_CAT]\nX=A\nY=A{m}")


def test_plots_share_x_and_options():
    products = make("""
        [PLOT:p]
        TYPE = plot
        X = A
        Y_a = B
        Y_b = B*2
        COLOR_a = red
        ALPHA = 0.5
        LINE = -
        XLIM = 0,5
        YLIM = 0, 100
        LABEL_a = "mean @mean(B)@ of B"
        TITLE = "@len(A)@ rows # here"
        FORMAT = svg
        [PLOT:h]
        TYPE = HISTOGRAM
        Y_1 = A
        Y_2 = B
        BIN = 5
        LOG = True
        HTYPE = step
    """)
    svg = products.plots[0].content
    assert products.plots[0].format == "svg"
    assert b"mean 25.0 of B" in svg
    assert b"4 rows # here" in svg
    assert products.plots[1].content.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A < 2", r"line 1, column 1: text before the first section .* Begin with"),
        ("[MASKS:a]", r"unknown type of section \(got MASKS\). Did you mean 'MASK'"),
        ("[MASK:a", r"malformed section .*allowed: \[TYPE:name\]"),
        ("[MASK:../a]", r"becomes a file name \(got ../a"),
        ("[MASK:a]\n\n  A < ", "line 3, column 6: a number, a column"),
        ("[MASK:a]\nA", "a comparison is needed"),
        ("[MASK:a]\n{b}", r"line 2, column 1: unknown mask \(got b\)"),
        ("[MASK:a]\n{a}", r"unknown mask \(got a\). There is none yet. A mask must be defined"),
        ("[MASK:a]\n{b}\n[MASK:b]\n{a}", r"line 2, column 1: unknown mask \(got b\)"),
        ("[MASK:a]\nA>0\n[MASK:c]\nA<mean(A{c})", r"line 4, column 8: unknown mask \(got c\)"),
        ("[RAND_SPLIT:a]\nRATIO=0", r"RATIO must be a percentage or a fraction \(got 0"),
        ("[RAND_SPLIT:a]\nRATIO=100", "RATIO must be a percentage"),
        ("[RAND_SPLIT:a]\nRATIO=ten", "RATIO must be a percentage"),
        ("[RAND_SPLIT:a]\nRATO=10", r"unknown key \(got RATO\). Did you mean 'RATIO'"),
        ("[RAND_SPLIT:a]\nMASK=b", r"RATIO is missing \(got \[RAND_SPLIT:a\]\)"),
        ("[RAND_SPLIT:a]\nRATIO=10\nMASK=b", "unknown mask"),
        ("[STAT]\nlen(A)", "a line of the form KEY = value is needed"),
        ('[STAT]\n"a = 3', "a quotation mark is not closed"),
        ("[STAT]\na =", "a value is needed after the ="),
        ("[STAT]\n= 3", "a name is needed before the ="),
        ("[STAT]\na == 3", "a number, a column or a function"),
        ("[NEW_CAT]\nOUTPUT_FORMAT = fist", r"unknown word \(got fist\). Did you mean 'fits'"),
        ("[PLOT]\nTYPE=plt\nX=A\nY=A", r"unknown word \(got plt\). Did you mean 'plot'"),
        ("[PLOT]\nX=A\nY=A", r"unknown word \(got nothing\)"),
        ("[PLOT]\nTYPE=plot\nX=A", "line 1, column 1: a plot needs Y"),
        ("[PLOT]\nTYPE=scatter\nX=A\nY=A", "a scatter needs SCATTER"),
        ("[PLOT]\nTYPE=plot\nX=A\nY=A\nXLABL=A", "Did you mean 'XLABEL'"),
        ('[PLOT]\nTYPE=plot\nX=A\nY=A\nLABEL="@mean(A)"', "an @ is not closed"),
        ("[PLOT]\nTYPE=plot\nX_1=A\nX_2=A\nY_3=A", r"a curve lacks its X \(got Y_3; allowed: X_1"),
        ("[PLOT:p]\nTYPE=plot\nX=A\nY=A\nCOLOR=rouge", r"\[PLOT:p\]: the plot cannot .*rouge"),
        ("[PLOT:p]\nTYPE=plot\nX=A\nY=A\nXLIM=3", "the plot cannot be drawn"),
        ("\n" * 10_001, "the file is too long"),
    ],
)  # fmt: skip
def test_mistakes(text, message):
    with pytest.raises(ConfigError, match=message):
        make(text)


def test_mistakes_name_the_file():
    with pytest.raises(ConfigError, match=r"stars.setools line 2, column 5: unknown function"):
        parse_recipe("[MASK]\nA < foo(3)", file=Path("stars.setools"))


def test_recipes_travel_to_workers():
    recipe = parse_recipe(TUTORIAL)
    assert pickle.loads(pickle.dumps(recipe)) == recipe


_LINES = st.sampled_from(
    ["[MASK:a]", "[MASK]", "[PLOT:p]", "[STAT:s]", "[RAND_SPLIT:r]", "[NEW_CAT:n]", "[", "A < 2",
     "{a}", "NO_SAVE", "RATIO = 20", "MASK = a", '"x" = mean(A)', "TYPE = plot", "X = A", "Y = B",
     "Y_1 = A{a}", "LABEL = @len(A)@", "# c", '"', "= =", "OUTPUT_FORMAT = txt", "", "é\0"]
)  # fmt: skip


@given(st.one_of(st.text(max_size=80), st.lists(_LINES, max_size=14).map("\n".join)))
@settings(max_examples=300, deadline=None)
def test_hostile_recipes_are_refused_or_run(text):
    with contextlib.suppress(ConfigError):
        make(text, plots=False)
