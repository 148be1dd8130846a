"""Simulated surveys with known shear."""
