"""Pack the converged ngmix fits as the tests use them: without covariances and empty noise stamps.

Source: results of ngmix 2.4 (target PSF azgauss, Gaussian model, Levenberg-Marquardt with
ftol = xtol = 1e-12) on simulated stamps of 64 objects in 3 epochs, made with GalSim; sigma_target
holds the widths of the target PSF with the dilation of 1.02. Types in the order noshear, 1p, 1m,
2p, 2m, shear step 0.01, prior widths 0.4 (shape) and 0.187 arcsec (centre). The first 48 objects
were fitted without fixnoise, the last 16 with it (the stamps `noise`, rotated by 90 degrees).

Usage: python pack_ngmix_fits.py SOURCE ngmix_converged.npz
"""

import sys

import numpy as np

source = np.load(sys.argv[1])
plain = int(source["n_plain"])
keep = {name: source[name] for name in source.files if source[name].ndim}
keep["cov"] = np.einsum("otii->oti", keep.pop("cov"))
keep["noise"] = keep["noise"][plain:]
np.savez_compressed(sys.argv[2], n_plain=plain, **keep)
