"""Shapes by metacalibration, and their calibration."""
