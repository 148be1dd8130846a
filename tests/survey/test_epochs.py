"""Which CCDs saw an object: against brute force, at edges, at poles, over the wrap of RA."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purepipe.config import EpochConfig
from purepipe.errors import ConfigError, DataError
from purepipe.survey import epoch_tables, find_epochs

from .fields import KINDS, SCALE, SHAPE, make_ccd


def brute_force(ra, dec, ccds):
    """Every object on every CCD, one by one, by the general inversion."""
    pairs = {}
    for row, position in enumerate(zip(ra, dec, strict=True)):
        for index, ccd in enumerate(ccds):
            x, y = (float(v) for v in ccd.wcs.sky_to_pixel(*position))
            x0, x1, y0, y1 = ccd.area
            inside = x0 - 0.5 <= x + 1 < x1 + 0.5 and y0 - 0.5 <= y + 1 < y1 + 0.5
            depth = min(x + 1 - x0 + 0.5, x1 + 0.5 - x - 1, y + 1 - y0 + 0.5, y1 + 0.5 - y - 1)
            depth = round(depth, 3)
            best = pairs.get((row, ccd.exposure))
            if inside and (best is None or depth > best[0]):
                pairs[row, ccd.exposure] = (depth, index, x, y)
    return sorted((row, index, x, y) for (row, _), (_, index, x, y) in pairs.items())


def check(ra, dec, ccds):
    found = find_epochs(ra, dec, ccds)
    expected = brute_force(ra, dec, ccds)
    assert list(zip(found.row, found.ccd_index, strict=True)) == [e[:2] for e in expected]
    assert np.allclose(found.x, [e[2] for e in expected], atol=1e-5)
    assert np.allclose(found.y, [e[3] for e in expected], atol=1e-5)
    counts = np.bincount([e[0] for e in expected], minlength=len(ra))
    assert np.array_equal(found.n_epoch, counts)
    return found


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from([(150.0, 2.0), (0.0005, -30.0), (359.9999, 60.0), (10.0, 89.9995),
                     (200.0, -90.0)]),
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]), st.floats(-1.5, 1.5), st.floats(-1.5, 1.5),
            st.floats(0, 360), st.booleans(), st.sampled_from(KINDS),
        ),
        min_size=1, max_size=4,
    ),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_against_brute_force(centre, ccds, seed):
    ra0, dec0 = centre
    size = SHAPE[0] * SCALE
    stretch = max(np.cos(np.radians(dec0)), 1e-3)
    ccds = [
        make_ccd(
            exposure, number, ra=(ra0 + east * size / stretch) % 360,
            dec=float(np.clip(dec0 + north * size, -90, 90)), angle=angle, flip=flip, kind=kind,
        )
        for number, (exposure, east, north, angle, flip, kind) in enumerate(ccds)
    ]  # fmt: skip
    rng = np.random.default_rng(seed)
    ra = (ra0 + rng.uniform(-2, 2, 25) * size / stretch) % 360
    dec = np.clip(dec0 + rng.uniform(-2, 2, 25) * size, -90, 90)
    check(ra, dec, ccds)


@pytest.mark.parametrize("kind", KINDS)
def test_positions_are_exact(kind):
    ccd = make_ccd(kind=kind, angle=33, flip=True)
    x, y = np.random.default_rng(1).uniform(0, 199, (2, 500))
    found = find_epochs(*ccd.wcs.pixel_to_sky(x, y), [ccd])
    assert len(found.row) == 500
    assert np.abs(found.x - x).max() < 1e-8
    assert np.abs(found.y - y).max() < 1e-8


def test_edges_of_the_exposed_area():
    ccd = make_ccd(DATASEC="[11:190,1:300]")
    inside = [(9.501, 50), (189.499, 50), (50, -0.499), (50, 299.499)]
    outside = [(9.499, 50), (189.501, 50), (50, -0.501), (50, 299.501)]
    x, y = np.array(inside + outside).T
    found = find_epochs(*ccd.wcs.pixel_to_sky(x, y), [ccd])
    assert list(found.row) == [0, 1, 2, 3]


def test_area_of_the_configuration_wins():
    ccd = make_ccd(DATASEC="[11:190,1:300]")
    config = EpochConfig(ccd_size=(1, 200, 101, 300))
    ra, dec = ccd.wcs.pixel_to_sky([5.0, 100.0, 100.0], [150.0, 50.0, 150.0])
    assert list(find_epochs(ra, dec, [ccd], config).row) == [0, 2]
    assert list(find_epochs(ra, dec, [ccd]).row) == [1, 2]


def test_the_configured_area_ends_with_the_image():
    """One size for all CCDs must not count objects beside a smaller one."""
    ccd = make_ccd(shape=(300, 200), DATASEC="[11:190,1:300]")
    config = EpochConfig(ccd_size=(5, 2080, 1, 4612))
    x, y = np.array([(3.4, 50), (3.6, 50), (199.4, 50), (199.6, 50), (50, 299.4), (50, 299.6)]).T
    found = find_epochs(*ccd.wcs.pixel_to_sky(x, y), [ccd], config)
    assert list(found.row) == [1, 2, 4]
    with pytest.raises(DataError, match=r"ccd_size: the exposed pixels .* do not lie in the image"):
        find_epochs([150.0], [2.0], [ccd], EpochConfig(ccd_size=(300, 400, 1, 10)))


def test_edges_as_the_original_has_them():
    """The worked example: a CCD of 1024 x 1024, CCD_SIZE 1,1024,1,1024, y = 500."""
    ccd = make_ccd(shape=(1024, 1024))
    x = np.array([0, 0.999, 1.001, 1022.9, 1023, 1023.999, 1024.001])
    sky = ccd.wcs.pixel_to_sky(x, np.full(7, 500.0))
    config = EpochConfig(ccd_size=(1, 1024, 1, 1024), edges="shapepipe")
    assert list(find_epochs(*sky, [ccd], config).row) == [2, 3, 4, 5]
    assert list(find_epochs(*sky, [ccd]).row) == [0, 1, 2, 3, 4]


def test_an_exposure_counts_once_with_the_deeper_ccd():
    first = make_ccd("a", 0, crpix=(100.5, 150.5))
    second = make_ccd("a", 1, crpix=(-49.5, 150.5))  # overlaps by 50 columns
    other = make_ccd("b", 0)
    x = np.array([155.0, 195.0, 100.0])
    ra, dec = first.wcs.pixel_to_sky(x, np.full(3, 150.0))
    found = find_epochs(ra, dec, [first, second, other])
    assert list(found.n_epoch) == [2, 2, 2]
    assert found.n_twice == 2  # at 155 and 195; the second CCD begins at 150
    assert list(found.ccd_index) == [0, 2, 1, 2, 0, 2]
    assert np.isclose(found.x[2], 45)


def test_positions_do_not_depend_on_the_other_objects():
    ccds = [make_ccd("a", 0, kind="SIP"), make_ccd("b", 0, kind="TPV", angle=70)]
    x, y = np.random.default_rng(2).uniform(0, 199, (2, 331))
    ra, dec = ccds[0].wcs.pixel_to_sky(x, y)
    whole = find_epochs(ra, dec, ccds)
    for start, stop in ((0, 1), (1, 18), (18, 331)):
        part = find_epochs(ra[start:stop], dec[start:stop], ccds)
        same = whole.of_objects(start, stop)
        for name in ("row", "ccd_index", "x", "y"):
            assert np.array_equal(getattr(part, name), getattr(same, name)), name
        assert part.n_objects == same.n_objects
        assert np.array_equal(part.n_epoch, whole.n_epoch[start:stop])


def test_objects_that_nothing_saw():
    ccds = [make_ccd()]
    found = find_epochs([150.0, 330.0, np.nan, 10.0], [2.0, -2.0, 2.0, np.inf], ccds)
    assert list(found.n_epoch) == [1, 0, 0, 0]
    assert len(find_epochs([150.0], [2.0], []).row) == 0
    assert len(find_epochs([], [], ccds).n_epoch) == 0


def test_tables_of_epochs():
    ccds = [make_ccd("2100001", 7), make_ccd("2100002", 1, ra=151.0), make_ccd("2100002", 2)]
    found = find_epochs([150.0, 151.0], [2.0, 2.0], ccds)
    tables = epoch_tables(found, [11, 12])
    assert [list(table["CCD_N"]) for table in tables] == [[7, -1], [2, 1]]
    assert [list(table["EXP_NAME"]) for table in tables] == [["2100001"] * 2, ["2100002"] * 2]
    assert list(tables[0]["NUMBER"]) == [11, 12]
    assert tables[0]["CCD_N"].dtype == tables[0]["NUMBER"].dtype == np.int32
    assert list(epoch_tables(found)[1]["NUMBER"]) == [1, 2]


def test_wrong_input():
    ccd = make_ccd()
    with pytest.raises(DataError, match="of one length"):
        find_epochs([1.0], [1.0, 2.0], [ccd])
    with pytest.raises(DataError, match=r"the CCD comes twice in the list \(got 2100001-0\)"):
        find_epochs([1.0], [1.0], [ccd, ccd])
    with pytest.raises(ConfigError, match=r"epoch\.ccd_size: the first pixel lies behind"):
        EpochConfig(ccd_size=(5, 4, 1, 2))
    with pytest.raises(ConfigError, match="unknown word"):
        EpochConfig(edges="strict")


@pytest.mark.slow
def test_speed():
    """25,000 objects on 400 CCDs of 10 dithered exposures with SIP distortion."""
    ccds = [
        make_ccd(
            str(exposure), ccd, kind="SIP", shape=(4612, 2048), dec=2.0 + 0.01 * exposure,
            crpix=(1024 - 2100 * (ccd % 10 - 4.5), 2306 - 4700 * (ccd // 10 - 1.5)),
            **dict.fromkeys(("A_2_0", "A_1_1", "A_0_2", "B_2_0", "B_1_1", "B_0_2"), 1e-7),
            **dict.fromkeys(("A_3_0", "A_1_2", "B_0_3"), 1e-12),
        )
        for exposure in range(10) for ccd in range(40)
    ]  # fmt: skip
    rng = np.random.default_rng(1)
    ra, dec = 150 + rng.uniform(-0.25, 0.25, 25000), 2 + rng.uniform(-0.25, 0.25, 25000)
    start = time.process_time()
    found = find_epochs(ra, dec, ccds)
    seconds = time.process_time() - start
    assert found.n_epoch.mean() > 8
    assert seconds < 4  # about 1 on a free core
