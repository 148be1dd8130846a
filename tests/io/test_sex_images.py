"""Images for ``purepipe sex``: what is read of a file, and what is loaded for it."""

import gzip
import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits

from purepipe.errors import InputFileError
from purepipe.io.sex_images import image_name, images_of, read_flag_image, read_float_image

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


@pytest.mark.parametrize("read", [read_float_image, read_flag_image])
@pytest.mark.parametrize("threads", [1, 3])
def test_files_that_are_cut_after_they_were_looked_at(tmp_path, read, threads):
    path = tmp_path / "flag.fits"
    fits.writeto(path, np.ones((300, 40), np.int32))
    name = image_name(str(path))
    (item,) = images_of(name)
    before = read(name, item, threads=threads)
    with path.open("r+b") as stream:
        stream.truncate(30_000)
    with pytest.raises(InputFileError, match=r"flag\.fits.HDU 0.: the FITS file is truncated"):
        read(name, item, threads=threads)
    assert before.sum() == 12_000  # nothing of it is in the file
    fits.writeto(path, np.arange(12_000, dtype=np.int32).reshape(300, 40), overwrite=True)
    path.write_bytes(gzip.compress(path.read_bytes()))
    read(name, item, threads=threads)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(InputFileError, match=r"truncated.*the gzip stream ends early"):
        read(name, item, threads=threads)
