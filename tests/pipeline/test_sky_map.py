"""A map of the sky from the configuration to the final catalogue and the maps of the run."""

from dataclasses import replace

import numpy as np
import pytest

from purepipe import open_run
from purepipe.commands import skymaps
from purepipe.config.mask import SkyMaskConfig
from purepipe.errors import ExitCode
from purepipe.flags import MaskFlag
from purepipe.io.sky_maps import write_sky_map
from purepipe.mask.sky import separation
from purepipe.pipeline import run

healsparse = pytest.importorskip("healsparse", reason="the optional package is not installed")

RADIUS = 0.006  # degrees


def disc(centre, path):
    """A map of bits that is 2 within a disc around a position and 4 around that."""
    import hpgeom

    sky = healsparse.HealSparseMap.make_empty(64, 2**17, np.int16, sentinel=0)
    for radius, bit in ((3 * RADIUS, 4), (RADIUS, 2)):
        pixels = hpgeom.query_circle(2**17, *centre, radius, inclusive=True)
        sky.update_values_pix(pixels, np.full(len(pixels), bit, np.int16))
    write_sky_map(path, sky)
    return SkyMaskConfig(map=path, bits=2)


def test_a_map_of_the_sky_flags_objects_of_the_catalogue(finished, tmp_path, capsys):
    config, _ = finished
    before = open_run(config.out).catalogue()
    ra, dec = np.asarray(before["XWIN_WORLD"]), np.asarray(before["YWIN_WORLD"])
    centre = float(np.median(ra)), float(np.median(dec))
    sky = disc(centre, tmp_path / "bright.hsp.fits")
    ccd, tile = (
        replace(part, mask=replace(part.mask, sky=sky)) for part in (config.ccd, config.tile)
    )
    masked = replace(config, ccd=ccd, tile=tile, out=tmp_path / "run")
    assert run(masked, workers=1).exit_code is ExitCode.OK

    after = open_run(masked.out).catalogue()
    flagged = (np.asarray(after["IMAFLAGS_ISO"]) & MaskFlag.EXTERNAL) != 0
    distance = separation(*centre, after["XWIN_WORLD"], after["YWIN_WORLD"])
    assert 0 < np.count_nonzero(distance < RADIUS) < len(after) / 2
    assert flagged[distance < RADIUS].all()
    # The footprint of an object farther away may reach in.
    assert not flagged[distance > RADIUS + 0.001].any()
    assert not (np.asarray(before["IMAFLAGS_ISO"]) & MaskFlag.EXTERNAL).any()

    for kind in ([], ["--tiles"]):
        out = tmp_path / f"maps{len(kind)}"
        words = [str(masked.out), "--out", str(out), "--nside", "16384", "--bits", "8", *kind]
        assert skymaps.main(words) == 0
        fraction = healsparse.HealSparseMap.read(str(out / "masked.hsp.fits"))
        coverage = healsparse.HealSparseMap.read(str(out / "coverage.hsp.fits"))
        numbers = coverage.valid_pixels
        lon, lat = coverage.valid_pixels_pos()
        away, values = separation(*centre, lon, lat), fraction.get_values_pix(numbers)
        pixel = np.degrees(np.sqrt(np.pi / 3)) / 16384
        np.testing.assert_allclose(values[away < RADIUS - pixel], 1)
        np.testing.assert_allclose(values[away > RADIUS + pixel], 0)
        assert coverage.get_values_pos(*centre) > (0.9 if kind else 1.5)
    assert "images deep" in capsys.readouterr().out
