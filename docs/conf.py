"""Configuration of the documentation: ``sphinx-build -W docs docs/_build/html``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import reference

import purepipe

project = "purepipe"
author = "the purepipe developers"
copyright = "2026, the purepipe developers"
version = release = purepipe.__version__
extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
]
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
autosummary_generate = True
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
numpydoc_show_class_members = False
numpydoc_attributes_as_param_list = False
default_role = "code"
nitpicky = False
html_theme = "furo"
html_title = "purepipe"
doctest_global_setup = "import numpy as np\nimport purepipe as pp\n"

reference.write_pages(Path(__file__).parent / "generated")
