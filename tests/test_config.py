import dataclasses
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pytest

import purepipe.config as configurations
from purepipe.config import SurveyConfig, describe, from_mapping, option, to_mapping
from purepipe.config.fields import check
from purepipe.errors import ConfigError


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class InnerConfig:
    size: int = option(3, "Size.", unit="pixel", minimum=1, maximum=9)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class OuterConfig:
    name: str = option("a", "Name.", choices=("a", "b"))
    limits: tuple[float, float] = option((0.0, 1.0), "Limits.", minimum=-1)
    many: tuple[int, ...] = option((), "Many.")
    colour: Colour = option(Colour.RED, "Colour.")
    path: Path | None = option(None, "Path.")
    inner: InnerConfig = option(lambda: InnerConfig(size=5), "Inner.")
    on: bool = option(True, "On.")

    def __post_init__(self) -> None:
        check(self)


def test_values_are_brought_to_their_types():
    config = from_mapping(
        OuterConfig,
        {"limits": [1, 2], "many": [1, 2, 3], "colour": "BLUE", "path": "x", "inner": {"size": 2}},
    )
    assert config == OuterConfig(
        limits=(1.0, 2.0), many=(1, 2, 3), colour=Colour.BLUE, path=Path("x"), inner=InnerConfig(2)
    )
    assert from_mapping(OuterConfig, to_mapping(config)) == config


def test_a_partial_table_keeps_the_preset():
    @dataclass(frozen=True)
    class WrapConfig:
        outer: OuterConfig = option(lambda: OuterConfig(name="b"), "Outer.")

    config = from_mapping(WrapConfig, {"outer": {"on": False}})
    assert config.outer.name == "b"
    assert config.outer.inner.size == 5
    assert not config.outer.on


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"nam": "a"}, r"nam: unknown key. Did you mean 'name'\?"),
        ({"name": "c"}, r"name: unknown word \(got 'c'\)"),
        ({"limits": [1.0]}, r"limits: 2 values are needed"),
        ({"limits": [-2.0, 1.0]}, r"limits: out of range \(got -2.0; allowed: -1 or more\)"),
        ({"limits": [float("nan"), 1.0]}, r"limits: a number is needed"),
        ({"colour": "rde"}, r"colour: unknown word .* Did you mean 'red'\?"),
        ({"on": 1}, r"on: true or false is needed"),
        ({"many": ["x"]}, r"many: a value of type int is needed"),
        ({"many": [True]}, r"many: a value of type int is needed"),
        ({"inner": 3}, r"inner: a table is needed here"),
        ({"inner": {"size": 10}}, r"inner.size: out of range \(got 10; allowed: 1 to 9\)"),
        ({"inner": {"sizes": 10}}, r"inner.sizes: unknown key. Did you mean 'size'"),
        ({"size": 3}, r"size: unknown key. Did you mean 'inner.size'\?"),
        ({"path": 3}, r"path: a value of type Path is needed"),
    ],
)
def test_errors_name_file_key_and_remedy(values, message):
    with pytest.raises(ConfigError, match=message) as caught:
        from_mapping(OuterConfig, values, file="survey.toml")
    assert "survey.toml" in str(caught.value)


def test_a_required_key_is_asked_for():
    @dataclass(frozen=True)
    class NeedConfig:
        size: int

    with pytest.raises(ConfigError, match="required key missing: size"):
        from_mapping(NeedConfig, {})


def every_configuration():
    return [getattr(configurations, name) for name in configurations.__all__ if "Config" in name]


@pytest.mark.parametrize("cls", every_configuration())
def test_every_value_has_a_sentence_and_survives_a_round_trip(cls):
    for row in describe(cls):
        assert row["sentence"].endswith("."), row["name"]
    assert from_mapping(cls, to_mapping(cls())) == cls()
    assert dataclasses.is_dataclass(cls)


def test_patterns_hold_the_number_once():
    with pytest.raises(ConfigError, match=r"inputs.image: the pattern must hold \{number\} once"):
        from_mapping(SurveyConfig, {"inputs": {"image": "image.fits"}})
    with pytest.raises(ConfigError, match="not a regular expression"):
        from_mapping(SurveyConfig, {"inputs": {"tile_number": "("}})


def test_a_table_that_stands_deeper_is_named():
    with pytest.raises(ConfigError, match=r"shapes: unknown key. Did you mean 'tile.shapes'\?"):
        from_mapping(SurveyConfig, {"shapes": {"noise": "min"}})
    with pytest.raises(ConfigError, match=r"Did you mean 'ccd.mask' or 'tile.mask'\?"):
        from_mapping(SurveyConfig, {"mask": {}})
