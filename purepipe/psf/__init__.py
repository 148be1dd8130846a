"""PSF model, its evaluation, adaptive moments, spread model."""
