"""The PSF fit against psfex over many kinds of catalogues: how far apart are the answers.

Each line is one catalogue or set of catalogues: number of rows and of stars that both fits keep,
the largest difference of any plane of the model in units of the peak, the largest relative
difference of the mean chi-squares, and whether flags and counts of all stars are the same.
"""

import argparse
import shutil
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "reference" / "psf"))

from make_reference import (
    CASES,
    HIDDEN,
    HIDDEN_KEYS,
    SEVERAL,
    SHAPEPIPE,
    SMALL,
    exposures,
    run_psfex,
    sequence,
    star_catalogue,
)
from rows import Row, add_json_option, program_version, tiny, write_rows

from purepipe.legacy.astromatic import parse_arguments, read_psf_config, read_settings
from purepipe.psf import fit_exposures

# Besides the stored cases: few to many stars, all degrees, odd sizes, seeing.
MORE = {
    "5 stars": (5, 51, {}),
    "300 rows, dense field": (300, 52, {}),
    "degree 0": (60, 53, {"PSFVAR_DEGREES": "0"}),
    "degree 1": (60, 53, {"PSFVAR_DEGREES": "1"}),
    "degree 3": (90, 54, {"PSFVAR_DEGREES": "3", "PSF_SIZE": "35,35"}),
    "degree 4": (120, 55, {"PSFVAR_DEGREES": "4", "PSF_SIZE": "31,31", "BASIS_NUMBER": "12"}),
    "37 x 29 pixels": (40, 56, {"PSF_SIZE": "37,29", "PSFVAR_DEGREES": "1"}),
    "64 x 64, even": (40, 57, {"PSF_SIZE": "64,64", "PSFVAR_DEGREES": "1"}),
    "PIXEL_AUTO": (40, 58, {"BASIS_TYPE": "PIXEL_AUTO", "SAMPLE_FWHMRANGE": "1.0,4.9",
                            "PSF_SIZE": "31,31", "PSFVAR_DEGREES": "1"}),
    "NONE, step 0.7": (40, 59, {"BASIS_TYPE": "NONE", "PSF_SAMPLING": "0.7",
                                "PSFVAR_DEGREES": "1"}),
}  # fmt: skip


def config_of(changes):
    """Configuration from keywords."""
    words = [word for key, value in (SHAPEPIPE | changes).items() for word in (f"-{key}", value)]
    _, _, overrides = parse_arguments(words)
    return read_psf_config(read_settings(None, "psfex", overrides=overrides))


def compare(name, tables, changes):
    """Prints one line of the table; differences of model and chi-square, whether stars agree."""
    others = [model for models in run_psfex(tables, changes) for model in models]
    models = [model for row in fit_exposures(tables, config_of(changes)) for model in row]
    peaks = [np.abs(other["mask"][0]).max() for other in others]
    apart = max(
        np.abs(model.mask - other["mask"]).max() / peak
        for model, other, peak in zip(models, others, peaks, strict=True)
    )
    chi2 = max(abs(m.chi2 / o["chi2"] - 1) for m, o in zip(models, others, strict=True))
    same = all(
        (m.loaded, m.accepted) == (o["loaded"], o["accepted"])
        and np.array_equal(m.samples["FLAGS_PSF"], o["FLAGS_PSF"])
        for m, o in zip(models, others, strict=True)
    )
    rows = sum(len(table) for row in tables for table in row)
    accepted = sum(model.accepted for model in models)
    verdict = "same" if same else "DIFFERENT"
    print(f"{name:24} {rows:5d} {accepted:8d} {apart:10.1e} {chi2:10.1e} {verdict}", flush=True)
    return apart, chi2, same


def main():
    """Run the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help="cases whose name contains this")
    add_json_option(parser)
    options = parser.parse_args()
    if shutil.which("psfex") is None:
        sys.exit("psfex is not installed")
    cases = [(name, [[star_catalogue(n, seed)]], ch) for name, (n, seed, ch) in CASES.items()]
    cases += [(name, [[star_catalogue(n, seed)]], ch) for name, (n, seed, ch) in MORE.items()]
    cases += [(name, exposures(), SMALL | changes) for name, changes in SEVERAL.items()]
    cases += [(name, sequence(), SMALL | HIDDEN_KEYS | ch) for name, ch in HIDDEN.items()]
    print(f"{'case':24} {'rows':>5} accepted difference       chi2 stars")
    chosen = [case for case in cases if options.only is None or options.only in case[0]]
    found = [compare(*case) for case in chosen]
    agreed = sum(same and apart <= 1e-6 and chi2 <= 1e-6 for apart, chi2, same in found)
    print(f"{agreed} of {len(found)} within 1e-6 of the peak, 1e-6 in chi2, all stars alike")
    apart, chi2 = (float(max(case[k] for case in found)) for k in (0, 1))
    alike = sum(same for _, _, same in found)
    row = Row(
        f"PSF, {len(found)} sets of catalogues", f"PSFEx {program_version('psfex')}",
        f"models to {tiny(apart)} of the peak, chi-squares to {tiny(chi2)},"
        f" same stars in {'all' if alike == len(found) else alike}",
        {"difference": apart, "chi2": chi2, "same_stars": alike, "sets": len(found)},
    )  # fmt: skip
    write_rows(options.json, [row])


if __name__ == "__main__":
    main()
