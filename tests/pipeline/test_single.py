"""One object measured by itself, and the products that are written on request."""

import re
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from purepipe.catalogue import all_columns
from purepipe.errors import ConfigError, DataError
from purepipe.io import StampStore, read_header, read_ldac, read_section, read_table
from purepipe.io.background import read_background
from purepipe.io.ldac import read_epochs
from purepipe.pipeline import load_survey, measure_one, open_run, run, single, stamps_of
from purepipe.survey import merge_tiles

ALL = ("vignets", "psf", "ngmix", "spread", "v1")
TILE = "000-000"


@pytest.fixture(scope="module")
def finished(survey, tmp_path_factory):
    config = replace(load_survey(survey), out=tmp_path_factory.mktemp("runs") / "all", products=ALL)
    run(config, workers=1)
    return open_run(config.out)


def test_one_object_bit_for_bit(finished):
    final = read_table(finished.root / f"catalogue/final_cat-{TILE}.fits")
    rng = np.random.default_rng(1)
    unseen = np.flatnonzero(np.asarray(final["NGMIX_N_EPOCH"]) <= 0)[:2]
    for row in [0, len(final) - 1, *rng.integers(0, len(final), 4), *unseen]:
        one = measure_one(finished, int(final["NUMBER"][row]))
        assert one.colnames == final.colnames
        for name in final.colnames:
            theirs, ours = np.asarray(final[name][row]), np.asarray(one[name][0])
            if theirs.dtype.kind == "U":
                assert str(ours).strip() == str(theirs).strip(), name
            else:
                assert ours.dtype == theirs.dtype, name
                assert ours.tobytes() == theirs.tobytes(), name


def test_another_version_is_told(finished, monkeypatch, caplog):
    measure_one(finished, 1)
    assert not caplog.messages
    monkeypatch.setattr(single, "code_version", lambda: "9.9.9+abc")
    measure_one(finished, 1)
    assert re.search(
        r"objects\.fits was made by purepipe 0\..*, this is 9\.9\.9\+abc: .* last digits",
        caplog.text,
    )


def test_what_one_object_rests_on(finished):
    final = read_table(finished.root / f"catalogue/final_cat-{TILE}.fits")
    row = int(np.argmax(np.asarray(final["NGMIX_N_EPOCH"])))
    found = stamps_of(finished, int(final["NUMBER"][row]), tile=TILE)
    assert len(found.stamps) == final["N_EPOCH"][row]
    assert found.stamps.psfs is not None
    assert found.detection["NUMBER"][0] == final["NUMBER"][row]
    names = [f"{e}-{c}" for e, c in zip(found.stamps.exposure, found.stamps.ccd, strict=True)]
    assert " ".join(names) == final["EPOCHS"][row]


def test_objects_that_are_not_there(finished):
    count = len(read_table(finished.root / f"catalogue/final_cat-{TILE}.fits"))
    with pytest.raises(
        DataError, match=rf"no such object \(got {count + 1}; allowed: 1 to {count}"
    ):
        measure_one(finished, count + 1)
    with pytest.raises(DataError, match="no such object"):
        measure_one(finished, -3)
    with pytest.raises(DataError, match=r"tile: the run has no such tile.*999-999.*000-000"):
        measure_one(finished, 1, tile="999-999")


def test_merged_catalogue_marks_homes(finished):
    final = finished.catalogue()
    assert np.all(np.asarray(final["PRIMARY"]) == 1)
    tile = read_table(finished.root / f"catalogue/final_cat-{TILE}.fits")
    assert "PRIMARY" not in tile.colnames
    assert "header" not in tile.meta
    ra, dec = np.asarray(tile.meta["TILEAREA"]).reshape(4, 2).mean(axis=0)
    assert ra == pytest.approx(np.mean(tile["XWIN_WORLD"]), abs=0.01)
    assert dec == pytest.approx(np.mean(tile["YWIN_WORLD"]), abs=0.01)
    other = tile.copy()
    other["TILE_ID"] = np.full(len(tile), "000-001")
    assert np.asarray(merge_tiles([tile, other])["PRIMARY"]).sum() == len(tile)


def test_the_tile_catalogue_names_its_exposures(finished, survey):
    cards = read_ldac(finished.root / f"tile/{TILE}/objects.fits").meta["header"]
    tile = read_header(survey.parent / f"tiles/CFIS_image-{TILE}.fits", None)
    assert [line for line in tile["HISTORY"] if line[:60] not in cards] == []
    assert "SEXBKGND" in cards


def test_vignets_by_object_and_epoch(finished, survey):
    folder = finished.root / f"products/{TILE}"
    final = read_table(finished.root / f"catalogue/final_cat-{TILE}.fits")
    inner = np.flatnonzero(np.asarray(final["NGMIX_N_EPOCH"]) > 1)[3]
    key = str(final["NUMBER"][inner])
    stamps = stamps_of(finished, int(key)).stamps
    index = next(i for i in range(len(stamps)) if stamps.weights[i].all())
    epoch = f"{stamps.exposure[index]}-{stamps.ccd[index]}"
    stores = {
        kind: StampStore(folder / f"{kind}_vignet-{TILE}.sqlite")
        for kind in ("image", "weight", "flag", "background")
    }
    assert list(stores["image"]) == [str(number) for number in final["NUMBER"]]
    unseen = [str(n) for n in final["NUMBER"][np.asarray(final["N_EPOCH"]) == 0]]
    assert all(stores["image"][key] == {} for key in unseen)
    got = {kind: store[key][epoch]["VIGNET"] for kind, store in stores.items()}
    np.testing.assert_array_equal(got["weight"], stamps.weights[index])
    np.testing.assert_array_equal(got["flag"], stamps.masks[index])
    xc, yc = int(np.rint(stamps.x[index])), int(np.rint(stamps.y[index]))
    path = survey.parent / f"exposures/image-{stamps.exposure[index]}.fits"
    box = (yc - 25, yc + 26, xc - 25, xc + 26)
    hdu = int(stamps.ccd[index]) + 1
    np.testing.assert_array_equal(got["image"], read_section(path, hdu, *box))
    background = read_background(finished.root / f"ccd/{epoch}/background.fits").image()
    np.testing.assert_allclose(
        got["background"], background[box[0] : box[1], box[2] : box[3]], atol=1e-3
    )
    for store in stores.values():
        store.close()
    weights = read_ldac(folder / f"weight_vignet-{TILE}.fits")["VIGNET"]
    assert weights.shape == (len(final), 51, 51)
    assert weights.dtype == np.float64


def test_psfs_by_object_and_epoch(finished):
    final = read_table(finished.root / f"catalogue/final_cat-{TILE}.fits")
    row = int(np.argmax(np.asarray(final["NGMIX_N_EPOCH"])))
    stamps = stamps_of(finished, int(final["NUMBER"][row])).stamps
    with StampStore(finished.root / f"products/{TILE}/galaxy_psf-{TILE}.sqlite") as store:
        content = store[str(final["NUMBER"][row])]
        assert len(store) == len(final)
    usable = np.flatnonzero(stamps.flags == 0)
    assert list(content) == [f"{stamps.exposure[i]}-{stamps.ccd[i]}" for i in usable]
    for i, epoch in zip(usable, content.values(), strict=True):
        np.testing.assert_array_equal(epoch["VIGNET"], stamps.psfs[i])
        assert epoch["SHAPES"]["SIGMA_PSF_HSM"] == stamps.psf_sigma[i]
        assert epoch["SHAPES"]["FLAG_PSF_HSM"] == 0


def test_shapes_and_spread_model_in_the_original_forms(finished):
    folder = finished.root / f"products/{TILE}"
    final = read_table(finished.root / f"catalogue/final_cat-{TILE}.fits")
    measured = final[np.asarray(final["NGMIX_N_EPOCH"]) > 0]
    names = (
        "id n_epoch_model moments_fail ntry_fit g1_psfo_ngmix g2_psfo_ngmix T_psfo_ngmix "
        "g1_err_psfo_ngmix g2_err_psfo_ngmix T_err_psfo_ngmix g1 g1_err g2 g2_err T T_err Tpsf "
        "g1_psf g2_psf flux flux_err s2n mag mag_err flags mcal_flags"
    )  # fmt: skip
    for kind in ("1M", "1P", "2M", "2P", "NOSHEAR"):
        table = read_table(folder / f"ngmix-{TILE}.fits", kind)
        assert table.colnames == [*names.split(), "T_trace"]
        assert table["T"].unit == "arcsec"
        np.testing.assert_array_equal(table["id"], measured["NUMBER"])
        np.testing.assert_array_equal(table["g2"], measured[f"NGMIX_ELL_{kind}"][:, 1])
        np.testing.assert_array_equal(table["flags"], measured[f"NGMIX_FLAGS_{kind}"])
        assert table["flags"].dtype == np.int64
    spread = read_ldac(folder / f"sexcat_sm-{TILE}.fits")
    assert spread.colnames == ["NUMBER", "MAG", "SPREAD_MODEL", "SPREADERR_MODEL"]
    np.testing.assert_array_equal(spread["SPREAD_MODEL"], final["SPREAD_MODEL"])
    original = read_table(folder / f"final_cat-{TILE}.fits")
    assert not any(np.isnan(np.asarray(original[name])).any() for name in original.colnames
                   if name.startswith(("NGMIX_ELL", "NGMIX_T_", "SPREAD"))
                   and "TRACE" not in name and "ERR_PSFo" not in name)  # fmt: skip
    assert original["TILE_ID"].dtype == np.float64


def test_every_column_of_make_cat(finished):
    """The list of ShapePipe's final catalogue, in its order and types, then purepipe's own."""
    final = read_table(finished.root / f"catalogue/final_cat-{TILE}.fits")
    original = read_table(finished.root / f"products/{TILE}/final_cat-{TILE}.fits")
    types = ("1M", "1P", "2M", "2P", "NOSHEAR")
    groups = ("T", "Tpsf", "SNR", "FLUX", "MAG", "FLAGS", "T_PSFo", "FLUX_ERR", "MAG_ERR", "ELL",
              "ELL_ERR", "ELL_PSFo", "T_ERR")  # fmt: skip
    most = int(np.max(final["N_EPOCH"]))
    names = [
        "N_EPOCH", "TILE_ID", "SPREAD_MODEL", "SPREADERR_MODEL", "SPREAD_CLASS", "NGMIX_N_EPOCH",
        "NGMIX_MOM_FAIL", *(f"NGMIX_{group}_{kind}" for group in groups for kind in types),
        "NGMIX_MCAL_FLAGS",
        *(f"PSF_{what}_{j}" for j in range(1, most + 2) for what in ("ELL", "FWHM", "FLAG")),
    ]  # fmt: skip
    start = original.colnames.index("N_EPOCH")
    assert original.colnames[start : start + len(names)] == names
    for name in names:
        pair = "ELL" in name
        assert original[name].shape == ((len(final), 2) if pair else (len(final),)), name
        integer = name in ("N_EPOCH", "SPREAD_CLASS") or name.startswith("PSF_FLAG")
        assert original[name].dtype.kind == ("i" if integer else "f"), name
    with StampStore(finished.root / f"products/{TILE}/galaxy_psf-{TILE}.sqlite") as store:
        for row in range(0, len(final), 7):
            epochs = (
                list(store[str(final["NUMBER"][row])].values()) if final["N_EPOCH"][row] else []
            )
            for j in range(1, most + 2):
                known = j <= len(epochs)
                assert original[f"PSF_FLAG_{j}"][row] == (0 if known else 1)
                width = 2.35482004503 * epochs[j - 1]["SHAPES"]["SIGMA_PSF_HSM"] if known else 0.0
                assert original[f"PSF_FWHM_{j}"][row] == pytest.approx(width)
                if not known:
                    assert original[f"PSF_ELL_{j}"][row].tolist() == [-10, -10]


def test_every_column_is_defined_in_the_file(finished):
    final = read_table(finished.root / f"catalogue/final_cat-{TILE}.fits")
    objects = finished.root / f"tile/{TILE}/objects.fits"
    tables = [final, finished.catalogue(), *read_epochs(objects), read_ldac(objects)]
    tables.append(read_table(finished.root / f"products/{TILE}/final_cat-{TILE}.fits"))
    for table in tables:
        assert [name for name in table.colnames if not table[name].description] == []


def test_every_product_tells_its_origin(finished):
    paths = [path for path in finished.root.rglob("*") if path.suffix in (".fits", ".psf")]
    assert {path.name.split("-")[0] for path in paths} >= {
        "mask.fits", "background.fits", "sources.fits", "psf.psf", "validation.fits",
        "objects.fits", "ngmix", "sexcat_sm", "final_cat", "final_cat.fits",
    }  # fmt: skip
    origins = set()
    for path in paths:
        if path.name.startswith("weight_vignet"):  # stamps of an input, as it is
            continue
        with fits.open(path) as hdus:
            known = [hdu.header for hdu in hdus if "PIPEVERS" in hdu.header]
            assert known, path
            origins |= {tuple(h[k] for k in ("PIPEVERS", "PIPESEED", "PIPECONF")) for h in known}
    assert len(origins) == 1


def test_other_products_redo_only_the_catalogue(finished):
    config = replace(finished.config, products=("spread",), out=finished.root)
    summary = run(config, workers=1)
    assert len(summary.outcomes) - summary.skipped == 1


def test_every_product_of_a_column_is_known(finished):
    assert set(finished.catalogue().colnames) <= set(all_columns())


def test_unknown_products():
    from purepipe.config import SurveyConfig

    with pytest.raises(ConfigError, match=r"products: unknown word.*'vignet'.*'vignets'"):
        SurveyConfig(products=("vignet",))
