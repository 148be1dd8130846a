"""Runs the original program on arrays."""

import shutil
import subprocess

import numpy as np
import pytest
from astropy.io import fits

BINARY = shutil.which("weightwatcher") or shutil.which("ww")

needs_weightwatcher = pytest.mark.skipif(BINARY is None, reason="weightwatcher is not installed")


def run_weightwatcher(folder, weights=(), flags=(), regions=(), **keys):
    """(flag map, weight map, stderr) of one run; `regions` are the texts of polygon files."""
    names = {"WEIGHT_NAMES": [], "FLAG_NAMES": [], "POLY_NAMES": []}
    for key, arrays in (("WEIGHT_NAMES", weights), ("FLAG_NAMES", flags)):
        for number, array in enumerate(arrays):
            path = folder / f"{key}{number}.fits"
            fits.writeto(path, np.asarray(array), overwrite=True)
            names[key].append(str(path))
    for number, text in enumerate(regions):
        path = folder / f"poly{number}.reg"
        path.write_text(text)
        names["POLY_NAMES"].append(str(path))
    arguments = {key: ",".join(value) or "" for key, value in names.items()}
    arguments |= {"OUTFLAG_NAME": "f.fits", "OUTWEIGHT_NAME": "w.fits", "WRITE_XML": "N"}
    arguments |= {key: str(value) for key, value in keys.items()}
    command = [BINARY] + [part for item in arguments.items() for part in ("-" + item[0], item[1])]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    outputs = []
    for name in ("f.fits", "w.fits"):
        path = folder / name
        outputs.append(fits.getdata(path) if path.exists() else None)
    return *outputs, done.stderr


def region_text(polygons):
    """Lines of a region file, shortest decimals that keep every bit."""
    lines = [
        "polygon(" + " ".join(repr(v).removesuffix(".0") for v in np.ravel(p).tolist()) + ")"
        for p in polygons
    ]
    return "\n".join(lines) + "\n"
