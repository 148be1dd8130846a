"""The stellar locus: purity and completeness on a grid, reasons, and the reserved stars."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table, vstack
from hypothesis import given, settings
from hypothesis import strategies as st

from purepipe.config.select import StarConfig
from purepipe.errors import AlgorithmError, ConfigError, DataError
from purepipe.flags import StarFlag
from purepipe.select.stars import find_stars

REFERENCE = Path(__file__).parents[1] / "reference" / "select"


def catalogue(
    fwhm: float, n_stars: int, n_galaxies: int, *, seed: int = 0, depth: float = 1.0,
    variation: float = 0.02,
) -> Table:  # fmt: skip
    """Sizes and fluxes as measured on a CCD, drawn directly; pixels of 0.187 arcsec.

    Stars: counts 10^(0.15 m); galaxies: 10^(0.35 m) with log-normal sizes. Errors of the sizes
    follow the S/N, and the PSF changes over the CCD.
    """
    rng = np.random.default_rng([seed, int(100 * fwhm), n_stars, n_galaxies, int(10 * depth)])
    n = n_stars + n_galaxies
    star = np.arange(n) < n_stars
    slope = np.where(star, 0.15, 0.35) / 0.4
    snr = depth * 20 / rng.random(n) ** (1 / slope)
    snr = np.minimum(snr, np.where(star, 3000, 600))
    x, y = rng.uniform(1, 2048, (2, n))
    psf = fwhm / 0.187 * (1 + variation * (x / 1024 - 1) * (y / 1024 - 1))
    disc = np.where(star, 0, 1.6 * 0.4 * 10 ** rng.normal(0, 0.12, n) / 0.187)
    true = np.hypot(psf, disc)
    table = Table()
    table["X_IMAGE"], table["Y_IMAGE"] = x, y
    table["FWHM_IMAGE"] = (true * (1 + (1.2 + rng.normal(0, 1.2, n)) / snr)).astype(np.float32)
    table["FLUX_RADIUS"] = (0.55 * true * (1 + rng.normal(0, 1.0, n) / snr)).astype(np.float32)
    table["FLUX_AUTO"] = (100 * snr).astype(np.float32)
    table["FLUXERR_AUTO"] = np.full(n, 100, np.float32)
    table["MAG_AUTO"] = (25 - 2.5 * np.log10(snr)).astype(np.float32)
    table["FLUX_MAX"] = (100 * snr / psf**2).astype(np.float32)
    table["ELLIPTICITY"] = np.where(star, 0.03, rng.uniform(0, 0.5, n)).astype(np.float32)
    table["FLAGS"] = np.zeros(n, np.int16)
    table["IMAFLAGS_ISO"] = np.zeros(n, np.int32)
    table["TRUE_STAR"] = star.astype(np.int16)
    return table[rng.permutation(n)]


def scores(table: Table, chosen: np.ndarray, wanted: np.ndarray) -> tuple[float, float]:
    star = np.asarray(table["TRUE_STAR"]) == 1
    return float(star[chosen].mean()), float(chosen[wanted].mean())


def is_bright_star(table: Table) -> np.ndarray:
    bright = table["FLUX_AUTO"] > 50 * table["FLUXERR_AUTO"]
    return np.asarray((table["TRUE_STAR"] == 1) & bright)


@pytest.mark.parametrize("depth", [1.0, 3.0])
@pytest.mark.parametrize(
    ("n_stars", "n_galaxies"), [(20, 0), (80, 0), (80, 300), (1000, 0), (1000, 300)]
)
@pytest.mark.parametrize("fwhm", [0.4, 0.7, 1.0, 1.3])
def test_purity_and_completeness_on_a_grid(fwhm, n_stars, n_galaxies, depth):
    table = catalogue(fwhm, n_stars, n_galaxies, depth=depth)
    selection = find_stars(table)
    purity, completeness = scores(table, selection.stars, is_bright_star(table))
    assert purity >= 0.98
    assert completeness >= 0.85
    assert selection.fwhm == pytest.approx(fwhm / 0.187, rel=0.03)
    assert 0 < selection.width < 0.05 * selection.fwhm


@pytest.mark.parametrize("path", sorted(REFERENCE.glob("*.npz")), ids=lambda path: path.stem)
def test_catalogues_of_simulated_images(path):
    with np.load(path) as columns:
        table = Table({name: columns[name] for name in columns.files})
    table.meta = {"SEXSATLV": 60000.0, "SEXBKGND": 600.0}
    clean = is_bright_star(table) & (np.asarray(table["FOREIGN"]) < 0.03)
    clean &= np.asarray((table["FLAGS"] == 0) & (table["IMAFLAGS_ISO"] == 0))
    clean &= np.asarray(table["FLUX_MAX"]) + 600 <= 54000
    purity, completeness = scores(table, find_stars(table).stars, clean)
    # "compact": 80 galaxies per square arcminute with a median half-light radius of 0.15 arcsec.
    assert purity >= 0.98
    assert completeness >= 0.85


@pytest.mark.parametrize("depth", [1.0, 3.0])
@pytest.mark.parametrize(("fwhm", "least"), [(0.4, 0.98), (0.7, 0.98), (1.0, 0.97), (1.3, 0.94)])
def test_few_stars_among_many_galaxies(fwhm, least, depth):
    # At 1.3 arcsec even the true PSF and all densities give 0.98 with 0.99 of the stars.
    tables = [catalogue(fwhm, 20, 300, depth=depth, seed=seed) for seed in range(8)]
    chosen = [find_stars(table).stars for table in tables]
    wanted = np.concatenate([is_bright_star(table) for table in tables])
    purity, completeness = scores(vstack(tables), np.concatenate(chosen), wanted)
    assert purity >= least
    assert completeness >= 0.95


@pytest.mark.parametrize(("n_stars", "n_galaxies"), [(30, 0), (100, 300), (300, 0)])
@pytest.mark.parametrize("fwhm", [0.4, 0.7, 1.0])
def test_mixture_of_normal_distributions(fwhm, n_stars, n_galaxies):
    table = catalogue(fwhm, n_stars, n_galaxies, variation=0.01)
    selection = find_stars(table, StarConfig(method="mixture"), seed=3)
    purity, completeness = scores(table, selection.stars, is_bright_star(table))
    assert purity >= 0.95
    # It knows nothing of the PSF's change over the CCD.
    assert completeness >= (0.75 if n_galaxies else 0.8)
    assert selection.fwhm == pytest.approx(fwhm / 0.187, rel=0.04)
    again = find_stars(table, StarConfig(method="mixture"), seed=3)
    assert np.array_equal(selection.flags, again.flags)


def test_other_classifiers_have_a_say():
    table = catalogue(0.7, 200, 0)
    rng = np.random.default_rng(0)
    stars = find_stars(table).stars
    rows = np.flatnonzero(stars)[:3]
    table["SPREAD_MODEL"] = 0.003 + rng.normal(0, 0.0005, len(table))
    table["SPREADERR_MODEL"] = 0.0005
    table["SPREAD_MODEL"][rows[0]] = 0.02
    table["SPREAD_MODEL"][rows[1]] = np.nan  # not measured: no evidence
    table["CLASS_STAR"] = 0.9
    table["CLASS_STAR"][rows[2]] = 0.05
    flags = find_stars(table).flags
    assert flags[rows[0]] & StarFlag.SIZE
    assert not flags[rows[1]] & StarFlag.SIZE
    assert flags[rows[2]] & StarFlag.SIZE
    assert find_stars(table).stars.sum() == stars.sum() - 2


def test_ten_stars():
    table = catalogue(0.7, 12, 40)
    assert is_bright_star(table).sum() <= 12
    purity, completeness = scores(table, find_stars(table).stars, is_bright_star(table))
    assert purity == 1
    assert completeness >= 0.9


def test_positions_and_radii_are_optional():
    table = catalogue(0.7, 80, 300, variation=0.0)
    table = table["FWHM_IMAGE", "FLUX_AUTO", "FLUXERR_AUTO", "TRUE_STAR"]
    purity, completeness = scores(table, find_stars(table).stars, is_bright_star(table))
    assert purity >= 0.98
    assert completeness >= 0.85


def test_every_row_carries_its_reasons():
    table = catalogue(0.7, 200, 200)
    table["FLAGS"][:8] = [1, 2, 4, 8, 16, 32, 64, 128]
    table["IMAFLAGS_ISO"][8] = 64
    table["FWHM_IMAGE"][9] = np.nan
    table["FLUXERR_AUTO"][10] = 0
    table["FWHM_IMAGE"][11] = 0.9
    table["FLUX_MAX"][12] = 1e5
    table["ELLIPTICITY"][13] = 0.31
    table["FLUX_AUTO"][14] = -5
    table.meta["SEXSATLV"] = 6e4
    selection = find_stars(table, StarConfig(neighbour_light=0))
    flags = selection.flags
    assert flags.dtype == np.int32
    assert flags.shape == (400,)
    for row in (0, 1, 3, 4, 5, 6, 7):
        assert flags[row] & StarFlag.BLENDED
    assert flags[2] & StarFlag.BRIGHT
    assert not flags[2] & StarFlag.BLENDED
    for row, flag in zip(
        range(8, 15),
        (StarFlag.MASKED, StarFlag.BAD_VALUE, StarFlag.BAD_VALUE, StarFlag.SIZE, StarFlag.BRIGHT,
         StarFlag.SHAPE, StarFlag.FAINT),
        strict=True,
    ):  # fmt: skip
        assert flags[row] & flag, flag.name
    assert not np.any(selection.stars[:15])
    assert np.array_equal(selection.stars, selection.fit | selection.reserved)
    assert not np.any(selection.fit & selection.reserved)
    assert selection.counts()["MASKED"] == 1
    faint = np.asarray(table["FLUX_AUTO"] < 50 * table["FLUXERR_AUTO"])
    assert np.array_equal(faint, (flags & StarFlag.FAINT) != 0)


def test_peak_from_the_surface_brightness():
    table = catalogue(0.7, 200, 0)
    table.meta.update(SEXSATLV=60000.0, SEXBKGND=500.0, SEXMGZPT=30.0, SEXPXSCL=0.187)
    table["FLUX_MAX"] = np.linspace(40000, 60000, 200)
    direct = find_stars(table).flags
    table["MU_MAX"] = 30 - 2.5 * np.log10(table["FLUX_MAX"] / 0.187**2)
    table.remove_column("FLUX_MAX")
    bright = (find_stars(table).flags & StarFlag.BRIGHT) != 0
    assert np.array_equal(bright, (direct & StarFlag.BRIGHT) != 0)
    assert np.array_equal(bright, np.linspace(40000, 60000, 200) > 53500)


def test_limits_of_the_configuration():
    table = catalogue(0.7, 300, 0)
    config = StarConfig(magnitudes=(18.0, 20.0), min_snr=10, reserve_fraction=0)
    chosen = table[find_stars(table, config).stars]
    assert chosen["MAG_AUTO"].min() >= 18
    assert chosen["MAG_AUTO"].max() <= 20
    crowded = catalogue(0.7, 300, 0)
    crowded["FLAGS"] = 2
    assert find_stars(crowded, StarConfig(reject_flags=0xFD)).stars.sum() > 100


@pytest.mark.parametrize(
    ("distance", "light", "taken"),
    [(1.5, 0.04, True), (1.5, 0.06, False), (4.0, 1.0, True), (4.0, 10.0, False),
     (8.0, 100.0, True), (8.0, 1000.0, False), (12.0, 1e6, True), (1.5, -1.0, True)],
)  # fmt: skip
@pytest.mark.parametrize("flag", [1, 2, 3])
def test_a_blended_star_is_taken_if_its_neighbours_are_faint(distance, light, taken, flag):
    table = catalogue(0.7, 150, 0)
    table["X_IMAGE"] += 500 * np.arange(len(table))  # none is near another
    row = int(np.argsort(np.abs(find_stars(table).flags), kind="stable")[0])
    table["FLAGS"][row] = flag
    table.add_row(table[row])
    table["X_IMAGE"][-1] += distance * table["FWHM_IMAGE"][row]
    table["FLUX_AUTO"][-1] *= light
    table["FLAGS"][-1] = 4
    flags = find_stars(table).flags
    assert ((flags[row] & StarFlag.BLENDED) == 0) == taken
    assert (flags[row] & ~StarFlag.RESERVED == 0) == taken
    assert find_stars(table, StarConfig(neighbour_light=0)).flags[row] & StarFlag.BLENDED
    assert not find_stars(table, StarConfig(neighbour_light=1e9)).flags[row] & StarFlag.BLENDED
    table.remove_columns(["X_IMAGE", "Y_IMAGE"])
    assert find_stars(table).flags[row] & StarFlag.BLENDED


def test_stars_cut_by_an_edge_are_out_without_neighbours_too():
    table = catalogue(0.7, 150, 0)
    table["FLAGS"][:2] = [8, 1 + 16]
    assert (find_stars(table).flags[:2] & StarFlag.BLENDED).all()


def test_reserve_depends_on_seed_and_unit_alone():
    table = catalogue(0.7, 200, 300)
    first = find_stars(table, seed=1, unit="2100001-3")
    assert np.array_equal(first.flags, find_stars(table, seed=1, unit="2100001-3").flags)
    assert not np.array_equal(first.flags, find_stars(table, seed=2, unit="2100001-3").flags)
    assert not np.array_equal(first.flags, find_stars(table, seed=1, unit="2100001-4").flags)
    assert first.reserved.sum() == round(0.2 * first.stars.sum())
    none = find_stars(table, StarConfig(reserve_fraction=0))
    assert not none.reserved.any()
    assert np.array_equal(none.stars, first.stars)


def test_empty_table_is_an_empty_selection():
    selection = find_stars(Table())
    assert selection.flags.shape == (0,)
    assert np.isnan(selection.fwhm)
    assert np.isnan(selection.width)


def test_no_bright_object():
    table = catalogue(0.7, 20, 100)
    table["FLUXERR_AUTO"] = 1e9
    with pytest.raises(AlgorithmError, match=r"2100001-3: too few stars .*FAINT 120.*at least 5"):
        find_stars(table, unit="2100001-3")
    selection = find_stars(table, StarConfig(min_stars=0))
    assert not selection.stars.any()
    assert np.isnan(selection.width)


def test_galaxies_alone_have_no_locus():
    rng = np.random.default_rng(2)
    table = catalogue(0.7, 0, 60)
    table["FLUX_AUTO"] = 1e4
    table["FWHM_IMAGE"] = rng.uniform(4, 14, 60)
    table["ELLIPTICITY"] = 0.1
    with pytest.raises(AlgorithmError, match="too few stars"):
        find_stars(table)


def test_missing_column():
    table = catalogue(0.7, 20, 0)
    table.rename_column("FWHM_IMAGE", "FWHM_IMAG")
    with pytest.raises(DataError, match=r"FWHM_IMAGE: column missing.*Did you mean 'FWHM_IMAG'"):
        find_stars(table)


def test_masked_table_columns_are_bad_values():
    table = Table(catalogue(0.7, 100, 50), masked=True)
    table["FWHM_IMAGE"].mask[:5] = True
    assert np.all(find_stars(table).flags[:5] & StarFlag.BAD_VALUE)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"min_snr": -1}, "star.min_snr: out of range"),
        ({"fwhm_range": (3.0, 2.0)}, "star.fwhm_range: the first value must be below"),
        ({"reserve_fraction": 0.95}, "star.reserve_fraction: out of range"),
    ],
)
def test_configuration_errors(values, message):
    with pytest.raises(ConfigError, match=message):
        StarConfig(**values)


_WILD = st.sampled_from(
    [0.0, -1.0, 1e-30, 1.0, 2.5, 4.0, 4.01, 100.0, 1e30, np.nan, np.inf, -np.inf]
)


@given(
    values=st.lists(st.tuples(*[_WILD] * 7, st.integers(0, 255)), max_size=40),
    min_stars=st.integers(0, 3),
    min_snr=st.sampled_from([0.0, 1.0]),
)
@settings(max_examples=300, deadline=None)
def test_wild_values_give_a_selection_or_a_clear_error(values, min_stars, min_snr):
    names = ("FWHM_IMAGE", "FLUX_AUTO", "FLUXERR_AUTO", "X_IMAGE", "Y_IMAGE", "FLUX_RADIUS",
             "ELLIPTICITY", "FLAGS")  # fmt: skip
    columns = zip(*values, strict=True) if values else [[]] * len(names)
    table = Table({name: np.array(column) for name, column in zip(names, columns, strict=True)})
    with contextlib.suppress(AlgorithmError):
        config = StarConfig(min_snr=min_snr, min_stars=min_stars, max_ellipticity=1)
        selection = find_stars(table, config)
        assert selection.flags.shape == (len(table),)
        assert np.all(np.asarray(table["FLAGS"])[selection.stars] == 0)
        assert np.all(np.isfinite(np.asarray(table["FWHM_IMAGE"])[selection.stars]))


def test_a_tile_of_many_objects():
    table = catalogue(0.7, 5000, 20000)
    purity, completeness = scores(table, find_stars(table).stars, is_bright_star(table))
    assert purity >= 0.98
    assert completeness >= 0.85


def test_the_guide_lists_every_reason():
    guide = (Path(__file__).parents[2] / "docs" / "selection.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", guide, re.MULTILINE))
    reasons = [item for item in StarFlag if item is not StarFlag.NOT_ATTEMPTED]
    assert listed == {str(int(item)): item.name for item in reasons}
