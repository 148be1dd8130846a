"""The one table of column names that differ between the versions of ShapePipe.

The names of version 1, on the left, are those that its make_cat writes; a test compares the whole
list. Those of version 2 were written with no catalogue and no description of that version at hand:
none of them is verified.
"""

from __future__ import annotations

_TYPES = ("1M", "1P", "2M", "2P", "NOSHEAR")
# Pairs become two columns; a later version has no columns of two values.
_PER_TYPE = {
    "NGMIX_ELL_{}": ("NGMIX_G1_{}", "NGMIX_G2_{}"),
    "NGMIX_ELL_ERR_{}": ("NGMIX_G1_ERR_{}", "NGMIX_G2_ERR_{}"),
    "NGMIX_ELL_PSFo_{}": ("NGMIX_G1_PSF_ORIG_{}", "NGMIX_G2_PSF_ORIG_{}"),
    "NGMIX_T_PSFo_{}": ("NGMIX_T_PSF_ORIG_{}",),
    "NGMIX_Tpsf_{}": ("NGMIX_T_PSF_RECONV_{}",),
}
_OBJECT = {
    "XWIN_WORLD": ("RA",),
    "YWIN_WORLD": ("Dec",),
    "NGMIX_ELL_ERR_PSFo": ("NGMIX_G1_ERR_PSF_ORIG", "NGMIX_G2_ERR_PSF_ORIG"),
    "NGMIX_T_ERR_PSFo": ("NGMIX_T_ERR_PSF_ORIG",),
    "PRIMARY": ("FLAG_TILING",),
}

# purepipe's name (ShapePipe 1) -> names in ShapePipe 2, one for each value of a row.
V2_NAMES: dict[str, tuple[str, ...]] = _OBJECT | {
    old.format(kind): tuple(name.format(kind) for name in new)
    for old, new in _PER_TYPE.items()
    for kind in _TYPES
}
