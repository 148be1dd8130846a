"""The selection language: values, conditions, mistakes, and hostile text."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table
from hypothesis import example, given, settings
from hypothesis import strategies as st

from purepipe.errors import ConfigError, DataError, PurepipeError
from purepipe.select.evaluate import select, table_scope, value_of
from purepipe.select.language import (
    MAX_DEPTH,
    Chain,
    Number,
    Place,
    parse_condition,
    parse_expression,
)

TABLE = Table({"A": [1, 2, 3, 4], "B": [10, 20, 30, 40]})
MASKS = {"m": np.array([True, False, True, False]), "none": np.zeros(4, dtype=bool)}
SCOPE = table_scope(TABLE, MASKS)


def value(text: str):
    return value_of(parse_expression(text), SCOPE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A+B", [11, 22, 33, 44]),
        ("A*2+B/10", [3, 6, 9, 12]),
        ("B/2*5", [25, 50, 75, 100]),
        ("B*2/5", [4, 8, 12, 16]),
        ("1+2-3+4", 4),
        ("10-2-3+1-1", 5),
        ("2-3*4", -10),
        ("12/2/3", 2),
        ("A-B*2+3/2", [-17.5, -36.5, -55.5, -74.5]),
        ("A-B+1", [-8, -17, -26, -35]),
        ("A{m}", [1, 3]),
        ("mean(A{m})*2", 4),
        ("len(A{m})", 2),
        ("mean(A)+mean(B)", 27.5),
        ("mean(A)*mean(B)", 62.5),
        ("mean(A)/mean(B)/2", 0.05),
        ("mean(A+B)", 27.5),
        ("2*mean(A+B)", 55),
        ("mean(A{m}+B{m})", 22),
        ("pow(A,2)+1", [2, 5, 10, 17]),
        ("pow(A{m},2)", [1, 9]),
        ("sqrt(A)", np.sqrt([1, 2, 3, 4])),
        ("log10(B)", np.log10([10, 20, 30, 40])),
        ("log(exp(A))", [1, 2, 3, 4]),
        ("std(A)", 1.118033988749895),
        ("var(A)", 1.25),
        ("median(A)", 2.5),
        ("sigma_mad(A)", 1.4826),
        ("min(A) + max(B)", 41),
        ("mean(A)-0.1*0.187", 2.4813),
        ("len(A)/4612./0.187*3600.*1./2048./0.187*3600.", 156.95043685948878),
        ("homogen(A,4)", 0),
        ("homogen(A,B,4)", 57.735026918962575),
        ("mode(A)", 2.5),
        # what the original refuses or gets wrong
        ("-1", -1),
        ("--A", [1, 2, 3, 4]),
        ("-A*2", [-2, -4, -6, -8]),
        ("1e-3 + 1e+3 + .5", 1000.501),
        ("(A+B)*2", [22, 44, 66, 88]),
        ("sqrt(mean(A))", np.sqrt(2.5)),
        ("mean(A*B)", 75),
        ("mean(A-B)", -22.5),
        ("A-B-1", [-10, -19, -28, -37]),
        ("B/2/5", [1, 2, 3, 4]),
        ("A*B*2", [20, 80, 180, 320]),
        ("mode_hsm(A)", 2.5),
        ("abs(A-3)", [2, 1, 0, 1]),
        ("pow(2, -A)", [0.5, 0.25, 0.125, 0.0625]),
        ("pow(A, A-B)", np.power([1.0, 2, 3, 4], [-9, -18, -27, -36])),
    ],
)
def test_values(text, expected):
    np.testing.assert_allclose(value(text), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A<=mean(A)+0.2", [1, 1, 0, 0]),
        ("1<A", [0, 1, 1, 1]),
        ("A!=3", [1, 1, 0, 1]),
        ("A > -1", [1, 1, 1, 1]),
        ("A >= 2 and A < = 3", [0, 1, 1, 0]),
        ("A == 1 or A == 4", [1, 0, 0, 1]),
        ("A == 1 or A > 1 and B < 30", [1, 1, 0, 0]),
        ("(A == 1 or A > 1) and B < 30", [1, 1, 0, 0]),
        ("(A == 1 or B == 40) and (A > 1)", [0, 0, 0, 1]),
        ("len(A{m}) == 2", [1, 1, 1, 1]),
        ("len(A{m}) == 2 and A == 2", [0, 1, 0, 0]),
        ("A < mean(A{m}) + 0.5", [1, 1, 0, 0]),
        ("A / 0 > 1", [1, 1, 1, 1]),
        ("1 < A <= 3", [0, 1, 1, 0]),
        ("1 < A <= 3 and B < 30", [0, 1, 0, 0]),
        ("not 1 < A <= 3", [1, 0, 0, 1]),
        ("not A == 1 and not not B < 40", [0, 1, 1, 0]),
        ("not (A == 1 or A > nan)", [0, 1, 1, 1]),
        ("A**2 == 4 or -A**2 == -9 or 2**A**2 == 2", [1, 1, 1, 0]),
        ("2**-A < 0.1", [0, 0, 0, 1]),
        ("hypot(3, A) == 5", [0, 0, 0, 1]),
        ("A > nan", [0, 0, 0, 0]),
        ("A < inf", [1, 1, 1, 1]),
    ],
)
def test_conditions(text, expected):
    rows = select(TABLE, text, masks=MASKS)
    assert rows.dtype == bool
    np.testing.assert_array_equal(rows, np.array(expected, dtype=bool))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A < 3 not B < 2", r"column 7: an operator is needed here \(got 'not'\)"),
        ("not A", "'and', 'or' and 'not' join comparisons"),
        ("A *** 2 > 1", r"column 5: a number, a column or a function is needed here \(got '\*'\)"),
        ("A=3", "column 2: a single = compares nothing. Write == for equality"),
        ("A", r"a comparison is needed \(got A; allowed: < > <= >= == !=\)"),
        ("A < menn(B)", r"column 5: unknown function \(got menn\). Did you mean 'mean'"),
        ("AA < 3", r"column 1: unknown column \(got AA\). Did you mean 'A'"),
        ("A < mean(A{n})", r"column 10: unknown mask \(got n\).*must be defined before"),
        ("(A < 3", r"column 7: \) is missing \(got the end of the text\)"),
        ("A < 3)", r"column 6: an operator is needed here \(got '\)'\)"),
        ("A < 3 +", "a number, a column or a function is needed here"),
        ("A < 'x'", r"column 5: unexpected character \(got \"'\"\)"),
        ("A < 3 and B", "'and', 'or' and 'not' join comparisons"),
        ("(A < 3) * 2 > 1", "a comparison cannot be used as a number"),
        ("pow(A) < 1", r"wrong number of arguments of pow \(got 1; allowed: 2\)"),
        ("homogen(A) < 1", r"wrong number of arguments of homogen \(got 1; allowed: 2 to 3\)"),
        ("A{m} < 2", r"one value per row \(got 2; allowed: 4\). Reduce a masked column"),
        ("A{m} + A < 2", r"different numbers of rows \(got 2 and 4\)"),
        ("pow(A{m}, A) < 2", r"arguments have different numbers of rows \(got 2 and 4\)"),
        ("A{} < 2", "name of a mask is needed"),
        ("A{m < 2", r"\} is missing"),
        ("homogen(A,3) < 2", r"number of cells must be a perfect square \(got 3"),
        ("homogen(2,4) < 2", "homogen needs columns"),
        ("len(2) < 2", "len needs a column"),
        ("", "a number, a column or a function is needed here"),
        ("A < 2 B", "an operator is needed here"),
        ("1" * 5000, r"the expression is too long \(got 5000 characters"),
        ("A" + "+A" * 400, r"the expression is too long \(got 802 words"),
        ("(" * 100 + "A" + ")" * 100, "nested too deeply"),
        pytest.param("A<" + "1+" * 500_000 + "1", "got 1000003 characters", id="megabyte"),
        pytest.param("(" * 10_000 + "A" + ")" * 10_000, "too long", id="ten thousand deep"),
        ("A < __import__(A)", r"column 5: unknown function \(got __import__\)"),
        ("A < __import__('os').system('x')", r"column 16: unexpected character \(got \"'\"\)"),
        ("A < __import__", r"unknown column \(got __import__\)"),
    ],
)
def test_mistakes(text, message):
    with pytest.raises(ConfigError, match=message):
        select(TABLE, text, masks=MASKS)


def test_expression_is_not_a_comparison():
    with pytest.raises(ConfigError, match="a number is needed here, not a comparison"):
        parse_expression("A < 2")


def test_place_in_a_file():
    with pytest.raises(ConfigError, match=r"stars.setools line 7, column 13: \) is missing"):
        parse_condition("A < (3", place=Place(7, 7, "stars.setools"))


def test_mask_of_another_length():
    with pytest.raises(DataError, match=r"m: a mask must have one value per row"):
        select(TABLE, "A < 2", masks={"m": [True]})


def test_single_precision_is_kept():
    table = Table({"F": np.array([3.7, 3.7000003, 3.5], dtype=">f4")})
    scope = table_scope(table)
    limit = value_of(parse_expression("mean(F) - mean(F) + 3.7"), scope)
    assert limit.dtype == np.float32
    np.testing.assert_array_equal(select(table, "F <= 3.7"), [True, False, True])


def test_missing_values_are_nan():
    table = Table({"I": MaskedColumn([1, 2, 3], mask=[False, True, False])})
    np.testing.assert_array_equal(select(table, "I < 10"), [True, False, True])
    assert value_of(parse_expression("max(I)"), table_scope(table)) == 3


def test_unsigned_and_boolean_columns_can_be_negative():
    table = Table({"U": np.array([0, 3], np.uint16), "T": [True, False]})
    np.testing.assert_array_equal(value_of(parse_expression("U-T-1"), table_scope(table)), [-2, 2])


def test_vector_and_text_columns_are_refused():
    table = Table({"V": np.zeros((2, 3)), "S": ["a", "b"]})
    for name in ("V", "S"):
        with pytest.raises(ConfigError, match=rf"one number per row is needed \(got {name}\)"):
            select(table, f"{name} < 2")


def test_values_of_nothing(caplog):
    for function in ("mean", "median", "std", "var", "min", "max"):
        with caplog.at_level(logging.WARNING):
            assert np.isnan(value(f"{function}(A{{none}})"))
        assert f"{function} of no value is NaN" in caplog.text
    assert value("mode(A{none})") == -1
    assert value("sigma_mad(A{none})") == -1
    assert value("len(A{none})") == 0


def test_long_sums_do_not_nest():
    node = parse_expression("A" + "-1" * 250)
    assert isinstance(node, Chain)
    assert len(node.rest) == 250
    np.testing.assert_array_equal(value_of(node, SCOPE), np.array([1, 2, 3, 4]) - 250)


def test_deepest_nesting_allowed():
    depth = MAX_DEPTH - 1
    assert value("(" * depth + "1" + ")" * depth) == 1
    assert value("-" * 300 + "1") == 1


_WORDS = st.sampled_from(
    ["A", "B", "m", "mean", "pow", "mode", "and", "or", "not", "**", "(", ")", "{", "}", "[",
     "]", "<", ">", "<=", "==", "!=", "=", "+", "-", "*", "/", ",", "1", "2.5", "1e-3", ".",
     " ", "\t", "\n", "@", "#", '"', "é", "\0", "e9999", "1e999"]
)  # fmt: skip


@given(st.one_of(st.text(max_size=60), st.lists(_WORDS, max_size=40).map("".join)))
@settings(max_examples=400, deadline=None)
@example("(" * 3000)
@example("-" * 599 + "A")
@example("mean(" * 60)
@example("2**" * 200 + "2")
@example("not " * 400 + "A<1")
@example("A<1" + " and A<1" * 140)
@example("0 * (1e999)")
def test_hostile_text_is_refused_or_evaluated(text):
    for parse in (parse_expression, parse_condition):
        try:
            parse(text)
        except ConfigError as error:
            if "line 1, column" not in str(error):
                raise AssertionError(f"no place in {error}") from error
    try:
        rows = select(TABLE, text, masks=MASKS)
    except PurepipeError:
        return
    assert rows.shape == (4,)


def _numbers() -> st.SearchStrategy[str]:
    leaf = st.integers(0, 99).map(str)
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from("+-*"), inner).map("".join),
            inner.map(lambda text: f"({text})"),
            inner.map(lambda text: f"-{text}"),
        ),
        max_leaves=12,
    )


@given(_numbers())
@settings(max_examples=200, deadline=None)
def test_arithmetic_is_that_of_the_textbook(text):
    # Python's own grammar serves as the reference for precedence; the text holds digits only.
    assert value(text) == float(eval(text.replace("--", "- -")))


@given(st.floats(0, 1e300, allow_nan=False).map(repr))
def test_numbers_are_read_exactly(text):
    node = parse_expression(text)
    assert isinstance(node, Number)
    assert node.value == float(text)
