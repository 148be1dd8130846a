"""Images for ``purepipe sex``: what is read of a file, and what is loaded for it."""

import subprocess
import sys

import numpy as np
from astropy.io import fits

READ = """
import sys
from purepipe.commands import sex_read
from purepipe.io.sex_images import image_name, images_of, read_flag_image, read_float_image
name = image_name(sys.argv[1])
print(read_float_image(name, images_of(name)[0], threads=2).sum())
print(read_flag_image(name, images_of(name)[0]).sum())
print(sorted({"numba", "astropy", "scipy"} & set(sys.modules)))
"""


def test_plain_images_are_read_without_compiled_code(tmp_path):
    fits.writeto(tmp_path / "flag.fits", np.ones((30, 40), np.int16))
    words = [sys.executable, "-c", READ, str(tmp_path / "flag.fits")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:3] == ["1200.0", "1200", "[]"]
