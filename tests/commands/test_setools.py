"""``purepipe setools``: a .setools file on catalogues of the original program and of purepipe."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from purepipe.commands.setools import file_numbers, main
from purepipe.errors import ConfigError
from purepipe.io.images import write_image
from purepipe.io.ldac import read_ldac, write_ldac
from purepipe.io.tables import read_table
from purepipe.select.products import apply_recipe
from purepipe.select.recipe import parse_recipe

REFERENCE = Path(__file__).parents[1] / "reference" / "select"
TUTORIAL = REFERENCE / "star_selection.setools"
SPLIT = "[RAND_SPLIT:star_split]\nRATIO = 20\nMASK = star_selection\n"
SEXTRACTOR = shutil.which("source-extractor") or shutil.which("sex")


def detections():
    """A catalogue of the select room, with stamps and the cards of an image."""
    with np.load(REFERENCE / "usual.npz") as columns:
        table = Table({name: columns[name] for name in columns.files})
    table["VIGNET"] = np.zeros((len(table), 5, 7), np.float32)
    table["VIGNET"][:, 2, 3] = np.arange(len(table))
    table["MAG_AUTO"].unit = "mag"
    table.meta["SEXBKGND"] = 600.5
    return table


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "star_selection.setools"
    path.write_text(TUTORIAL.read_text() + SPLIT)
    return path


@pytest.fixture
def catalogue(tmp_path):
    path = tmp_path / "sexcat-2079614-9.fits"
    write_ldac(path, detections())
    return path


def test_names_and_contents_of_the_products(tmp_path, recipe, catalogue, capsys):
    out = tmp_path / "out"
    assert main([str(catalogue), "-c", str(recipe), "--out", str(out)]) == 0
    names = sorted(str(path.relative_to(out)) for path in out.rglob("*.*"))
    assert names == [
        "mask/star_selection-2079614-9.fits",
        "plot/fwhm_field-2079614-9.png", "plot/hist_mag_stars-2079614-9.png",
        "plot/mag_star_field-2079614-9.png", "plot/size_mag-2079614-9.png",
        "rand_split/star_split_ratio_20-2079614-9.fits",
        "rand_split/star_split_ratio_80-2079614-9.fits",
        "report/selection-2079614-9.txt", "stat/star_stat-2079614-9.txt",
    ]  # fmt: skip
    table = read_ldac(catalogue)
    rows = apply_recipe(parse_recipe(TUTORIAL.read_text()), table, plots=False)
    stars = table[rows.masks["star_selection"].rows]
    written = read_ldac(out / names[0])
    for name in table.colnames:
        np.testing.assert_array_equal(written[name], stars[name])
    assert written.meta["SEXBKGND"] == 600.5
    require_same_layout(catalogue, out / names[0])
    parts = [read_ldac(out / names[k]) for k in (5, 6)]
    assert len(parts[0]) == -(-len(stars) // 5)
    together = np.sort(np.concatenate([part["VIGNET"][:, 2, 3] for part in parts]))
    np.testing.assert_array_equal(together, stars["VIGNET"][:, 2, 3])
    statistics = (out / names[8]).read_text().splitlines()
    assert statistics[:3] == [
        "# Statistics", f"Nb objects full cat = {len(table)}", f"Nb stars = {len(stars)}",
    ]  # fmt: skip
    report = capsys.readouterr().out
    assert f"star_selection: {len(stars)} of {len(table)} rows" in report
    removed = [int(line.split("removes")[1].split(",")[0]) for line in mask_lines(report)]
    assert sum(removed) == len(table) - len(stars)
    assert report.count("removes") == (out / names[7]).read_text().count("removes") > 10


def mask_lines(report):
    lines = report.splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("star_selection:"))
    for line in lines[start + 1 :]:
        if not line.startswith("  "):
            return
        yield line


def require_same_layout(first, second):
    with fits.open(first) as a, fits.open(second) as b:
        assert [hdu.name for hdu in a] == [hdu.name for hdu in b]
        assert a[1].data.tobytes() == b[1].data.tobytes()
        for key in ("name", "format", "unit", "dim", "disp"):
            assert getattr(a[2].columns, key + "s") == getattr(b[2].columns, key + "s")


def test_splits_follow_seed_and_number(tmp_path, recipe, catalogue):
    other = tmp_path / "sexcat-2079614-10.fits"
    shutil.copy(catalogue, other)

    def drawn(out, seed, *catalogues):
        args = [*map(str, catalogues), "-c", str(recipe), "--out", str(tmp_path / out)]
        assert main([*args, "--no-plots", "--seed", str(seed)]) == 0
        return [
            path.read_bytes()
            for path in sorted((tmp_path / out / "rand_split").glob("*_ratio_20*"))
        ]

    first = drawn("a", 1, catalogue, other)
    assert drawn("b", 1, other, catalogue) == first
    assert first[0] != first[1]
    assert drawn("c", 2, catalogue)[0] not in first
    assert not (tmp_path / "a" / "plot").exists()


def test_new_catalogues(tmp_path, catalogue):
    text = "\n".join(
        f"[NEW_CAT:{kind}]\nFWHM = FWHM_IMAGE*0.186\nMAG = MAG_AUTO\nOUTPUT_FORMAT = {kind}"
        for kind in ("fits", "SEx_cat", "txt")
    )
    path = tmp_path / "new.setools"
    path.write_text(text)
    assert main([str(catalogue), "-c", str(path), "--out", str(tmp_path)]) == 0
    table = read_ldac(catalogue)
    plain = read_table(tmp_path / "new_cat" / "fits-2079614-9.fits")
    ldac = read_ldac(tmp_path / "new_cat" / "SEx_cat-2079614-9.fits")
    for found in (plain, ldac):
        assert found.colnames == ["FWHM", "MAG"]
        np.testing.assert_array_equal(found["MAG"], table["MAG_AUTO"])
    assert ldac.meta["SEXBKGND"] == 600.5
    lines = (tmp_path / "new_cat" / "txt-2079614-9.txt").read_text().splitlines()
    assert lines[:2] == ["# HEADER", "# FWHM\tMAG"]
    assert len(lines) == len(table) + 2


def test_nothing_selected_is_said(tmp_path, catalogue, capsys):
    path = tmp_path / "none.setools"
    split = "[RAND_SPLIT:s]\nRATIO = 20\nMASK = none\n"
    path.write_text(f"[MASK:none]\nMAG_AUTO < 0\nFLAGS == 0\n{split}")
    stale = tmp_path / "rand_split" / "s_ratio_20-2079614-9.fits"
    stale.parent.mkdir()
    stale.write_text("from an earlier run")
    assert main([str(catalogue), "-c", str(path), "--out", str(tmp_path)]) == 0
    report = capsys.readouterr().out
    assert "none: 0 of" in report
    assert "EMPTY" in report
    assert "s: not made, 0 rows drawn, 0 left" in report
    assert not stale.exists()
    assert len(read_ldac(tmp_path / "mask" / "none-2079614-9.fits")) == 0


def test_bad_input(tmp_path, recipe, catalogue, capsys):
    def run(*words, config=recipe, out=tmp_path / "out"):
        status = main([*map(str, words), "-c", str(config), "--out", str(out), "--no-plots"])
        return status, capsys.readouterr().err

    status, error = run(tmp_path / "no-1.fits", catalogue)
    assert status == 1
    assert "no-1.fits" in error
    # The good catalogue was still worked on.
    assert (tmp_path / "out" / "mask" / "star_selection-2079614-9.fits").exists()
    image = tmp_path / "image-1.fits"
    write_image(image, np.zeros((4, 5), np.float32))
    assert run(image) == (1, f"purepipe setools: {image}: this is no FITS_LDAC catalogue: it has "
                             "no table LDAC_OBJECTS. Let SExtractor write CATALOG_TYPE FITS_LDAC."
                             "\n")  # fmt: skip
    bad = tmp_path / "bad.setools"
    bad.write_text("[MASK:a]\nMAG_AUTO <> 3\n")
    status, error = run(catalogue, config=bad)
    assert status == 2
    assert "bad.setools line 2, column 11" in error
    bad.write_text("[MASK:a]\nMAG_AUT < 3\n")
    status, error = run(catalogue, config=bad)
    assert status == 2
    assert "line 2, column 1: unknown column" in error
    assert "MAG_AUTO" in error
    status, error = run(catalogue, config=tmp_path / "no.setools")
    assert status == 1
    assert "no.setools" in error
    (tmp_path / "file").write_text("")
    status, error = run(catalogue, out=tmp_path / "file")
    assert status == 1
    assert "the folder cannot be made" in error
    assert main([]) == 2
    assert "required" in capsys.readouterr().err


def test_numbers_of_files():
    names = ("sexcat-2079614-9.fits", "sexcat-123-456.fits", "cat.fits", "a-1.fits.gz")
    assert file_numbers([Path(name) for name in names]) == ["-2079614-9", "-123-456", "", "-1"]
    with pytest.raises(ConfigError, match=r"same number.*a/c-1\.fits, b/c-1\.fits"):
        file_numbers([Path("a/c-1.fits"), Path("b/c-1.fits")])


def test_several_extensions_are_warned_of(tmp_path, recipe, caplog):
    path = tmp_path / "sexcat-1.fits"
    write_ldac(path, [detections(), detections()])
    assert main([str(path), "-c", str(recipe), "--out", str(tmp_path), "--no-plots"]) == 0
    assert "has 2 extensions" in caplog.text


def make_star_field():
    """Round stars of one size and fainter, larger galaxies, on a flat noisy sky."""
    rng = np.random.default_rng(7)
    shape = (700, 700)
    image = rng.normal(600, 8, shape)
    yy, xx = np.mgrid[-12:13, -12:13]
    for k, (gx, gy) in enumerate(np.ndindex(20, 20)):
        x, y = 35 * np.array([gx, gy]) + 17 + rng.uniform(-4, 4, 2)
        star = k % 3 != 0
        sigma = 1.6 if star else rng.uniform(2.2, 4)
        flux = 10 ** rng.uniform(3.6, 5.0)
        ix, iy = round(x), round(y)
        profile = np.exp(-((xx + ix - x) ** 2 + (yy + iy - y) ** 2) / (2 * sigma**2))
        cut = (slice(iy - 12, iy + 13), slice(ix - 12, ix + 13))
        image[cut] += flux * profile / (2 * np.pi * sigma**2)
    return image.astype(np.float32)


@pytest.mark.binaries
@pytest.mark.skipif(SEXTRACTOR is None, reason="source-extractor is not installed")
def test_the_same_stars_from_both_detections(tmp_path, recipe):
    from purepipe.config import DetectConfig
    from purepipe.detect import extract
    from purepipe.exposure import Exposure

    image = make_star_field()
    flags = np.zeros(image.shape, np.int16)
    flags[:, 300:320] = 4
    write_image(tmp_path / "i.fits", image)
    write_image(tmp_path / "f.fits", flags)
    columns = ["NUMBER", "X_IMAGE", "Y_IMAGE", "MAG_AUTO", "FWHM_IMAGE", "FLAGS", "IMAFLAGS_ISO(1)",
               "VIGNET(15,15)"]  # fmt: skip
    (tmp_path / "p.param").write_text("\n".join(columns) + "\n")
    keys = {"CATALOG_NAME": "sexcat-1.fits", "CATALOG_TYPE": "FITS_LDAC", "FILTER": "N",
            "PARAMETERS_NAME": "p.param", "FLAG_IMAGE": "f.fits", "MAG_ZEROPOINT": 30,
            "DETECT_THRESH": 2, "VERBOSE_TYPE": "QUIET"}  # fmt: skip
    words = [word for key, value in keys.items() for word in (f"-{key}", str(value))]
    subprocess.run([SEXTRACTOR, "i.fits", *words], cwd=tmp_path, check=True, capture_output=True)
    config = DetectConfig(threshold=2.0, filter=None, vignet=(15, 15))
    exposure = Exposure(image, flags=flags.astype(np.int32), zero_point=30.0, name="i.fits")
    write_ldac(tmp_path / "sexcat-2.fits", extract(exposure, config).table)
    args = [str(tmp_path / f"sexcat-{k}.fits") for k in (1, 2)]
    assert main([*args, "-c", str(recipe), "--out", str(tmp_path / "out")]) == 0
    found = [read_ldac(tmp_path / "out" / "mask" / f"star_selection-{k}.fits") for k in (1, 2)]
    assert len(found[0]) > 100
    # A star at the very limit of the size may fall on either side.
    assert abs(len(found[0]) - len(found[1])) <= 2
    near = np.hypot(
        np.subtract.outer(found[0]["X_IMAGE"], found[1]["X_IMAGE"]),
        np.subtract.outer(found[0]["Y_IMAGE"], found[1]["Y_IMAGE"]),
    ).min(axis=1)
    assert np.count_nonzero(near > 0.1) <= 2
    for k in (1, 2):
        source = tmp_path / f"sexcat-{k}.fits"
        require_same_layout(source, tmp_path / "out" / "mask" / f"star_selection-{k}.fits")
        assert len(list((tmp_path / "out" / "plot").glob(f"*-{k}.png"))) == 4
