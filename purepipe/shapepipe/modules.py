"""The modules of ShapePipe that purepipe runs: names, keys, inputs, and where work is done."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from purepipe.errors import ConfigError, did_you_mean
from purepipe.shapepipe import config as keys
from purepipe.shapepipe import config_small as small
from purepipe.survey.numbering import CCD_SCHEME, EXPOSURE_SCHEME, TILE_SCHEME

# Keys of every module that say where its files are.
FILE_KEYS = ("INPUT_DIR", "INPUT_MODULE", "FILE_PATTERN", "FILE_EXT", "NUMBERING_SCHEME")
LISTED_KEYS = ("INPUT_DIR", "INPUT_MODULE", "FILE_PATTERN", "FILE_EXT")
_NO_PROGRAMS = "no outside program is started"

# Keys of every module that change nothing, with the reason.
IGNORED_KEYS: Mapping[str, str] = {
    "EXEC_PATH": _NO_PROGRAMS,
    "DEPENDS": "purepipe knows its own packages",
    "ADD_DEPENDS": "purepipe knows its own packages",
    "EXECUTES": _NO_PROGRAMS,
    "ADD_EXECUTES": _NO_PROGRAMS,
    "RUN_METHOD": "each module knows whether its units are independent",
}
# Of the general sections.
IGNORED_GENERAL: Mapping[str, str] = {
    "SMP_BACKEND": "units run in processes of their own",
    "PROCESS_PRINT_LIMIT": "lists of files are in the log only",
    "CORRECT_FILE_PATTERN": "names of files are compared as a whole",
}
_BOTH = (CCD_SCHEME, TILE_SCHEME)


@dataclass(frozen=True)
class Module:
    """One module.

    Attributes
    ----------
    name
        Current name, without ``_runner``.
    config
        Dataclass of its keys.
    work
        Function that does one unit: ``file:function`` in this package.
    aliases
        Earlier names.
    patterns, extensions
        Of its input files.
    inputs
        Modules whose output it reads, without INPUT_DIR.
    schemes
        Forms of its numbers; the first one that fits any file counts.
    serial
        All numbers are one unit.
    required
        Keys without default.
    renamed
        Earlier names of keys.
    ignored
        Keys of its own that change nothing, with the reason.
    optional
        Number of patterns, from the end, that need not be given.
    """

    name: str
    config: type[Any]
    work: str
    aliases: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    extensions: tuple[str, ...] = (".fits",)
    inputs: tuple[str, ...] = ()
    schemes: tuple[str, ...] = _BOTH
    serial: bool = False
    required: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    ignored: Mapping[str, str] = field(default_factory=dict)


_MAPS = ("image", "weight", "flag")
_TILE = (TILE_SCHEME,)
_CCD = (CCD_SCHEME,)
_EXPOSURE = (EXPOSURE_SCHEME,)
_PREFIX = {"SUFFIX": "PREFIX"}

_TABLE = (
    Module(
        "get_images", small.GetImagesConfig, "images:get_images", patterns=("tile_numbers",),
        extensions=(".txt",), schemes=("",), serial=True,
        required=("INPUT_PATH", "INPUT_FILE_PATTERN", "INPUT_FILE_EXT", "OUTPUT_FILE_PATTERN",
                  "INPUT_NUMBERING"),
        ignored={
            "RETRIEVE_OPTIONS": "nothing is fetched", "N_TRY": "nothing is fetched",
            "CHECK_EXISTING_DIR": "links that exist are kept",
        },
    ),
    Module(
        "find_exposures", small.FindExposuresConfig, "images:find_exposures",
        patterns=("image",), inputs=("get_images",), schemes=_TILE,
    ),
    Module(
        "uncompress_fits", small.UncompressConfig, "images:uncompress", patterns=("image",),
        schemes=_TILE, renamed={"OUTPUT_FILE_PATTERN": "OUTPUT_PATTERN"},
    ),
    Module(
        "split_exp", keys.SplitExpConfig, "ccds:split", patterns=_MAPS, extensions=(".fz",),
        inputs=("get_images",), schemes=_EXPOSURE, renamed={"OUTPUT_PREFIX": "OUTPUT_SUFFIX"},
    ),
    Module(
        "merge_headers", keys.MergeHeadersConfig, "ccds:merge_headers", patterns=("headers",),
        extensions=(".npy",), inputs=("split_exp",), schemes=_EXPOSURE, serial=True,
    ),
    Module(
        "mask", keys.MaskModuleConfig, "ccds:mask", patterns=_MAPS,
        required=("MASK_CONFIG_PATH",), renamed=_PREFIX,
    ),
    Module(
        "sextractor", keys.SextractorConfig, "detection:sextractor", patterns=_MAPS,
        inputs=("mask",), required=("DOT_SEX_FILE", "DOT_PARAM_FILE"), renamed=_PREFIX,
    ),
    Module(
        "setools", keys.SetoolsConfig, "ccds:setools", patterns=("sexcat",),
        inputs=("sextractor",), schemes=_CCD, required=("SETOOLS_CONFIG_PATH",),
    ),
    Module(
        "psfex", keys.PSFExConfig, "models:psfex", patterns=("star_selection",),
        inputs=("setools",), schemes=_CCD, required=("DOT_PSFEX_FILE",),
    ),
    Module(
        "psfex_interp", keys.PSFInterpConfig, "models:interpolate",
        aliases=("psfexinterp", "psfinterp"), patterns=("star_selection", "galaxy_selection"),
        extensions=(".psf", ".fits"), inputs=("psfex", "setools"), required=("MODE",),
    ),
    Module(
        "vignetmaker", keys.VignetConfig, "stamps:vignets", aliases=("vignetmaker_runner2",),
        patterns=("galaxy_selection", "image"), inputs=("sextractor",), schemes=_TILE,
        required=("MODE",), renamed=_PREFIX,
    ),
    Module(
        "spread_model", keys.SpreadModuleConfig, "tiles:spread",
        patterns=("sexcat", "galaxy_psf", "weight_vign"), extensions=(".fits", ".sqlite", ".fits"),
        inputs=("sextractor", "psfex_interp", "vignetmaker"), schemes=_TILE, renamed=_PREFIX,
    ),
    Module(
        "ngmix", keys.NgmixConfig, "tiles:shapes",
        patterns=("tile_sexcat", "image", "exp_background", "galaxy_psf", "weight", "flag"),
        extensions=(".fits", *[".sqlite"] * 5),
        inputs=("sextractor", "psfex_interp", "vignetmaker"), schemes=_TILE,
        required=("LOG_WCS",),
        ignored={"PIXEL_SCALE": "the scale comes from the world coordinates of each CCD"},
    ),
    Module(
        "merge_sep_cats", small.MergeSepCatsConfig, "tiles:merge_slices", patterns=("ngmix",),
        inputs=("ngmix",), schemes=_TILE,
    ),
    Module(
        "make_cat", keys.MakeCatConfig, "tiles:final_catalogue", aliases=("make_catalog",),
        patterns=("tile_sexcat", "sexcat_sm", "galaxy_psf", "ngmix"),
        extensions=(".fits", ".fits", ".sqlite", ".fits"),
        inputs=("sextractor", "spread_model", "psfex_interp", "ngmix"), schemes=_TILE,
        renamed={"SM_STAR_STRESH": "SM_STAR_THRESH"},
    ),
    Module(
        "merge_starcat", small.MergeStarcatConfig, "catalogues:merge_stars",
        aliases=("merge_star_cat",), patterns=("validation_psf",), inputs=("psfex_interp",),
        schemes=_CCD, serial=True,
    ),
    Module(
        "random_cat", small.RandomCatConfig, "catalogues:randoms",
        patterns=("image", "pipeline_flag"), schemes=_TILE,
        ignored={
            "HEALPIX_OUT_FILE_BASE": "no HEALPix map is written",
            "HEALPIX_OUT_NSIDE": "no HEALPix map is written",
        },
    ),
    Module(
        "match_external", small.MatchExternalConfig, "catalogues:match",
        patterns=("tile_sexcat",), inputs=("sextractor",), schemes=_TILE,
        required=("EXTERNAL_CAT_PATH", "EXTERNAL_COL_MATCH"),
    ),
    Module(
        "pastecat", small.PastecatConfig, "catalogues:paste", patterns=("tile_sexcat",),
        inputs=("sextractor",), schemes=_TILE,
    ),
)  # fmt: skip

MODULES: Mapping[str, Module] = {module.name: module for module in _TABLE}
_NAMES: Mapping[str, str] = {
    name: module.name for module in _TABLE for name in (module.name, *module.aliases)
}
_REFUSED = {
    "mccd": "the PSF model MCCD is not a part of purepipe",
    "python_example": "it is a demonstration of ShapePipe",
    "serial_example": "it is a demonstration of ShapePipe",
    "execute_example": "it is a demonstration of ShapePipe",
}


def find_module(name: str) -> Module:
    """The module that a name in a pipeline file means: current and earlier names are known.

    Raises
    ------
    ConfigError
        There is no such module; the nearest name is suggested.
    """
    plain = name.strip().casefold()
    for form in (plain, re.sub(r"_runner$", "", plain)):
        if form in _NAMES:
            return MODULES[_NAMES[form]]
    for start, reason in _REFUSED.items():
        if plain.startswith(start):
            raise ConfigError(
                f"the module cannot be run: {reason}", key="MODULE", got=name,
                remedy="Take it out of MODULE.",
            )  # fmt: skip
    known = [f"{word}_runner" for word in _NAMES if not word.endswith("2")]
    raise ConfigError("unknown module", key="MODULE", got=name, remedy=did_you_mean(name, known))


def work_of(module: Module) -> Callable[..., None]:
    """The function that does one unit of a module."""
    file, _, name = module.work.partition(":")
    function: Callable[..., None] = getattr(import_module(f"purepipe.shapepipe.{file}"), name)
    return function
