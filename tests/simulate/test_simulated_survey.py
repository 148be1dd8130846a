from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from purepipe.errors import DataError, StoreError
from purepipe.simulate import SimulateConfig, SimulatedSurvey, simulate_ccd, simulate_survey
from purepipe.simulate.detector import background
from purepipe.simulate.files import tile_noise
from purepipe.simulate.optics import ccd_header, pointings
from purepipe.wcs import WCS


def _bytes(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.fits"))}


def _tiny() -> SimulateConfig:
    return SimulateConfig.small(fields=2, ccd_size=(128, 96), tile_size=(200, 100))


def test_files_are_the_same_with_one_or_two_workers(tmp_path: Path) -> None:
    simulate_survey(tmp_path / "serial", _tiny())
    one = _bytes(tmp_path / "serial")
    assert len(one) == 2 * 2 * 3 + 2 * 2 + 2
    with ThreadPoolExecutor(2) as executor:
        simulate_survey(tmp_path / "threads", _tiny(), executor=executor)
    assert _bytes(tmp_path / "threads") == one
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        simulate_survey(tmp_path / "processes", _tiny(), executor=executor)
    assert _bytes(tmp_path / "processes") == one


def test_another_seed_gives_another_survey(tmp_path: Path) -> None:
    first = simulate_survey(tmp_path / "1", SimulateConfig.small(ccds=1, ccd_size=(96, 96)))
    second = simulate_survey(
        tmp_path / "2", SimulateConfig.small(ccds=1, ccd_size=(96, 96), seed=2)
    )
    assert first.paths.images[0].read_bytes() != second.paths.images[0].read_bytes()


def test_layout_of_the_exposure_files(small: SimulatedSurvey) -> None:
    paths = small.paths
    assert [path.name for path in paths.images] == ["image-2100001.fits", "image-2100002.fits"]
    for file, dtype in (
        (paths.images[1], ">f4"),
        (paths.weights[1], ">f4"),
        (paths.flags[1], ">i2"),
    ):
        with fits.open(file) as hdus:
            assert hdus[0].data is None
            assert [hdu.name for hdu in hdus[1:]] == ["ccd00", "ccd01"]
            assert all(hdu.data.dtype == dtype for hdu in hdus[1:])
            header = hdus[2].header
            assert header["DATASEC"] == "[1:512,1:640]"
            assert header["EXTNAME"] == "ccd01"
            for key in ("GAIN", "SATURATE", "FSCALE", "EXPTIME", "MJD-OBS", "FILTER", "RDNOISE"):
                assert key in header
            assert header["FSCALE"] == pytest.approx(10 ** (0.4 * (30 - header["PHOTZP"])))


def test_file_and_memory_hold_the_same_ccd(small: SimulatedSurvey) -> None:
    exposure = simulate_ccd(small.config, 2100001, 1)
    with fits.open(small.paths.images[0]) as hdus:
        np.testing.assert_array_equal(hdus[2].data, exposure.image)
        assert exposure.wcs is not None
        wcs = WCS.from_header(hdus[2].header)
        np.testing.assert_array_equal(
            wcs.pixel_to_sky(10.0, 20.0), exposure.wcs.pixel_to_sky(10.0, 20.0)
        )


def test_history_cards_have_both_forms(tmp_path: Path) -> None:
    survey = simulate_survey(tmp_path, _tiny())
    histories = [list(map(str, fits.getheader(tile)["HISTORY"])) for tile in survey.paths.tiles]
    assert histories[0] == [
        "input image image-2100001.fits 2 extension(s)",
        "input image image-2100002.fits 2 extension(s)",
    ]
    assert histories[1] == [
        "input image 2100003p.fits 2 extension(s)",
        "input image 2100004p.fits 2 extension(s)",
    ]
    assert [tile.name for tile in survey.paths.tiles] == [
        "CFIS_image-000-000.fits", "CFIS_image-001-000.fits",
    ]  # fmt: skip


def _sums(image: np.ndarray, x: float, y: float, radius: float) -> tuple[float, float, float]:
    """Flux in an aperture and the centroid with a Gaussian window, iterated."""
    ny, nx = image.shape
    yy, xx = np.mgrid[:ny, :nx]
    r2 = (xx - x) ** 2 + (yy - y) ** 2
    flux = float(image[r2 < radius**2].sum())
    for _ in range(20):
        window = image * np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (2 * 3.0**2))
        total = window.sum()
        x += 2 * (window * (xx - x)).sum() / total
        y += 2 * (window * (yy - y)).sum() / total
    return flux, x, y


def _isolated_stars(survey: SimulatedSurvey, bright: float, faint: float) -> Table:
    truth = survey.truth
    east = (truth["ra"] - truth["ra"][0]) * np.cos(np.radians(truth["dec"])) * 3600
    north = truth["dec"] * 3600
    gap = np.hypot(east[:, None] - east, north[:, None] - north)
    near = (gap < 7) & (truth["mag"] < 23)[None, :]
    alone = near.sum(axis=1) == 1
    return truth[
        alone & (truth["type"] == "star") & (truth["mag"] > bright) & (truth["mag"] < faint)
    ]


def test_stars_are_where_the_truth_says_with_their_flux(starry: SimulatedSurvey) -> None:
    stars = _isolated_stars(starry, 17.3, 19.3)
    measured = 0
    scatter, ratios = [], []
    for order, pointing in enumerate(pointings(starry.config)):
        for ccd in range(2):
            image, header = fits.getdata(starry.paths.images[order], ccd + 1, header=True)
            flags = fits.getdata(starry.paths.flags[order], ccd + 1)
            image = image - background(starry.config, pointing, ccd)
            x, y = WCS.from_header(header).sky_to_pixel(stars["ra"], stars["dec"])
            for xi, yi, mag in zip(x, y, stars["mag"], strict=True):
                if not (25 < xi < 486 and 25 < yi < 614):
                    continue
                column, row = round(float(xi)), round(float(yi))
                box = np.s_[row - 24 : row + 25, column - 24 : column + 25]
                if flags[box].any():
                    continue
                flux, cx, cy = _sums(
                    image[box].astype(float), xi - column + 24.0, yi - row + 24.0, 18.0
                )
                scatter.append((cx - 24 + column - xi, cy - 24 + row - yi))
                ratios.append(flux * 10 ** (0.4 * (mag - pointing.zero_point)))
                measured += 1
    assert measured > 20
    assert np.abs(np.mean(scatter, axis=0)).max() < 0.005
    assert np.abs(scatter).max() < 0.02
    assert np.median(ratios) == pytest.approx(1, abs=0.005)


def test_tile_and_exposures_agree_on_fluxes(starry: SimulatedSurvey) -> None:
    tile, header = fits.getdata(starry.paths.tiles[0], header=True)
    wcs = WCS.from_header(header)
    stars = _isolated_stars(starry, 17.3, 19.3)
    x, y = wcs.sky_to_pixel(stars["ra"], stars["dec"])
    weight = fits.getdata(starry.paths.tile_weights[0])
    tile = tile - np.median(tile)  # the light of faint galaxies
    ratios, offsets = [], []
    for xi, yi, mag in zip(x, y, stars["mag"], strict=True):
        column, row = round(float(xi)), round(float(yi))
        box = np.s_[row - 24 : row + 25, column - 24 : column + 25]
        if not (25 < xi < 874 and 25 < yi < 534) or not (weight[box] > 0).all():
            continue
        flux, cx, cy = _sums(tile[box].astype(float), xi - column + 24.0, yi - row + 24.0, 18.0)
        ratios.append(flux * 10 ** (0.4 * (mag - 30.0)))
        offsets.append((cx - 24 + column - xi, cy - 24 + row - yi))
    assert len(ratios) > 10
    assert np.median(ratios) == pytest.approx(1, abs=0.006)
    assert np.abs(offsets).max() < 0.02


def test_tile_noise_is_that_of_its_weight(small: SimulatedSurvey) -> None:
    tile = fits.getdata(small.paths.tiles[0]).astype(float)
    weight = fits.getdata(small.paths.tile_weights[0]).astype(float)
    covered = weight > 0
    assert covered.mean() > 0.95
    assert (tile[~covered] == 0).all()
    full = weight > 0.95 * weight.max()
    spread = 1.4826 * np.median(np.abs(tile[full] - np.median(tile[full])))
    assert weight[full].mean() ** -0.5 == pytest.approx(tile_noise(small.config, 0), rel=0.02)
    # Interpolation correlates neighbours and lowers the dispersion of a pixel by some per cent.
    assert 0.88 < spread / tile_noise(small.config, 0) < 1.02
    assert np.median(tile[full]) == pytest.approx(0, abs=0.25 * spread)


def test_catalogues_hold_what_was_drawn(small: SimulatedSurvey) -> None:
    truth = Table.read(small.paths.truth)
    np.testing.assert_array_equal(truth["id"], np.arange(len(truth)))
    assert set(np.char.decode(np.unique(truth["type"]))) == {"star", "exp", "dev"}
    assert truth["ra"].unit == "deg"
    stars = Table.read(small.paths.stars)
    bright = truth[(truth["type"] == "star") & (truth["mag"] < 18)]
    assert len(stars) == len(bright)
    north = (stars["dec"] - bright["dec"]) * 3600
    assert 0.02 < np.std(north) < 0.3
    np.testing.assert_allclose(stars["mag"], bright["mag"], atol=6e-4)


def test_an_earlier_survey_is_not_overwritten_unasked(tmp_path: Path) -> None:
    config = SimulateConfig.small(ccds=1, ccd_size=(64, 64), tile_size=(64, 64), exposures=1)
    simulate_survey(tmp_path, config)
    with pytest.raises(StoreError, match=r"holds a survey already.*overwrite"):
        simulate_survey(tmp_path, config)
    (tmp_path / "exposures" / "notes.fits").write_text("mine")
    (tmp_path / "exposures" / "image-2100099.fits").write_text("of a larger survey")
    simulate_survey(tmp_path, config, overwrite=True)
    assert (tmp_path / "exposures" / "notes.fits").exists()
    assert not (tmp_path / "exposures" / "image-2100099.fits").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"folder cannot be made.*Choose a folder"):
        simulate_survey(tmp_path / "file", SimulateConfig.small())


def test_progress_counts_every_unit(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    config = SimulateConfig.small(ccd_size=(64, 64), tile_size=(64, 64))
    simulate_survey(tmp_path, config, progress=lambda *event: seen.append(event))
    assert [done for _, done, _ in seen] == [1, 2, 3, 4, 5]
    assert {total for _, _, total in seen} == {5}
    assert seen[0][0] == "2100001-0"
    assert seen[-1][0] == "tile 000-000"


def test_unknown_ccds_are_refused() -> None:
    with pytest.raises(DataError, match=r"no such CCD.*exposures 2100001 to 2100002, CCDs 0 to 1"):
        simulate_ccd(SimulateConfig.small(), 2100001, 2)


def test_repeated_sky_gives_the_same_pixels_but_for_the_shear() -> None:
    config = SimulateConfig.small(
        fields=2, shears=((0.05, 0.0), (-0.05, 0.0)), repeat_sky=True, ccds=1, ccd_size=(256, 256)
    )
    first, second = (simulate_ccd(config, number, 0) for number in (2100001, 2100003))
    sky = float(np.median(first.image))
    faint = np.abs(first.image - sky) < 50
    assert np.mean(np.abs(first.image[faint] - second.image[faint]) < 0.01) > 0.3
    assert not np.array_equal(first.image, second.image)


def test_headers_can_be_read_back_as_text(small: SimulatedSurvey) -> None:
    header = ccd_header(small.config, pointings(small.config)[0], 0)
    again = fits.Header.fromstring(header.tostring())
    assert again["CRVAL1"] == header["CRVAL1"]
