"""Configuration of the PSF model and of its evaluation at objects."""

from __future__ import annotations

import re
from dataclasses import dataclass

from purepipe.config.fields import check, option
from purepipe.errors import ConfigError

_KEY = re.compile(r"(:?)([A-Za-z_][A-Za-z0-9_-]*)(?:[(\[](\d+)[)\]])?")


@dataclass(frozen=True)
class PSFConfig:
    """How the PSF model is fitted; the keys stand for PSFEx's, the defaults are ShapePipe's."""

    basis: str = option(
        "pixel", "Images that the refinement of the model is made of; `pixel_auto` is `pixel` for"
        " FWHM below 3 pixels, else `none`.",
        choices=("none", "pixel", "gauss-laguerre", "file", "pixel_auto"),
        original="psfex:BASIS_TYPE",
    )  # fmt: skip
    basis_number: int = option(
        20, "Pixel basis: the square of this is the number of free pixels; Gauss-Laguerre: n_max.",
        minimum=1, maximum=255, original="psfex:BASIS_NUMBER",
    )  # fmt: skip
    basis_scale: float = option(
        1.0, "Gauss-Laguerre: factor on the scale of the functions.",
        minimum=1e-6, original="psfex:BASIS_SCALE",
    )  # fmt: skip
    basis_file: str = option(
        "basis.fits", "FITS cube of basis images.", original="psfex:BASIS_NAME"
    )
    new_basis: str = option(
        "none", "Principal components of a first fit as the basis of a second.",
        choices=("none", "pca_independent", "pca_common"), original="psfex:NEWBASIS_TYPE",
    )  # fmt: skip
    new_basis_number: int = option(
        8, "Number of principal components.", minimum=1, original="psfex:NEWBASIS_NUMBER"
    )
    sampling: float = option(
        1.0, "Size of a model pixel; 0 takes it from the FWHM.", unit="pixel",
        minimum=0, maximum=100, original="psfex:PSF_SAMPLING",
    )  # fmt: skip
    pixel_size: tuple[float, ...] = option(
        (1.0, 1.0), "Footprint of a detector pixel, used by diagnostics only.", unit="pixel",
        minimum=0, original="psfex:PSF_PIXELSIZE",
    )  # fmt: skip
    accuracy: float = option(
        0.01, "Relative accuracy of the PSF, part of the pixel errors.",
        minimum=0, maximum=1, original="psfex:PSF_ACCURACY",
    )  # fmt: skip
    size: tuple[int, ...] = option(
        (51, 51), "Width and height of the model; one number means both.", unit="model pixel",
        minimum=1, maximum=2048, original="psfex:PSF_SIZE",
    )  # fmt: skip
    recenter: bool = option(
        False, "Refit the centres of the stars with the model.", original="psfex:PSF_RECENTER"
    )
    geometric_maps: bool = option(
        False, "Correct each vignette by its VIGNET_DGEOX and VIGNET_DGEOY maps.",
        original="psfex:PSF_DGEOCORRECT",
    )  # fmt: skip
    extensions: str = option(
        "independent", "One model for each extension, or a common one.",
        choices=("independent", "common"), original="psfex:MEF_TYPE",
    )  # fmt: skip
    center_keys: tuple[str, str] = option(
        ("XWIN_IMAGE", "YWIN_IMAGE"), "Columns of the first guess of the centres.",
        original="psfex:CENTER_KEYS",
    )  # fmt: skip
    flux_key: str = option(
        "FLUX_AUTO", "Column of the flux that normalises the stars; (n) picks an element.",
        original="psfex:PHOTFLUX_KEY",
    )  # fmt: skip
    flux_error_key: str = option(
        "FLUXERR_AUTO", "Column of the flux error; read by the original, never used.",
        original="psfex:PHOTFLUXERR_KEY",
    )  # fmt: skip
    context_keys: tuple[str, ...] = option(
        ("XWIN_IMAGE", "YWIN_IMAGE"), "Columns that the PSF depends on; `:KEY` is a header value.",
        original="psfex:PSFVAR_KEYS",
    )  # fmt: skip
    context_groups: tuple[int, ...] = option(
        (1, 1), "Polynomial group of each context, from 1.",
        minimum=1, original="psfex:PSFVAR_GROUPS",
    )  # fmt: skip
    degrees: tuple[int, ...] = option(
        (2,), "Degree of the polynomial of each group; 0 makes a constant PSF.",
        minimum=0, maximum=40, original="psfex:PSFVAR_DEGREES",
    )  # fmt: skip
    stars_per_term: float = option(
        1.1, "The degree is lowered until there are this many stars for each term; with more than"
        " 3 a CCD of hardly any star gets smoother, better ellipticities than in the original.",
        minimum=1.1,
    )  # fmt: skip
    snapshots: int = option(
        9, "Snapshots per context in diagnostics; no effect on the model.",
        minimum=1, original="psfex:PSFVAR_NSNAP",
    )  # fmt: skip
    hidden_extensions: str = option(
        "common", "Hidden contexts from all extensions, or from each one.",
        choices=("common", "independent"), original="psfex:HIDDENMEF_TYPE",
    )  # fmt: skip
    stability: str = option(
        "exposure", "One model per exposure, or one for the sequence of exposures.",
        choices=("exposure", "sequence"), original="psfex:STABILITY_TYPE",
    )  # fmt: skip
    autoselect: bool = option(
        False, "Find the range of stellar FWHM in the sample.", original="psfex:SAMPLE_AUTOSELECT"
    )
    fwhm_variation: str = option(
        "seeing", "Whether the FWHM may differ between catalogues.",
        choices=("seeing", "none"), original="psfex:SAMPLEVAR_TYPE",
    )  # fmt: skip
    fwhm_range: tuple[float, float] = option(
        (2.0, 10.0), "Allowed range of twice FLUX_RADIUS.", unit="pixel",
        minimum=0, maximum=1e4, original="psfex:SAMPLE_FWHMRANGE",
    )  # fmt: skip
    max_fwhm_spread: float = option(
        0.2, "Allowed relative range of the FWHM with autoselect.",
        minimum=0, original="psfex:SAMPLE_VARIABILITY",
    )  # fmt: skip
    min_snr: float = option(
        20.0, "Smallest SNR_WIN of a star.", minimum=0, original="psfex:SAMPLE_MINSN"
    )
    max_ellipticity: float = option(
        0.3, "Largest (E-1)/(E+1) with E = ELONGATION.",
        minimum=0, original="psfex:SAMPLE_MAXELLIP",
    )  # fmt: skip
    flag_mask: int = option(
        0x00FE, "Bits of FLAGS that exclude a star.",
        minimum=0, original="psfex:SAMPLE_FLAGMASK",
    )  # fmt: skip
    weight_flag_mask: int = option(
        0, "Bits of FLAGS_WEIGHT that exclude a star.",
        minimum=0, original="psfex:SAMPLE_WFLAGMASK",
    )  # fmt: skip
    image_flag_mask: int = option(
        0, "Bits of IMAFLAGS_ISO that exclude a star.",
        minimum=0, original="psfex:SAMPLE_IMAFLAGMASK",
    )  # fmt: skip
    badpixel_filter: bool = option(
        False, "Exclude stars with too many bad pixels in the vignette.",
        original="psfex:BADPIXEL_FILTER",
    )  # fmt: skip
    max_badpixels: int = option(
        0, "Number of bad pixels that the filter lets pass.", unit="pixel",
        minimum=0, original="psfex:BADPIXEL_NMAX",
    )  # fmt: skip
    homogenisation: str = option(
        "none", "Basis of the kernel that makes the PSF the same everywhere.",
        choices=("none", "gauss-laguerre"), original="psfex:HOMOBASIS_TYPE",
    )  # fmt: skip
    homogenisation_number: int = option(
        10, "Order of the basis of the homogenisation kernel.",
        minimum=1, original="psfex:HOMOBASIS_NUMBER",
    )  # fmt: skip
    homogenisation_scale: float = option(
        1.0, "Scale of the basis of the homogenisation kernel.",
        minimum=1e-6, original="psfex:HOMOBASIS_SCALE",
    )  # fmt: skip
    homogenisation_target: tuple[float, float] = option(
        (2.0, 3.0), "FWHM (pixels) and beta of the Moffat profile to reach.",
        minimum=0, original="psfex:HOMOPSF_PARAMS",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check(self)
        for name in ("size", "pixel_size"):
            value = getattr(self, name)
            if len(value) not in (1, 2):
                raise ConfigError("one or two values are needed", key=f"psf.{name}", got=value)
            object.__setattr__(self, name, (value[0], value[-1]))
        self._check_contexts()
        if self.fwhm_range[0] > self.fwhm_range[1]:
            raise ConfigError(
                "the lower limit exceeds the upper one",
                key="psf.fwhm_range",
                got=self.fwhm_range,
            )
        for key in (*self.center_keys, self.flux_key, *self.context_keys):
            if not _KEY.fullmatch(key):
                raise ConfigError(
                    "this is not the name of a column", key="psf", got=repr(key),
                    allowed="NAME, NAME(n) or :KEY",
                )  # fmt: skip

    def _check_contexts(self) -> None:
        if len(self.context_groups) != len(self.context_keys):
            raise ConfigError(
                "each context needs one group", key="psf.context_groups",
                got=self.context_groups, allowed=f"{len(self.context_keys)} numbers",
            )  # fmt: skip
        if len(self.context_keys) > 4:
            raise ConfigError(
                "at most four contexts are possible",
                key="psf.context_keys",
                got=self.context_keys,
            )
        if self.context_groups and max(self.context_groups) > len(self.degrees):
            raise ConfigError(
                "a group has no degree", key="psf.context_groups", got=self.context_groups,
                allowed=f"1 to {len(self.degrees)}",
                remedy="Give one degree per group in psf.degrees.",
            )  # fmt: skip

    @property
    def is_constant(self) -> bool:
        """Whether the PSF does not depend on any context."""
        return not self.context_keys or not self.degrees or self.degrees[0] == 0

    @classmethod
    def psfex_defaults(cls) -> PSFConfig:
        """What the program does for keys that its configuration file does not give."""
        return cls(
            basis="pixel_auto",
            sampling=0.0,
            size=(25, 25),
            center_keys=("X_IMAGE", "Y_IMAGE"),
            flux_key="FLUX_APER(1)",
            flux_error_key="FLUXERR_APER(1)",
            context_keys=("X_IMAGE", "Y_IMAGE"),
            autoselect=True,
        )


@dataclass(frozen=True)
class PSFInterpolationConfig:
    """Which models are good enough to be evaluated at objects."""

    min_stars: int = option(
        20, "Fewest accepted stars of a usable model.", minimum=0, original="shapepipe:STAR_THRESH"
    )
    max_chi2: float = option(
        2.0, "Largest chi-square of a usable model.", minimum=0, original="shapepipe:CHI2_THRESH"
    )
    max_sum_error: float = option(
        0.5, "Largest deviation from 1 of the sum of a usable PSF image.", minimum=0
    )
    interpolation_response: bool = option(
        True,
        "Include the mean response of the interpolation that the fit assumes, which removes a"
        " bias of the PSF size of up to 0.7 %; false: the images as tabulated, as ShapePipe does.",
    )

    def __post_init__(self) -> None:
        check(self)
