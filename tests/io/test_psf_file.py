"""PSF models survive writing and reading; PSFEx's files and GalSim's reader agree with them."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from purepipe.errors import InputFileError
from purepipe.io.images import write_image
from purepipe.io.psf_file import count_models, read_psf, write_psf
from purepipe.psf.model import PSFModel

REFERENCE = Path(__file__).parents[1] / "reference" / "io"


def _model(planes=6, degree=2):
    rng = np.random.default_rng(5)
    y, x = np.mgrid[-12:13, -12:13]
    mask = rng.normal(0, 1e-4, (planes, 25, 25))
    mask[0] += np.exp(-(x**2 + y**2) / 8) / (8 * np.pi)
    constant = planes == 1
    return PSFModel(
        mask=mask, coeffs=None, contexts=() if constant else ("XWIN_IMAGE", "YWIN_IMAGE"),
        offsets=() if constant else (1024.5, 2300.25), scales=() if constant else (2000.0, 4500.5),
        groups=() if constant else (1, 1), degrees=() if constant else (degree,), loaded=120,
        accepted=101, chi2=1.0625, fwhm=3.5, sampling=1.0,
    )  # fmt: skip


def _same(a, b):
    for field in fields(PSFModel):
        one, two = getattr(a, field.name), getattr(b, field.name)
        if isinstance(one, np.ndarray):
            assert np.array_equal(one, two), field.name
        else:
            assert one == two, field.name


@pytest.mark.parametrize("model", [_model(), _model(3, 1), _model(1)])
def test_round_trip(tmp_path, model):
    write_psf(tmp_path / "a.psf", model)
    _same(read_psf(tmp_path / "a.psf"), model)


def test_coefficients(tmp_path):
    model = replace(_model(), coeffs=np.arange(60.0).reshape(10, 6))
    write_psf(tmp_path / "a.psf", model)
    _same(read_psf(tmp_path / "a.psf"), model)


def test_groups_of_contexts(tmp_path):
    model = PSFModel(
        mask=np.arange(9 * 15, dtype="f4").reshape(9, 3, 5), coeffs=None,
        contexts=("X_IMAGE", "Y_IMAGE", ":AIRMASS"), offsets=(1.0, 2.0, 3.0),
        scales=(4.0, 5.0, 6.0), groups=(1, 1, 2), degrees=(1, 2), loaded=3, accepted=2, chi2=1.0,
        fwhm=2.0, sampling=0.5,
    )  # fmt: skip
    write_psf(tmp_path / "a.psf", model)
    _same(read_psf(tmp_path / "a.psf"), model)


def test_several_extensions(tmp_path):
    path = tmp_path / "a.psf"
    write_psf(path, [_model(), _model(3, 1)])
    assert count_models(path) == 2
    assert len(read_psf(path, 1).mask) == 3
    with pytest.raises(InputFileError, match=r"no such extension \(got 2; allowed: 0 to 1\)"):
        read_psf(path, 2)


@pytest.mark.parametrize("kind", ["pixels", "constant", "basis"])
def test_stored_files_of_psfex(tmp_path, kind):
    path = REFERENCE / f"sextractor.{kind}.psf"
    model = read_psf(path)
    assert model.loaded == 16
    assert model.accepted == 16
    assert model.sampling == 1.0
    assert model.mask.shape == (1 if kind == "constant" else 3, 15, 15)
    assert (model.coeffs is None) == (kind != "basis")
    write_psf(tmp_path / "a.psf", model)
    with fits.open(path) as theirs, fits.open(tmp_path / "a.psf") as ours:
        assert list(ours[1].header) == list(theirs[1].header)
        assert list(ours[1].header.values()) == list(theirs[1].header.values())
        cards = zip(ours[1].header.cards, theirs[1].header.cards, strict=True)
        for one, two in cards:  # the digits too, not the comments
            assert one.image.split("/")[0].rstrip() == two.image.split("/")[0].rstrip()
        assert ours[1].data.view(np.ndarray).tobytes() == theirs[1].data.view(np.ndarray).tobytes()


def test_coefficients_of_psfex_rebuild_its_planes():
    """Each plane is one mixture of the basis images: same rank, whatever the basis is."""
    model = read_psf(REFERENCE / "sextractor.basis.psf")
    basis, *_ = np.linalg.lstsq(model.coeffs.T, model.mask.reshape(3, -1), rcond=None)
    assert model.coeffs.shape == (15, 3)
    rebuilt = (model.coeffs.T @ basis).reshape(model.mask.shape)
    assert np.allclose(rebuilt, model.mask, atol=1e-7)


def test_galsim_draws_the_same(tmp_path):
    galsim = pytest.importorskip("galsim")
    from galsim.des import DES_PSFEx

    model = _model()
    write_psf(tmp_path / "a.psf", model)
    theirs = DES_PSFEx(str(tmp_path / "a.psf"))
    for x, y in ((0.0, 0.0), (500.25, 3000.5)):
        image = theirs.getPSFArray(galsim.PositionD(x + 1, y + 1))
        assert np.allclose(image, model.draw([x], [y])[0], atol=2e-8)


def test_equal_input_gives_equal_bytes(tmp_path):
    for name in "ab":
        write_psf(tmp_path / name, _model())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_not_a_psf_file(tmp_path):
    write_image(tmp_path / "a.fits", np.zeros((2, 2)))
    with pytest.raises(InputFileError, match=r"no \.psf file.*Give the file that PSFEx"):
        read_psf(tmp_path / "a.fits")


def test_missing_keyword(tmp_path):
    write_psf(tmp_path / "a.psf", _model())
    with fits.open(tmp_path / "a.psf", mode="update") as hdus:
        del hdus[1].header["POLSCAL2"]
    with pytest.raises(InputFileError, match=r"POLSCAL2.*missing.*make the model again"):
        read_psf(tmp_path / "a.psf")


def test_data_that_do_not_fit(tmp_path):
    write_psf(tmp_path / "a.psf", _model())
    for key, value in (("PSFAXIS1", 24), ("POLDEG1", 3)):
        with fits.open(tmp_path / "a.psf", mode="update") as hdus:
            hdus[1].header[key] = value
        with pytest.raises(InputFileError, match=r"data and keywords of the PSF model disagree"):
            read_psf(tmp_path / "a.psf")
