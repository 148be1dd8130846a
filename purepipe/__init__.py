"""purepipe: weak-lensing shear catalogues from survey images, in Python alone."""

__version__ = "0.1.0"
