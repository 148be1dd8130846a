"""Single modules: what they write, and what they refuse."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from purepipe.errors import ConfigError, DataError, InputFileError, NothingToDo
from purepipe.io import read_ldac, read_table
from purepipe.io.ldac import write_ldac
from purepipe.io.shape_tables import TYPES
from purepipe.io.stamp_store import StampStore
from purepipe.io.tables import write_tables
from purepipe.shapepipe import catalogues, ccds, images, stamps
from purepipe.shapepipe import config as keys
from purepipe.shapepipe import config_small as small
from purepipe.shapepipe.epochs import find_numbered_file, read_tile
from purepipe.shapepipe.headers import read_headers, read_wcs_log, write_wcs_log
from purepipe.shapepipe.job import Job, Record, prefixed
from purepipe.shapepipe.tiles import merge_slices, read_stamps


def job(tmp_path, files=(), number="-000-000", table=()):
    out = tmp_path / "product"
    out.mkdir(exist_ok=True)
    files = tuple(Path(path) for path in files)
    return Job("step", "module", number, files, tuple(table), None, out, tmp_path / "log")


def wcs_header(shape=(40, 60), ra=150.0, dec=2.0):
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"] = ra, dec
    header["CRPIX1"], header["CRPIX2"] = shape[1] / 2, shape[0] / 2
    header["CD1_1"], header["CD2_2"] = -5e-5, 5e-5
    header["CD1_2"] = header["CD2_1"] = 0.0
    return header


def write_exposure(path, kind="image", ccd_count=2, dtype=np.float32):
    hdus = [fits.PrimaryHDU()]
    for number in range(ccd_count):
        data = np.full((40, 60), number + 1, dtype)
        hdus.append(fits.ImageHDU(data, wcs_header(ra=150 + number), name=f"ccd{number}"))
    fits.HDUList(hdus).writeto(path)
    return path


def test_names_with_and_without_prefix():
    assert prefixed("tile", "sexcat", "-000-000") == "tile_sexcat-000-000.fits"
    assert prefixed("", "sexcat", "-1") == prefixed("None", "sexcat", "-1") == "sexcat-1.fits"


def test_split_and_merge_headers(tmp_path):
    image = write_exposure(tmp_path / "image-2100001.fits")
    flag = write_exposure(tmp_path / "flag-2100001.fits", dtype=np.int32)
    config = keys.SplitExpConfig(prefixes=("image", "flag"), n_hdu=2)
    work = job(tmp_path, [image, flag], "-2100001")
    ccds.split(work, config, Record(work.out))
    assert sorted(path.name for path in work.out.iterdir()) == [
        "flag-2100001-0.fits", "flag-2100001-1.fits", "headers-2100001.npy",
        "image-2100001-0.fits", "image-2100001-1.fits",
    ]  # fmt: skip
    headers = work.out / "headers-2100001.npy"
    assert len(read_headers(headers)) == 2
    serial = job(tmp_path, table=[("-2100001", (headers,))])
    ccds.merge_headers(serial, keys.MergeHeadersConfig(), Record(work.out))
    log = read_wcs_log(work.out / "log_exp_headers.npy")  # the tutorial's name
    assert [ccd.name for ccd in log["2100001"]] == ["2100001-0", "2100001-1"]
    assert log["2100001"][1].wcs.pixel_to_sky(29.0, 19.0)[0] == pytest.approx(151.0)


def test_split_refuses_exposures_that_lack_ccds(tmp_path):
    image = write_exposure(tmp_path / "image-2100001.fits")
    work = job(tmp_path, [image], "-2100001")
    with pytest.raises(InputFileError, match=r"too few CCDs .*got 2; allowed: 3 \(N_HDU\)"):
        ccds.split(work, keys.SplitExpConfig(prefixes=("image",), n_hdu=3), Record(work.out))
    with pytest.raises(ConfigError, match="each input needs one output name"):
        ccds.split(work, keys.SplitExpConfig(n_hdu=2), Record(work.out))


def test_pickles_are_refused(tmp_path):
    np.save(tmp_path / "headers.npy", np.array([{"header": "x"}], dtype=object))
    with pytest.raises(InputFileError, match=r"Python pickles.*Split the exposure again"):
        read_headers(tmp_path / "headers.npy")
    with pytest.raises(InputFileError, match="does not exist"):
        read_wcs_log(tmp_path / "log.sqlite")


def test_the_mask_needs_to_know_what_its_files_are(tmp_path):
    (tmp_path / "a.mask").write_text("")
    for given, message in ((1, "image and weight"), (3, "do not say what the further files are")):
        with pytest.raises(ConfigError, match=message):
            ccds._mask_files(job(tmp_path, ["a"] * given), keys.MaskModuleConfig())
    both = keys.MaskModuleConfig(use_ext_flag=True, use_ext_star=True)
    image = write_exposure(tmp_path / "flag-1.fits", dtype=np.int16)
    (tmp_path / "star_cat-1.cat").write_text("#")
    _, _, flag, star = ccds._mask_files(job(tmp_path, ["a", "b", image]), both)
    assert (flag, star) == (image, None)
    _, _, flag, star = ccds._mask_files(
        job(tmp_path, ["a", "b", tmp_path / "star_cat-1.cat"]), both
    )
    assert (flag, star) == (None, tmp_path / "star_cat-1.cat")


def get_config(tmp_path, **changes):
    values = {
        "input_path": (str(tmp_path),), "input_pattern": ("CFIS.000.000.r",),
        "input_ext": (".fits.fz",), "output_pattern": ("CFIS_image",),
        "input_numbering": r"\d{3}\.\d{3}",
    }  # fmt: skip
    return small.GetImagesConfig(**(values | changes))


@pytest.mark.parametrize("retrieve", ["symlink", "copy"])
def test_images_are_linked_or_copied(tmp_path, retrieve):
    (tmp_path / "CFIS.231.285.r.fits.fz").write_text("x")
    (tmp_path / "tile_numbers.txt").write_text("231.285\n")
    work = job(tmp_path, table=[("", (tmp_path / "tile_numbers.txt",))])
    images.get_images(work, get_config(tmp_path, retrieve=retrieve), Record(work.out))
    path = work.out / "CFIS_image-231-285.fitsfz"
    assert path.read_text() == "x"
    assert path.is_symlink() == (retrieve == "symlink")
    (tmp_path / "tile_numbers.txt").write_text("231.285\n231.286\n")
    with pytest.raises(InputFileError, match=r"1 of 2 files are missing .*CFIS.231.286"):
        images.get_images(work, get_config(tmp_path), Record(work.out))


def test_compressed_images_are_unpacked(tmp_path):
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(np.arange(100.0).reshape(10, 10))])
    hdus.writeto(tmp_path / "image-000-000.fits")
    work = job(tmp_path, [tmp_path / "image-000-000.fits"])
    config = small.UncompressConfig(hdu=1, output_pattern=("CFIS_image",))
    images.uncompress(work, config, Record(work.out))
    data = fits.getdata(work.out / "CFIS_image-000-000.fits", 0)
    np.testing.assert_allclose(data, np.arange(100.0).reshape(10, 10), atol=0.5)


def catalogue(path, n=6, **columns):
    table = Table(
        {
            "NUMBER": np.arange(1, n + 1, dtype=np.int32),
            "XWIN_IMAGE": np.linspace(5, 50, n), "YWIN_IMAGE": np.linspace(5, 30, n),
            "XWIN_WORLD": 150 + np.arange(n) * 1e-3, "YWIN_WORLD": np.full(n, 2.0), **columns,
        }
    )  # fmt: skip
    write_ldac(path, table, "")
    return path


def test_stamps_on_a_tile_do_not_wrap_around(tmp_path):
    image = np.arange(40.0 * 60.0, dtype=np.float32).reshape(40, 60) + 1
    fits.PrimaryHDU(image).writeto(tmp_path / "w.fits")
    table = catalogue(tmp_path / "c.fits", 2)
    content = read_ldac(table)
    content["XWIN_IMAGE"] = [10.5, -3.0]
    content["YWIN_IMAGE"] = [11.5, 7.0]
    write_ldac(table, content)
    config = keys.VignetConfig(size=5, prefixes=("weight",))
    work, record = job(tmp_path, [table, tmp_path / "w.fits"]), Record(tmp_path / "product")
    stamps.vignets(work, config, record)
    vignets = read_ldac(work.out / "weight_vignet-000-000.fits")["VIGNET"]
    assert vignets.dtype == np.float64
    np.testing.assert_array_equal(vignets[0], image[8:13, 8:13])  # 9.5, 10.5: ties to even
    assert (vignets[1] == 0).all()
    assert "1 objects lie off the image" in record.notes[0]
    with pytest.raises(ConfigError, match="each image needs one beginning"):
        stamps.vignets(work, keys.VignetConfig(prefixes=("a", "b")), record)
    with pytest.raises(ConfigError, match=r"lacks a column.*XWIN_IMAGE"):
        stamps.vignets(work, keys.VignetConfig(positions=("XWIN_IMAG", "YWIN_IMAGE")), record)


def test_masked_vignets(tmp_path):
    vignet = np.ones((2, 3, 3), np.float32)
    vignet[0, 1, 1] = -1e30
    table = catalogue(tmp_path / "c.fits", 2, VIGNET=vignet)
    work = job(tmp_path, [table])
    stamps.vignets(work, keys.VignetConfig(masking=True, mask_value=7.0), Record(work.out))
    assert read_ldac(work.out / "cat_vignet-000-000.fits")["VIGNET"][0, 1, 1] == 7


@pytest.fixture
def tile(tmp_path):
    """A tile catalogue of three objects, the third one seen by no CCD, and one CCD of it."""
    epochs = Table({"NUMBER": [1, 2, 3], "EXP_NAME": ["2100001"] * 3, "CCD_N": [0, 0, -1]})
    path = catalogue(tmp_path / "tile.fits", 3)
    table = read_ldac(path)
    write_ldac(path, table, "", [epochs])
    header = wcs_header()
    header["NAXIS"], header["NAXIS1"], header["NAXIS2"] = 2, 60, 40
    text = header.tostring(endcard=False, padding=False)
    write_wcs_log(tmp_path / "log.sqlite", {"2100001": [text]})
    return path, tmp_path / "log.sqlite"


def test_stamps_of_epochs(tmp_path, tile):
    path, log = tile
    fits.PrimaryHDU(np.ones((40, 60), np.int16)).writeto(tmp_path / "flag-2100001-0.fits")
    config = keys.VignetConfig(
        mode="multi-epoch", coordinates="sphe", positions=("XWIN_WORLD", "YWIN_WORLD"), size=31,
        image_dirs=(str(tmp_path),), image_patterns=("flag", "image"), wcs_log=log,
    )  # fmt: skip
    work, record = job(tmp_path, [path]), Record(tmp_path / "product")
    stamps.vignets(work, config, record)
    with StampStore(work.out / "flag_vignet-000-000.sqlite") as store:
        assert [len(store[name]) for name in ("1", "2", "3")] == [1, 1, 0]
        stamp = store["2"]["2100001-0"]["VIGNET"]
        assert stamp.dtype == np.int16
        assert (stamp == 1024).any()  # beyond the image: OUTSIDE, not good
    # The images of the CCD are missing: the objects lose the epoch, and it is said.
    with StampStore(work.out / "image_vignet-000-000.sqlite") as store:
        assert [len(store[name]) for name in ("1", "2", "3")] == [0, 0, 0]
    assert any("no file has this name and number" in note for note in record.notes)


def test_catalogues_without_epochs_are_refused(tmp_path, tile):
    path = catalogue(tmp_path / "plain.fits")
    with pytest.raises(InputFileError, match=r"no table EPOCH_0.*MAKE_POST_PROCESS"):
        read_tile(path, tile[1], ("XWIN_WORLD", "YWIN_WORLD"), Record(tmp_path))


def test_epochs_without_world_coordinates_are_told(tmp_path, tile):
    write_wcs_log(tmp_path / "other.sqlite", {"2100009": []})
    record = Record(tmp_path)
    found = read_tile(tile[0], tmp_path / "other.sqlite", ("XWIN_WORLD", "YWIN_WORLD"), record)
    assert len(found.epochs.row) == 0
    assert "2100001-0: its world coordinates are not known" in record.notes[0]


def test_stores_with_different_epochs_are_joined_by_name(tmp_path, tile):
    from purepipe.io.stamp_store import write_stamp_store

    ones = {"VIGNET": np.ones((15, 15), np.float32)}
    both = {"1": {"2100001-0": ones}, "2": {"2100001-0": ones}, "3": {}}
    paths = []
    for place, name in enumerate(("image", "background", "psf", "weight", "flag")):
        content = both if name != "psf" else {"1": {}, "2": {"2100001-0": ones}, "3": {}}
        paths.append(tmp_path / f"{place}.sqlite")
        write_stamp_store(paths[-1], content)
    ccds_known = {ccd.name: ccd for ccd in read_wcs_log(tile[1])["2100001"]}
    found = read_stamps(read_ldac(tile[0]), paths, ccds_known, Record(tmp_path))
    assert found.row.tolist() == [0, 1]
    assert [bool(flag) for flag in found.flags] == [True, False]


def test_models_under_older_names_are_found(tmp_path):
    (tmp_path / "star_selection-2100001-0.psf").write_text("")
    record = Record(tmp_path)
    path = find_numbered_file(tmp_path, "star_selection_psfex", "2100001-0", ".psf", record)
    assert path.name == "star_selection-2100001-0.psf"
    find_numbered_file(tmp_path, "star_selection_psfex", "2100001-0", ".psf", record)
    assert record.notes == [
        "there is no star_selection_psfex-<number>.psf; star_selection-<number> is taken."
    ]
    (tmp_path / "star-2100001-0.psf").write_text("")
    with pytest.raises(InputFileError, match="more than one file has this number"):
        find_numbered_file(tmp_path, "star_selection_psfex", "2100001-0", ".psf", record)


def test_random_points_lie_on_unmasked_pixels(tmp_path):
    image = tmp_path / "image-000-000.fits"
    fits.PrimaryHDU(np.zeros((40, 60), np.float32), wcs_header()).writeto(image)
    mask = np.ones((40, 60), np.int16)
    mask[10:20, 30:40] = 0
    fits.PrimaryHDU(mask).writeto(tmp_path / "pipeline_flag-000-000.fits")
    work = job(tmp_path, [image, tmp_path / "pipeline_flag-000-000.fits"])
    record = Record(work.out)
    catalogues.randoms(work, small.RandomCatConfig(number=500), record)
    table = read_table(work.out / "random_cat-000-000.fits")
    assert len(table) == 500
    assert set(table["TILE_ID"]) == {0.0}
    assert set(table["TILE_NAME"]) == {"000-000"}
    assert 30.5 <= table["x"].min() < table["x"].max() <= 40.5
    assert 10.5 <= table["y"].min() < table["y"].max() <= 20.5
    area = 100 * (5e-5) ** 2
    catalogues.randoms(work, small.RandomCatConfig(number=1e9, density=True), record)
    assert len(read_table(work.out / "random_cat-000-000.fits")) == round(1e9 * area)
    fits.PrimaryHDU(np.ones((40, 60), np.int16)).writeto(tmp_path / "all.fits")
    with pytest.raises(NothingToDo, match="every pixel of the tile is masked"):
        catalogues.randoms(job(tmp_path, [image, tmp_path / "all.fits"]),
                           small.RandomCatConfig(), record)  # fmt: skip


def test_external_columns_are_matched_within_the_tolerance(tmp_path):
    path = catalogue(tmp_path / "tile_sexcat-000-000.fits", 3)
    other = Table({"ra": [150.0001, 150.002], "dec": [2.0, 2.0], "z": [0.5, 0.7]})
    other["NUMBER"] = [11, 12]
    write_tables(tmp_path / "other.fits", {"DATA": other})
    config = small.MatchExternalConfig(
        tolerance=0.5, external=tmp_path / "other.fits", copied=("z",), distance=True
    )
    work = job(tmp_path, [path])
    catalogues.match(work, config, Record(work.out))
    table = read_table(work.out / "cat_matched-000-000.fits", "MATCHED")
    assert table["NUMBER"].tolist() == [1, 3]
    assert table["z"].tolist() == [0.5, 0.7]
    assert table["distance"][0] == pytest.approx(0.36 * np.cos(np.radians(2.0)), rel=1e-4)
    marked = small.MatchExternalConfig(
        tolerance=0.5, external=tmp_path / "other.fits", copied=("z", "NUMBER"), mark=0.0,
        distance=True,
    )  # fmt: skip
    catalogues.match(work, marked, Record(work.out))
    table = read_table(work.out / "cat_matched-000-000.fits", "MATCHED")
    assert table["z"].tolist() == [0.5, 0.0, 0.7]
    assert table["NUMBER"].tolist() == [1, 2, 3]
    assert table["NUMBER_external"].tolist() == [11, 0, 12]
    assert table["distance"][1] > 1  # that of the nearest, also where it is too far
    with pytest.raises(DataError, match="lacks a column"):
        catalogues.match(
            work, small.MatchExternalConfig(external=tmp_path / "other.fits", copied=("y",)),
            Record(work.out),
        )  # fmt: skip


def test_catalogues_of_the_same_objects_are_pasted(tmp_path):
    paths = [catalogue(tmp_path / f"{name}-000-000.fits", n) for name, n in (("a", 3), ("b", 3))]
    work = job(tmp_path, paths)
    catalogues.paste(work, small.PastecatConfig(check_column="NUMBER"), Record(work.out))
    assert len(read_table(work.out / "cat_pasted-000-000.fits", "B")) == 3
    paths[1] = catalogue(tmp_path / "c-000-000.fits", 4)
    with pytest.raises(DataError, match="the catalogues hold different objects"):
        catalogues.paste(
            job(tmp_path, paths), small.PastecatConfig(check_column="NUMBER"), Record(work.out)
        )


def test_stars_of_all_ccds_are_merged(tmp_path):
    table = []
    for ccd in (0, 1):
        path = tmp_path / f"validation_psf-2100001-{ccd}.fits"
        write_ldac(path, Table({"X": [1.0, 2.0], "Y": [1.0, 2.0], "MAG": [20.0, 21.0]}), "")
        table.append((f"-2100001-{ccd}", (path,)))
    work = job(tmp_path, table=table)
    catalogues.merge_stars(work, small.MergeStarcatConfig(), Record(work.out))
    merged = read_table(work.out / "full_starcat-0000000.fits")
    assert merged["CCD_NB"].tolist() == ["0", "0", "1", "1"]
    with pytest.raises(NothingToDo, match="no catalogue of stars"):
        catalogues.merge_stars(job(tmp_path), small.MergeStarcatConfig(), Record(work.out))


@pytest.mark.parametrize("date", ["", "_2026-01-02_03-04-05"])
def test_slices_are_those_of_the_numbers_asked_for(tmp_path, date):
    """Slice 2 is that of run_ngmix_2, not of run_ngmix_20 or of a folder beside it."""
    numbers = [1, 3, *range(10, 30)]
    for name in [f"run_ngmix_{n}{date}" for n in numbers] + ["run_ngmix_2_old"]:
        folder = tmp_path / name / "output"
        folder.mkdir(parents=True)
        place = name.removesuffix(date).split("_")[2]
        tables = {kind: Table({"id": [int(place)]}) for kind in TYPES}
        write_tables(folder / "ngmix-000-000.fits", tables)
    work = job(tmp_path, [tmp_path / f"run_ngmix_1{date}" / "output" / "ngmix-000-000.fits"])
    record = Record(work.out)
    merge_slices(work, small.MergeSepCatsConfig(splits=3, warning="ignore"), record)
    assert read_table(work.out / "ngmix-000-000.fits", "NOSHEAR")["id"].tolist() == [1, 3]
    assert "slice 2 is missing" in record.notes[0]
