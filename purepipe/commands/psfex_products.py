"""What ``purepipe psfex`` writes: models, check-images, kernels, catalogue of the stars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from purepipe.commands.outputs import require_folder
from purepipe.errors import ConfigError, did_you_mean
from purepipe.io.psf_catalogue import CATALOGUE_TYPES, write_psf_catalogue
from purepipe.io.psf_file import write_psf
from purepipe.io.psf_images import ccd_shape, write_check_images, write_kernel
from purepipe.legacy.astromatic import Settings
from purepipe.psf import PSFModel, homogenisation_kernel
from purepipe.psf.checkimages import ALL_CHECK_IMAGES, PROFILE_IMAGES, psfex_check_image
from purepipe.psf.diagnostics import Diagnostics

if TYPE_CHECKING:
    from astropy.table import Table

    from purepipe.config.psf import PSFConfig


@dataclass(frozen=True, eq=False)
class Fit:
    """Stars, models and diagnostics of one catalogue, one each per image extension.

    `number` counts the catalogues of the command line from 1.
    """

    number: int
    path: Path
    tables: tuple[Table, ...]
    models: tuple[PSFModel, ...] = ()
    diagnostics: tuple[Diagnostics, ...] = ()


@dataclass(frozen=True)
class Products:
    """Which files are wanted.

    Attributes
    ----------
    psf_dir, psf_suffix
        Folder of the models (None: that of the catalogue) and the end of their names.
    catalogue, catalogue_type
        Catalogue of the stars of all models.
    checks
        Type and file name of each check-image.
    cube
        Write check-images as cubes, not as mosaics.
    kernel_dir, kernel_suffix
        As for the models, of the homogenisation kernels.
    report
        XML report; None for none.
    """

    psf_dir: Path | None
    psf_suffix: str
    catalogue: Path
    catalogue_type: str
    checks: tuple[tuple[str, Path], ...]
    cube: bool
    kernel_dir: Path | None
    kernel_suffix: str
    report: Path | None

    @property
    def needs_diagnostics(self) -> bool:
        """Whether a file holds the diagnostics of the models."""
        return self.report is not None or any(kind in PROFILE_IMAGES for kind, _ in self.checks)

    def model_path(self, catalogue: Path) -> Path:
        """The file of the models of a catalogue."""
        return _beside(catalogue, self.psf_dir, self.psf_suffix)

    def kernel_path(self, catalogue: Path) -> Path:
        """The file of the homogenisation kernels of a catalogue."""
        return _beside(catalogue, self.kernel_dir, self.kernel_suffix)

    def check_paths(self, catalogue: Path) -> tuple[Path, ...]:
        """The files of the check-images of a catalogue."""
        return tuple(
            name.with_name(f"{name.stem}_{catalogue.stem}.fits") for _, name in self.checks
        )

    def files(self, catalogues: Sequence[Path]) -> list[tuple[str, Path]]:
        """Everything that may be written for the catalogues, each with its keyword."""
        found = [("OUTCAT_NAME", self.catalogue)] if self.catalogue_type != "NONE" else []
        if self.report is not None:
            found.append(("XML_NAME", self.report))
        for path in catalogues:
            found.append(("PSF_SUFFIX", self.model_path(path)))
            found.append(("HOMOKERNEL_SUFFIX", self.kernel_path(path)))
            found += [("CHECKIMAGE_NAME", check) for check in self.check_paths(path)]
        return found


def read_products(settings: Settings) -> Products:
    """The files that the settings ask for.

    Raises
    ------
    ConfigError
        An unknown type of catalogue or check-image, fewer names than check-images, or an output
        folder that does not exist.
    """
    kind = settings.text("OUTCAT_TYPE").upper()
    if kind not in CATALOGUE_TYPES:
        raise ConfigError(
            "unknown type of catalogue", file=settings.file or None,
            key=settings["OUTCAT_TYPE"].where, got=repr(kind),
            remedy=did_you_mean(kind, CATALOGUE_TYPES),
        )  # fmt: skip
    products = Products(
        psf_dir=_folder(settings, "PSF_DIR"),
        psf_suffix=settings.text("PSF_SUFFIX"),
        catalogue=Path(settings.text("OUTCAT_NAME")),
        catalogue_type=kind,
        checks=_checks(settings),
        cube=settings.flag("CHECKIMAGE_CUBE"),
        kernel_dir=_folder(settings, "HOMOKERNEL_DIR"),
        kernel_suffix=settings.text("HOMOKERNEL_SUFFIX"),
        report=Path(settings.text("XML_NAME")) if settings.flag("WRITE_XML") else None,
    )
    if products.report is not None:
        require_folder(settings, "XML_NAME", products.report.parent)
    if kind != "NONE":
        require_folder(settings, "OUTCAT_NAME", products.catalogue.parent)
    for _, path in products.checks:
        require_folder(settings, "CHECKIMAGE_NAME", path.parent)
    return products


def _folder(settings: Settings, key: str) -> Path | None:
    if not settings.text(key):
        return None
    folder = Path(settings.text(key))
    require_folder(settings, key, folder)
    return folder


def _checks(settings: Settings) -> tuple[tuple[str, Path], ...]:
    kinds = [word.upper() for word in settings.texts("CHECKIMAGE_TYPE")]
    names = settings.texts("CHECKIMAGE_NAME")
    for kind in kinds:
        if kind not in (*ALL_CHECK_IMAGES, "NONE"):
            raise ConfigError(
                "unknown check-image", file=settings.file or None,
                key=settings["CHECKIMAGE_TYPE"].where, got=repr(kind),
                remedy=did_you_mean(kind, (*ALL_CHECK_IMAGES, "NONE")),
            )  # fmt: skip
    if len(names) < len(kinds) and any(kind != "NONE" for kind in kinds):
        raise ConfigError(
            "each check-image needs a name", file=settings.file or None,
            key=settings["CHECKIMAGE_NAME"].where, got=f"{len(names)} names",
            allowed=f"{len(kinds)}, as in CHECKIMAGE_TYPE",
        )  # fmt: skip
    pairs = zip(kinds, names, strict=False)
    return tuple((kind, Path(name)) for kind, name in pairs if kind != "NONE")


def write_fit(
    fit: Fit,
    config: PSFConfig,
    products: Products,
) -> None:
    """Write the models of one catalogue, their check-images and kernels.

    Raises
    ------
    PurepipeError
        A file cannot be written, or there is no homogenisation kernel.
    """
    write_psf(products.model_path(fit.path), fit.models)
    headers = [str(table.meta.get("header", "")) for table in fit.tables]
    steps = [model.sampling for model in fit.models]
    nothing = (None,) * len(fit.models)
    for (kind, _), path in zip(products.checks, products.check_paths(fit.path), strict=True):
        images = [
            psfex_check_image(
                kind, model, table, config, cube=products.cube, diagnostics=found,
                ccd_shape=ccd_shape(header),
            )
            for model, table, found, header in zip(
                fit.models, fit.tables, fit.diagnostics or nothing, headers, strict=True
            )
        ]  # fmt: skip
        write_check_images(path, images, sampling=steps, headers=headers)
    if config.homogenisation != "none":
        kernels = [homogenisation_kernel(model, config) for model in fit.models]
        write_kernel(products.kernel_path(fit.path), kernels, config.homogenisation_target[1])


def write_stars(fits: Sequence[Fit], products: Products) -> None:
    """Write the catalogue of the stars of all models.

    Raises
    ------
    StoreError
        The file cannot be written.
    """
    samples = [
        model.samples for fit in fits for model in fit.models if model.samples is not None
    ]  # fmt: skip
    write_psf_catalogue(products.catalogue, samples, products.catalogue_type)


def _beside(catalogue: Path, folder: Path | None, suffix: str) -> Path:
    return (folder or catalogue.parent) / f"{catalogue.stem}{suffix}"
