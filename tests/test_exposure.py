import pickle

import numpy as np
import pytest

from purepipe.errors import DataError
from purepipe.exposure import Exposure, WeightKind


def test_arrays_are_native_contiguous_and_read_only():
    image = np.arange(12, dtype=">f8").reshape(3, 4)[:, ::-1]
    exposure = Exposure(image, weight=np.ones((3, 4)), weight_kind="rms")
    assert exposure.image.dtype == np.float32
    assert exposure.image.flags.c_contiguous
    assert not exposure.image.flags.writeable
    assert exposure.weight_kind is WeightKind.RMS
    assert exposure.shape == (3, 4)
    with pytest.raises(ValueError, match="read-only"):
        exposure.image[0, 0] = 1


def test_the_callers_array_stays_writable():
    image = np.zeros((3, 4), np.float32)
    exposure = Exposure(image)
    assert np.shares_memory(exposure.image, image)
    image[0, 0] = 1  # still the caller's to change


def test_copies_know_which_memory_may_be_overwritten():
    image, weight = np.zeros((3, 4), np.float32), np.ones((3, 4), np.float32)
    seen = np.broadcast_to(np.float32(1), (3, 4))
    given = Exposure(image, weight=weight, weight_kind="rms")
    for copy in (given, given.replace(name="b"), given.with_flags(np.zeros((3, 4), int))):
        assert copy.overwritable("image")
        assert copy.overwritable("weight")
    assert not given.replace(weight=given.image).overwritable("weight")
    frozen = image.view()
    frozen.flags.writeable = False
    assert not Exposure(frozen).overwritable("image")
    assert not given.replace(image=frozen).overwritable("image")
    for converted in (image.astype(">f4"), frozen.astype(float), seen, image.tolist()):
        assert Exposure(converted).overwritable("image")
    assert not Exposure(image).overwritable("weight")


def test_a_weight_needs_its_kind():
    with pytest.raises(DataError, match=r"a weight map needs its kind.*does not guess"):
        Exposure(np.zeros((3, 4)), weight=np.ones((3, 4)))
    with pytest.raises(
        DataError,
        match=r"unknown kind of weight map \(got 'inverse'; .*Did you mean 'inverse var",
    ):
        Exposure(np.zeros((3, 4)), weight=np.ones((3, 4)), weight_kind="inverse")
    with pytest.raises(DataError, match=r"got 'zzz'.*variance, rms\)\.$"):
        Exposure(np.zeros((3, 4)), weight=np.ones((3, 4)), weight_kind="zzz")


def test_membership_of_kinds_of_weights_is_an_answer():
    """Python asks the constructor, and takes a ValueError for no."""
    with pytest.raises(ValueError, match="zzz"):
        WeightKind("zzz")
    assert WeightKind("rms") in WeightKind


@pytest.mark.parametrize("plane", ["weight", "flags"])
def test_planes_of_another_size_are_refused(plane):
    kind = {"weight_kind": "mask"} if plane == "weight" else {}
    with pytest.raises(DataError, match=rf"the {plane} has another size .*got 3 x 4.*4 x 3"):
        Exposure(np.zeros((3, 4)), **{plane: np.ones((4, 3))}, **kind)


@pytest.mark.parametrize("image", [np.zeros(4), np.zeros((0, 4)), np.zeros((2, 2, 2))])
def test_the_image_must_be_a_plane(image):
    with pytest.raises(DataError, match="two-dimensional"):
        Exposure(image)


def test_no_data_is_an_error_with_a_remedy():
    Exposure(np.zeros((3, 4))).require_data()
    with pytest.raises(DataError, match=r"ccd 7: no finite pixel.*replace the file"):
        Exposure(np.full((3, 4), np.nan), name="ccd 7").require_data()
    for kind in ("mask", "relative", "inverse variance"):
        with pytest.raises(DataError, match=r"no pixel has a usable weight.*Check"):
            Exposure(np.zeros((3, 4)), weight=np.zeros((3, 4)), weight_kind=kind).require_data()
    Exposure(np.zeros((3, 4)), weight=np.zeros((3, 4)), weight_kind="rms").require_data()
    with pytest.raises(DataError, match="usable weight"):
        Exposure(np.zeros((3, 4)), weight=np.full((3, 4), -1), weight_kind="rms").require_data()


def test_replace_and_pickle():
    exposure = Exposure(np.ones((3, 4)), gain=2.0).with_flags(np.ones((3, 4), np.int16))
    assert exposure.flags.dtype == np.int32
    copy = pickle.loads(pickle.dumps(exposure))
    np.testing.assert_array_equal(copy.flags, exposure.flags)
    assert copy.gain == 2.0
    assert exposure.replace(gain=3.0).gain == 3.0
