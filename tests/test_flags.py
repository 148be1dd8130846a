import pytest

from purepipe import flags
from purepipe.flags import DocumentedFlag, MaskFlag, decode


@pytest.mark.parametrize("cls", DocumentedFlag.__subclasses__())
def test_every_bit_is_single_and_documented(cls):
    values = [member.value for member in cls]
    assert len(set(values)) == len(values)
    for value, name, meaning in flags.table(cls):
        assert value.bit_count() == 1
        assert name.isupper()
        assert meaning.endswith(".")


@pytest.mark.parametrize("cls", DocumentedFlag.__subclasses__())
def test_absence_has_a_bit_except_for_pixels(cls):
    if cls is not MaskFlag:
        assert cls["NOT_ATTEMPTED"].value == flags.NOT_ATTEMPTED_BIT


def test_decode():
    assert decode(MaskFlag, 0) == []
    assert decode(MaskFlag, 2 | 128) == ["HALO", "SPIKE"]
    assert decode(MaskFlag, 4 | 1 << 20) == ["BORDER", "BIT_20"]


def test_members_combine():
    assert int(MaskFlag.HALO | MaskFlag.SPIKE) == 130
