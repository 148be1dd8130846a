"""Masks: rules, rasteriser, star catalogues."""
