"""Stamps are cut around the nearest pixel, never wrapped, and say what they lack."""

import numpy as np
import pytest

from purepipe.errors import ConfigError, DataError
from purepipe.flags import EpochFlag, MaskFlag
from purepipe.survey import (
    CCDPlanes,
    Epochs,
    cut_stamps,
    find_epochs,
    gather_stamps,
    part_needed,
)

from .fields import KINDS, SHAPE, make_ccd

IMAGE = np.arange(300 * 200, dtype=np.float32).reshape(300, 200)
OUTSIDE, MISSING = int(MaskFlag.OUTSIDE), int(MaskFlag.MISSING)


def naive(image, x, y, size, fill):
    stamp = np.full((size, size), fill, image.dtype)
    for j in range(size):
        for i in range(size):
            row, column = round(y) + j - size // 2, round(x) + i - size // 2
            if 0 <= row < image.shape[0] and 0 <= column < image.shape[1]:
                stamp[j, i] = image[row, column]
    return stamp


def test_against_loops():
    rng = np.random.default_rng(4)
    x, y = rng.uniform(-12, 212, 60), rng.uniform(-12, 312, 60)
    x[:4], y[:4] = [0, 199, 100, 2.5], [0, 299, 299.4, 3.5]
    stamps = cut_stamps(IMAGE, x, y, 9, fill=-7)
    assert stamps.dtype == IMAGE.dtype
    for i in range(60):
        assert np.array_equal(stamps[i], naive(IMAGE, x[i], y[i], 9, -7))


def test_ties_go_to_the_even_pixel():
    stamps = cut_stamps(IMAGE, [9.5, 10.5, 11.5], [20.0] * 3, 1, fill=0)
    assert list(stamps.ravel()) == [20 * 200 + column for column in (10, 10, 12)]


def test_far_positions_are_filled():
    x = [np.nan, 1e300, -1e6, np.inf, 50]
    stamps = cut_stamps(IMAGE, x, [50, 50, 50, 50, -1e6], 5, fill=3)
    assert (stamps == 3).all()


def test_image_smaller_than_the_stamp():
    assert np.array_equal(
        cut_stamps(IMAGE[:3, :3], [1], [1], 7, fill=0)[0], naive(IMAGE[:3, :3], 1, 1, 7, 0)
    )


def test_wrong_arguments():
    for size in (0, 4, -1):
        with pytest.raises(ConfigError, match="the side of a stamp must be odd"):
            cut_stamps(IMAGE, [1], [1], size, fill=0)
    with pytest.raises(DataError, match="of one length"):
        cut_stamps(IMAGE, [1, 2], [1], 3, fill=0)


def _planes(**changes):
    planes = {
        "image": IMAGE + 1000, "background": np.full(SHAPE, 1000, np.float32),
        "weight": np.full(SHAPE, 0.25, np.float32), "mask": np.zeros(SHAPE, np.int32),
    }  # fmt: skip
    return CCDPlanes(**{**planes, **changes})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("angle", "flip"), [(0, False), (180, False), (37, True)])
def test_gathering(kind, angle, flip):
    ccds = [
        make_ccd("2100001", 4, kind=kind, angle=angle, flip=flip, FSCALE=1.5),
        make_ccd("2100002", 5, kind=kind, angle=angle + 90),
    ]
    ra, dec = ccds[0].wcs.pixel_to_sky([100.2, 50.7], [150.4, 100.0])
    epochs = find_epochs(ra, dec, ccds)
    stamps = gather_stamps(epochs, ccds, lambda index: _planes(), size=11)
    assert list(stamps.row) == [0, 0, 1, 1]
    assert list(stamps.exposure) == ["2100001", "2100002"] * 2
    assert list(stamps.ccd) == [4, 5, 4, 5]
    assert list(stamps.flux_scale) == [1.5, 1.0] * 2
    assert (stamps.flags == 0).all()
    assert (stamps.weights == 0.25).all()
    assert (stamps.masks == 0).all()
    for i in range(4):
        assert np.array_equal(stamps.images[i], naive(IMAGE, stamps.x[i], stamps.y[i], 11, 0))
        wcs = ccds[epochs.ccd_index[i]].wcs
        assert np.array_equal(stamps.jacobian[i], wcs.jacobian(stamps.x[i], stamps.y[i]))
    assert np.sign(np.linalg.det(stamps.jacobian[0])) == (-1 if flip else 1)
    assert stamps.images.dtype == stamps.weights.dtype == np.float32
    assert stamps.masks.dtype == stamps.flags.dtype == np.int32


def test_edge_of_the_image():
    ccd = make_ccd()
    epochs = find_epochs(*ccd.wcs.pixel_to_sky([2.0], [299.0]), [ccd])
    stamps = gather_stamps(epochs, [ccd], lambda index: _planes(), size=9)
    beyond = np.zeros((9, 9), bool)
    beyond[:, :2] = beyond[5:] = True
    assert np.array_equal(stamps.masks[0] == OUTSIDE, beyond)
    assert np.array_equal(stamps.weights[0] == 0, beyond)
    assert np.array_equal(stamps.images[0], naive(IMAGE, 2, 299, 9, 0))
    assert stamps.flags[0] == 0


def test_pixels_without_data():
    ccd = make_ccd()
    planes = _planes()
    planes.image[150, 100] = np.nan
    planes.image[150, 101] = np.inf
    planes.weight[151, 100], planes.weight[151, 101] = np.nan, -1
    planes.mask[150, 100], planes.mask[149, 100] = 128, 64
    epochs = find_epochs(*ccd.wcs.pixel_to_sky([100.0], [150.0]), [ccd])
    stamps = gather_stamps(epochs, [ccd], lambda index: planes, size=3)
    assert np.array_equal(stamps.masks[0], [[0, 64, 0], [0, 128 | MISSING, MISSING], [0, 0, 0]])
    assert np.array_equal(stamps.weights[0] > 0, [[1, 1, 1], [1, 0, 0], [1, 0, 0]])
    assert stamps.images[0, 1, 1] == stamps.images[0, 1, 2] == 0
    assert np.isfinite(stamps.images).all()
    assert planes.mask[150, 100] == 128  # the caller's planes are left alone


def test_simple_planes():
    ccd = make_ccd()
    epochs = find_epochs(*ccd.wcs.pixel_to_sky([100.0], [150.0]), [ccd])
    stamps = gather_stamps(epochs, [ccd], lambda index: CCDPlanes(IMAGE, 10.0), size=3)
    assert np.array_equal(stamps.images[0], IMAGE[149:152, 99:102] - 10)
    assert (stamps.weights == 1).all()


def test_flags_of_epochs():
    ccds = [make_ccd("a"), make_ccd("b"), make_ccd("c")]
    epochs = find_epochs(*ccds[0].wcs.pixel_to_sky([100.0], [199.0]), ccds)
    planes = {
        0: None,
        1: _planes(weight=np.zeros(SHAPE, np.float32)),
        2: CCDPlanes(IMAGE[:190]),  # the image ends before the area of the header does
    }
    asked = []

    def read(index):
        asked.append(index)
        return planes[index]

    stamps = gather_stamps(epochs, ccds, read, size=3)
    assert asked == [0, 1, 2]
    assert list(stamps.flags) == [
        EpochFlag.FAILED_CCD,
        EpochFlag.NO_DATA,
        EpochFlag.OFF_IMAGE | EpochFlag.NO_DATA,
    ]
    assert (stamps.weights == 0).all()
    assert (stamps.masks[0] == OUTSIDE).all()


def test_each_ccd_is_opened_once():
    ccds = [make_ccd("a"), make_ccd("b", ra=200.0), make_ccd("c")]
    x, y = np.random.default_rng(1).uniform(0, 199, (2, 50))
    epochs = find_epochs(*ccds[0].wcs.pixel_to_sky(x, y), ccds)
    asked = []
    gather_stamps(epochs, ccds, lambda i: asked.append(i) or _planes(), size=3)
    assert asked == [0, 2]


def test_no_pairs():
    ccd = make_ccd()
    stamps = gather_stamps(find_epochs([10.0], [10.0], [ccd]), [ccd], lambda i: None, size=5)
    assert len(stamps) == 0
    assert stamps.images.shape == (0, 5, 5)
    assert len(gather_stamps(find_epochs([1.0], [1.0], []), [], lambda i: None, size=5)) == 0


def test_planes_of_different_sizes():
    ccd = make_ccd()
    epochs = find_epochs([150.0], [2.0], [ccd])
    for what in ("background", "weight", "mask"):
        planes = _planes(**{what: np.zeros((3, 3), np.int32)})
        with pytest.raises(DataError, match=f"2100001-0: the {what} has another size"):
            gather_stamps(epochs, [ccd], lambda i, p=planes: p, size=3)
    with pytest.raises(ConfigError, match="must be odd"):
        gather_stamps(epochs, [ccd], lambda i: _planes(), size=4)


def test_psfs_are_attached():
    ccds = [make_ccd("a"), make_ccd("b")]
    epochs = find_epochs([150.0], [2.0], ccds)
    stamps = gather_stamps(epochs, ccds, lambda i: _planes(), size=5)
    with_psfs = stamps.with_psfs(np.ones((2, 7, 7)), [1.5, np.nan], flags=[0, EpochFlag.NO_PSF])
    assert with_psfs.psfs.dtype == np.float32
    assert list(with_psfs.flags) == [0, EpochFlag.NO_PSF]
    assert list(stamps.flags) == [0, 0]
    chosen = with_psfs.select(with_psfs.flags == 0)
    assert list(chosen.exposure) == ["a"]
    assert chosen.psfs.shape == (1, 7, 7)
    assert stamps.select(slice(0, 1)).psfs is None
    with pytest.raises(DataError, match="each stamp needs one PSF"):
        stamps.with_psfs(np.ones((1, 7, 7)), [1.5])


@pytest.mark.parametrize("xs", [[20.0, 24.0], [-3.0, 8.0], [100.0, 101.0], [0.0, 39.0]])
@pytest.mark.parametrize("ys", [[30.0], [5.4, 40.2], [-2.0, 3.0], [200.0], [0.0, 59.0]])
def test_a_part_of_the_ccd_gives_the_same_stamps(xs, ys):
    height, width, size = 60, 40, 9
    rng = np.random.default_rng(2)
    image = rng.normal(size=(height, width)).astype(np.float32)
    weight = rng.uniform(0.5, 1, (height, width)).astype(np.float32)
    mask = rng.integers(0, 2, (height, width)).astype(np.int32)
    n = len(ys)
    epochs = Epochs(
        np.arange(n), np.zeros(n, np.int64), np.array(xs[:n]), np.array(ys), n, (("1234567", 0),)
    )
    ccd = make_ccd(shape=(height, width))
    y0, y1, x0, x1 = part_needed(epochs, 0, (height, width), size)
    assert 0 <= y0 < y1 <= height
    assert 0 <= x0 < x1 <= width
    part = slice(y0, y1), slice(x0, x1)
    whole = gather_stamps(epochs, [ccd], lambda i: CCDPlanes(image, 1.0, weight, mask), size=size)
    some = gather_stamps(
        epochs, [ccd],
        lambda i: CCDPlanes(image[part], 1.0, weight[part], mask[part], y0, x0), size=size,
    )  # fmt: skip
    for name in ("images", "weights", "masks", "flags"):
        np.testing.assert_array_equal(getattr(some, name), getattr(whole, name), name)
