"""``purepipe psfex``: PSF models of star catalogues, with PSFEx's arguments."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from purepipe import __version__
from purepipe.commands.console import guarded, say
from purepipe.commands.outputs import require_other_files
from purepipe.commands.psfex_products import (
    Fit,
    Products,
    read_products,
    write_fit,
    write_stars,
)
from purepipe.commands.psfex_report import extension_table, field_table
from purepipe.errors import ConfigError, ExitCode, InputFileError, PurepipeError
from purepipe.io.ldac import count_extensions, read_ldac
from purepipe.io.psf_images import read_cube
from purepipe.io.psf_report import write_psf_report
from purepipe.legacy.astromatic import Settings, parse_arguments, read_psf_config, read_settings
from purepipe.legacy.astromatic_files import content_lines, read_text
from purepipe.legacy.astromatic_keys import DEFAULTS
from purepipe.psf import fit_exposures, load_samples
from purepipe.psf.diagnostics import diagnose_psf
from purepipe.psf.hidden import without_hidden
from purepipe.psf.samples import FWHMRange

if TYPE_CHECKING:
    import numpy as np
    from astropy.table import Table
    from numpy.typing import NDArray

    from purepipe.config.psf import PSFConfig

USAGE = """\
purepipe psfex CATALOGUE... [@LIST]... [-c FILE] [-KEYWORD VALUE]... [--lenient]

Model the PSF from the stars of FITS_LDAC catalogues with VIGNET.

@LIST          file with names of catalogues
-c FILE        configuration file; default: default.psfex, if there is one
-KEYWORD VALUE overrides a keyword of the file, e.g. -PSF_SIZE 51,51
-d, -dd        print a configuration file with the common keywords, with all
-v             print the version
--lenient      warn of unknown keywords instead of refusing them

Exit status: 0 fine, 1 some catalogues failed (each named), 2 wrong
configuration.
"""
_DEFAULT_FILE = "default.psfex"
_TITLE = f"{'catalogue':26} accepted/loaded samp. chi2/dof FWHM ellip. resi. asym."
# What the extended configuration file adds.
_RARE = frozenset(
    {
        "BASIS_NAME", "BASIS_SCALE", "NEWBASIS_TYPE", "NEWBASIS_NUMBER", "PSF_PIXELSIZE",
        "PSF_DGEOCORRECT", "PSF_RECENTER", "PSFVAR_NSNAP", "HIDDENMEF_TYPE", "STABILITY_TYPE",
        "SAMPLE_WFLAGMASK", "SAMPLE_IMAFLAGMASK", "BADPIXEL_FILTER", "BADPIXEL_NMAX",
        "HOMOBASIS_TYPE", "HOMOBASIS_NUMBER", "HOMOBASIS_SCALE", "HOMOPSF_PARAMS",
        "HOMOKERNEL_DIR", "HOMOKERNEL_SUFFIX", "CHECKPLOT_RES", "CHECKPLOT_ANTIALIAS",
        "CHECKIMAGE_CUBE", "XSL_URL", "NTHREADS",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Job:
    """Which catalogues are to be fitted, how, and what is to be written."""

    settings: Settings
    config: PSFConfig
    products: Products
    catalogues: tuple[Path, ...]


def main(arguments: list[str]) -> int:
    """Model the PSF of the catalogues that the arguments name.

    Parameters
    ----------
    arguments
        As for PSFEx: ``stars.cat -c default.psfex -PSF_SIZE 51,51 ...``.

    Returns
    -------
    Exit status: 0 fine, 1 some catalogues failed (each named), 2 wrong configuration.
    """
    return guarded("psfex", _run, arguments)


def _run(arguments: list[str]) -> int:
    if not arguments or {"-h", "--help"} & set(arguments):
        say(USAGE)
    elif {"-v", "--version"} & set(arguments):
        say(f"purepipe psfex {__version__}")
    elif {"-d", "-dd"} & set(arguments):
        say(default_configuration(extended="-dd" in arguments))
    else:
        try:
            job = read_job(arguments)
        except InputFileError as error:  # of the configuration, or a list of catalogues
            _tell(str(error))
            return int(ExitCode.CONFIGURATION)
        return run_job(job)
    return int(ExitCode.OK)


def default_configuration(*, extended: bool = False) -> str:
    """A configuration file with the built-in value of every keyword, or of the common ones."""
    keys = [key for key in DEFAULTS["psfex"] if extended or key not in _RARE]
    lines = [f"# Configuration of purepipe psfex {__version__}"]
    family = ""
    for key in keys:
        if key.partition("_")[0] != family:
            family = key.partition("_")[0]
            lines.append("")
        lines.append(f"{key:20} {DEFAULTS['psfex'][key]}".rstrip())
    return "\n".join(lines)


def read_job(arguments: Sequence[str]) -> Job:
    """The job that a command line and its configuration file ask for.

    Raises
    ------
    ConfigError
        An unknown keyword, a value that is not understood, a missing output folder, no
        catalogue, two whose models would have one name, or an output that is an input.
    InputFileError
        The configuration file or a list of catalogues cannot be read.
    """
    lenient = "--lenient" in arguments
    words = [word for word in arguments if word != "--lenient"]
    files, path, overrides = parse_arguments(words)
    if path is None and Path(_DEFAULT_FILE).is_file():
        path = _DEFAULT_FILE
    settings = read_settings(path, "psfex", overrides=overrides, lenient=lenient)
    config = read_psf_config(settings)
    products = read_products(settings)
    catalogues = _catalogues(files)
    if not catalogues:
        raise ConfigError(
            "no catalogue is given", remedy="Name one or more FITS_LDAC catalogues, or @LIST."
        )
    _require_names(catalogues, products)
    require_other_files(settings, products.files(catalogues), catalogues)
    if path is None:
        _tell(f"no configuration file: built-in values are used (-c FILE, or {_DEFAULT_FILE})")
    if "CHECKPLOT_TYPE" in settings.entries and settings.text("CHECKPLOT_TYPE").upper() != "NONE":
        _tell("CHECKPLOT_TYPE is ignored: plots are made by purepipe report")
    return Job(settings, config, products, catalogues)


def _catalogues(files: Sequence[str]) -> tuple[Path, ...]:
    """All names, those in the lists too."""
    names: list[str] = []
    for file in files:
        if file.startswith("@"):
            names += [
                word for _, line in content_lines(read_text(file[1:])) for word in line.split()
            ]
        else:
            names.append(file)
    return tuple(Path(name) for name in names)


def _require_names(catalogues: Sequence[Path], products: Products) -> None:
    """The original would write one model over the other."""
    seen: dict[Path, Path] = {}
    for catalogue in catalogues:
        name = products.model_path(catalogue)
        if name in seen:
            raise ConfigError(
                "two catalogues have a model of one name", key=name,
                got=f"{seen[name]} and {catalogue}",
                remedy="Name each catalogue once; leave PSF_DIR empty, or rename one.",
            )  # fmt: skip
        seen[name] = catalogue


def run_job(job: Job) -> int:
    """Fit the catalogues and write the results.

    Returns
    -------
    Exit status. A catalogue that fails is named on standard error; the others go on.

    Raises
    ------
    PurepipeError
        The basis images or the catalogue of all stars fail.
    """
    verbose = job.settings.text("VERBOSE_TYPE").upper() != "QUIET"
    failed: dict[Path, str] = {}
    basis = read_cube(job.config.basis_file) if job.config.basis == "file" else None
    # Hidden contexts are put into the models, so that only those of the stars are left.
    plain = without_hidden(job.config)
    loaded = _load_all(job, failed)
    fits = _fit_all(loaded, job, basis, failed)
    if verbose:
        say(_TITLE)
    done = []
    wanted = verbose or job.products.needs_diagnostics
    for fit in fits:
        try:
            if wanted:
                found = tuple(diagnose_psf(model, plain) for model in fit.models)
                fit = replace(fit, diagnostics=found)
            write_fit(fit, plain, job.products)
        except PurepipeError as error:
            _fail(fit.path, error, failed)
            continue
        done.append(fit)
        if verbose:
            say("\n".join(_lines(fit)))
        if all(model.is_empty for model in fit.models):
            _fail(fit.path, "no star is left; the model that was written is empty", failed)
    write_stars(done, job.products)
    if job.products.report is not None:
        _write_report(job, done, failed)
    return int(ExitCode.SOME_FAILED if failed else ExitCode.OK)


def _load_all(job: Job, failed: dict[Path, str]) -> list[Fit]:
    """The stars of all catalogues that can be read."""
    loaded = []
    for number, path in enumerate(job.catalogues, start=1):
        try:
            count = count_extensions(path)
            tables = tuple(read_ldac(path, extension) for extension in range(max(count, 1)))
            if _is_pooled(job.config):  # one bad catalogue would stop the fit of all
                _require_columns(tables, without_hidden(job.config))
        except PurepipeError as error:
            _fail(path, error, failed)
        else:
            loaded.append(Fit(number, path, tables))
    return loaded


def _fit_all(
    loaded: list[Fit], job: Job, basis: NDArray[np.float64] | None, failed: dict[Path, str]
) -> list[Fit]:
    """The catalogues with their models; those with models in common are fitted together."""
    config = job.config
    fits = []
    for group in [loaded] if _is_pooled(config) and loaded else [[fit] for fit in loaded]:
        try:
            found = fit_exposures([fit.tables for fit in group], config, basis_images=basis)
        except PurepipeError as error:
            for fit in group:
                _fail(fit.path, error, failed)
            continue
        for fit, models in zip(group, found, strict=True):
            for model in models:
                if model.samples is not None:
                    model.samples["CATALOG_NUMBER"][:] = fit.number
            fits.append(replace(fit, models=tuple(models)))
    return fits


def _is_pooled(config: PSFConfig) -> bool:
    """Whether the catalogues have a model, or a basis, in common."""
    return config.stability == "sequence" or config.new_basis != "none"


def _require_columns(tables: Sequence[Table], config: PSFConfig) -> None:
    """Raise what the fit would raise for a lack of columns or header values."""
    for table in tables:
        if len(table):
            load_samples(table[:1], config, fwhm=FWHMRange(*config.fwhm_range, 6.0))


def _lines(fit: Fit) -> list[str]:
    """The line of the terminal for each model of a catalogue."""
    lines = []
    pairs = zip(fit.models, fit.diagnostics, strict=True)
    for number, (model, found) in enumerate(pairs, start=1):
        extension = f"[{number}/{len(fit.models)}]" if len(fit.models) > 1 else ""
        i = found.central
        stars = f"{model.accepted}/{model.loaded}"
        lines.append(
            f"{fit.path.stem:16} {extension:9} {stars:>9} {model.sampling:9.2f} {model.chi2:6.2f}"
            f" {found.moffat.fwhm[i]:6.2f} {found.moffat.ellipticity[i]:5.2f}"
            f" {found.pixel_free.residuals[i]:5.2f} {found.asymmetry[i]:5.2f}"
        )
    return lines


def _write_report(job: Job, fits: Sequence[Fit], failed: dict[Path, str]) -> None:
    settings = {key: ",".join(item.values) for key, item in job.settings.with_defaults().items()}
    write_psf_report(
        str(job.products.report), field_table(fits), extension_table(fits), settings=settings,
        snapshots=job.config.snapshots,
        failures={str(path): text for path, text in failed.items()},
    )  # fmt: skip


def _fail(path: Path, error: object, failed: dict[Path, str]) -> None:
    text = str(error)
    failed[path] = text
    _tell(text if str(path) in text else f"{path}: {text}")


def _tell(text: str) -> None:
    sys.stderr.write(f"purepipe psfex: {text}\n")
