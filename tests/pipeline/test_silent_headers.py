"""What headers do not say is told with the tile."""

from pathlib import Path

import pytest

from purepipe.config import EpochConfig
from purepipe.pipeline.objects import silent_headers
from purepipe.pipeline.units import CCDReference, CCDTask, TileTask


def tile(*cards):
    nowhere = Path("nowhere")
    ccds = tuple(
        CCDReference(
            CCDTask("2100001", number, 1, 1, None, nowhere, nowhere, None, None),
            "".join(card.ljust(80) for card in some), (4, 4),
        )
        for number, some in enumerate(cards)
    )  # fmt: skip
    return TileTask("000-000", nowhere, nowhere, None, None, ccds, ())


def test_headers_that_say_all():
    whole = ["FSCALE  = 1.0", "DATASEC = '[1:4,1:4]'"]
    assert silent_headers(tile(whole, whole), EpochConfig()) == []


def test_headers_that_are_silent():
    whole = ["CTYPE1  = 'FSCALE'", "FSCALE  = 1.0"]
    found = silent_headers(tile(whole, [], [], [], []), EpochConfig())
    assert found == [
        "no FSCALE in the headers of 2100001-1, 2100001-2, 2100001-3 and 1 more: their flux scale"
        " counts as 1.",
        "no DATASEC in the headers of 2100001-0, 2100001-1, 2100001-2 and 2 more: all their pixels"
        " count as exposed.",
    ]


@pytest.mark.parametrize("size", [(1, 4, 1, 4)])
def test_a_configured_area_needs_no_card(size):
    assert silent_headers(tile(["FSCALE  = 1.0"]), EpochConfig(ccd_size=size)) == []
