"""The records that the kernels of detection share: one object, one image plane, one mask."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BIG = np.float32(1e30)  # the variance of a pixel without data

OBJECT = np.dtype(
    [
        # footprint on the filtered detection image
        ("npix", "i4"),
        ("flux", "f4"),
        ("peak", "f4"),
        ("image_peak", "f4"),
        ("xmin", "i4"),
        ("xmax", "i4"),
        ("ymin", "i4"),
        ("ymax", "i4"),
        ("xpeak", "i4"),
        ("ypeak", "i4"),
        ("threshold", "f4"),
        ("x", "f8"),
        ("y", "f8"),
        ("x2", "f8"),
        ("y2", "f8"),
        ("xy", "f8"),
        ("a", "f4"),
        ("b", "f4"),
        ("theta", "f4"),
        ("cxx", "f4"),
        ("cyy", "f4"),
        ("cxy", "f4"),
        ("profile", "f4"),
        ("singular", "i1"),
        ("errx2", "f8"),
        ("erry2", "f8"),
        ("errxy", "f8"),
        ("clean_threshold", "f4"),
        ("parent", "i4"),
        ("first_line", "i4"),  # of the component before deblending
        ("last_line", "i4"),
        ("last_column", "i4"),  # of the component on its last line
        ("flags", "i2"),
        # isophotal measurements on the measurement image
        ("iso_flux", "f4"),
        ("iso_variance", "f4"),
        ("iso_threshold", "f4"),
        ("iso_area", "i4"),
        ("iso_max", "f4"),
        ("iso_levels", "i4", (8,)),
        ("background", "f4"),
        ("fwhm", "f4"),
    ]
)

MEASURED = np.dtype(
    [
        ("flags", "i2"),
        ("local_background", "f4"),  # above the background of the plane; 0 unless it is used
        ("auto_flux", "f4"),
        ("auto_error", "f4"),
        ("kron_radius", "f4"),
        ("win_flux", "f4"),
        ("win_error", "f4"),
        ("win_snr", "f4"),
        ("win_x", "f8"),
        ("win_y", "f8"),
        ("win_x2", "f8"),
        ("win_y2", "f8"),
        ("win_xy", "f8"),
        ("win_errx2", "f8"),
        ("win_erry2", "f8"),
        ("win_errxy", "f8"),
        ("win_flags", "i2"),
        ("win_iterations", "i2"),
        ("half_light", "f4"),
        ("growth_limit", "f8"),  # radius of the last point of the growth curve
        ("petro_flux", "f4"),
        ("petro_error", "f4"),
        ("petro_radius", "f4"),
    ]
)


NO_LIMIT = 1 << 40  # beyond any line


class Plane(NamedTuple):
    """One image, background-subtracted and interpolated, with what its noise needs.

    Without weights `variance` is a dummy of one pixel and the noise is `noise2` everywhere.
    """

    image: NDArray[np.float32]
    variance: NDArray[np.float32]
    weighted: bool
    bad_level: np.float32  # a pixel is bad from this variance on
    noise: np.float32  # global rms
    noise2: np.float32
    gain: float  # 0: no photon noise
    weight_gain: bool  # the photon noise follows the weight map


class Mask(NamedTuple):
    """Which pixels belong to whom.

    A pixel of label l > 0 is masked for every object but number l, unless it lies on a line up to
    ``returned[l, 0]``: the pixels of an object swallowed by cleaning are given back to everybody
    when newcomer ``returned[l, 1]`` is compared with the others.
    Label 1 is a detected pixel that belongs to no object; object i carries label i + 2. Lines
    beyond `limit` are not masked yet, the next one only up to `column`, and what the newcomers
    from `moment` on have others swallow is not given back yet.
    """

    labels: NDArray[np.int32]
    returned: NDArray[np.int32]
    active: bool  # MASK_TYPE is not NONE
    mirror: bool  # MASK_TYPE is CORRECT
    limit: int = NO_LIMIT  # last line that was masked when the object was measured
    column: int = -1
    moment: int = NO_LIMIT
