"""The selection language: expressions and conditions on table columns, parsed into plain data.

A superset of SETools' mini-language, without its gaps: precedence, parentheses, unary minus,
nested functions, powers, chains of comparisons, ``and`` / ``or`` / ``not``. Text becomes frozen
nodes that know their place; nothing is ever evaluated as Python.

    condition  := both ('or' both)*
    both       := negated ('and' negated)*
    negated    := 'not'* comparison
    comparison := sum (('<' | '>' | '<=' | '>=' | '==' | '!=') sum)*
    sum        := product (('+' | '-') product)*
    product    := signed (('*' | '/') signed)*
    signed     := ('-' | '+')* power
    power      := primary ['**' signed]
    primary    := number | COLUMN ['{' mask '}'] | function '(' sum (',' sum)* ')'
                | '(' condition ')'
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from purepipe.errors import ConfigError, did_you_mean

MAX_LENGTH = 4000
MAX_TOKENS = 600
MAX_DEPTH = 40

COMPARISONS = ("<", ">", "<=", ">=", "==", "!=")
# Function name to its smallest and largest number of arguments.
FUNCTIONS = {
    "mean": (1, 1), "median": (1, 1), "mode": (1, 1), "mode_hsm": (1, 1), "std": (1, 1),
    "var": (1, 1), "sigma_mad": (1, 1), "min": (1, 1), "max": (1, 1), "len": (1, 1),
    "sqrt": (1, 1), "log": (1, 1), "log10": (1, 1), "exp": (1, 1), "abs": (1, 1), "pow": (2, 2),
    "hypot": (2, 2),
    "homogen": (2, 3),
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where something stands in the text, counted from 1."""

    line: int = 1
    column: int = 1
    file: str | None = None

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"


@dataclass(frozen=True)
class Number:
    """A literal."""

    value: float
    place: Place


@dataclass(frozen=True)
class Column:
    """A column, or its rows in a mask."""

    name: str
    mask: str | None
    place: Place


@dataclass(frozen=True)
class Call:
    """A function of expressions."""

    function: str
    arguments: tuple[Expression, ...]
    place: Place


@dataclass(frozen=True)
class Negative:
    """Minus an expression."""

    operand: Expression
    place: Place


@dataclass(frozen=True)
class Chain:
    """Operations of one precedence, from left to right."""

    first: Expression
    rest: tuple[tuple[str, Expression], ...]
    place: Place


@dataclass(frozen=True)
class Comparison:
    """Two expressions compared."""

    operator: str
    left: Expression
    right: Expression
    place: Place


@dataclass(frozen=True)
class Logical:
    """Conditions joined by ``and``, or by ``or``; one behind ``not``."""

    operator: str
    terms: tuple[Condition, ...]
    place: Place


Expression: TypeAlias = Number | Column | Call | Negative | Chain
Condition: TypeAlias = Comparison | Logical
Node: TypeAlias = Expression | Condition


@dataclass(frozen=True)
class _Token:
    kind: str  # "number", "name", "operator", "end"
    text: str
    place: Place


@dataclass
class _Cursor:
    """Position in the tokens; the only state of the parser."""

    tokens: tuple[_Token, ...]
    index: int = 0
    depth: int = 0

    @property
    def next(self) -> _Token:
        return self.tokens[self.index]

    def take(self) -> _Token:
        token = self.tokens[self.index]
        self.index += token.kind != "end"
        return token

    def at(self, *texts: str) -> bool:
        return self.next.kind in ("operator", "word") and self.next.text in texts


_TOKEN = re.compile(
    r"""(?P<blank>\s+)
    |(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    |(?P<name>[A-Za-z_][A-Za-z0-9_.]*)
    |(?P<operator><\s*=|>\s*=|=\s*=|!\s*=|\*\*|[-+*/(),{}<>=])""",
    re.VERBOSE | re.ASCII,
)
_WORDS = ("and", "or", "not")


def parse_expression(text: str, *, place: Place = Place()) -> Expression:
    """The expression that `text` spells.

    Parameters
    ----------
    text
        For instance ``"mean(FWHM_IMAGE{stars}) * 0.186"``.
    place
        Where `text` begins in its file, for messages.

    Raises
    ------
    ConfigError
        With the line, the column, and the nearest valid name.
    """
    node = parse(text, place=place)
    if isinstance(node, Comparison | Logical):
        raise _error(node.place, "a number is needed here, not a comparison", got=text.strip())
    return node


def parse_condition(text: str, *, place: Place = Place()) -> Condition:
    """The condition that `text` spells, such as ``"FWHM_IMAGE < mode(FWHM_IMAGE{stars}) + 0.2"``.

    Parameters and errors are those of `parse_expression`.
    """
    node = parse(text, place=place)
    if isinstance(node, Comparison | Logical):
        return node
    raise _error(place, "a comparison is needed", got=text.strip(), allowed=" ".join(COMPARISONS))


def parse(text: str, *, place: Place = Place()) -> Node:
    """The expression or condition that `text` spells; parameters and errors as there."""
    if len(text) > MAX_LENGTH:
        raise _error(place, "the expression is too long", got=f"{len(text)} characters",
                     allowed=f"at most {MAX_LENGTH}")  # fmt: skip
    tokens = _tokens(text, place)
    if len(tokens) > MAX_TOKENS:
        raise _error(place, "the expression is too long", got=f"{len(tokens)} words",
                     allowed=f"at most {MAX_TOKENS}")  # fmt: skip
    cursor = _Cursor(tokens)
    node = _condition(cursor)
    _require_end(cursor)
    return node


def _tokens(text: str, start: Place) -> tuple[_Token, ...]:
    tokens = []
    index = 0
    while index < len(text):
        place = Place(start.line, start.column + index, start.file)
        match = _TOKEN.match(text, index)
        if match is None:
            raise _error(place, "unexpected character", got=repr(text[index]))
        index = match.end()
        kind = str(match.lastgroup)
        word = "".join(match.group().split())
        if kind == "name" and word in _WORDS:
            kind = "word"
        if kind != "blank":
            tokens.append(_Token(kind, word, place))
    tokens.append(_Token("end", "", Place(start.line, start.column + index, start.file)))
    return tuple(tokens)


def _require_end(cursor: _Cursor) -> None:
    token = cursor.next
    if token.kind == "end":
        return
    if token.text == "=":
        raise _error(token.place, "a single = compares nothing", remedy="Write == for equality.")
    raise _error(token.place, "an operator is needed here", got=repr(token.text))


def _condition(cursor: _Cursor) -> Node:
    with _deeper(cursor):
        return _joined(cursor, "or")


@contextmanager
def _deeper(cursor: _Cursor) -> Iterator[None]:
    """One level of nesting more while the body parses."""
    cursor.depth += 1
    if cursor.depth > MAX_DEPTH:
        raise _error(cursor.next.place, "the expression is nested too deeply",
                     allowed=f"at most {MAX_DEPTH} levels")  # fmt: skip
    yield
    cursor.depth -= 1


def _joined(cursor: _Cursor, word: str) -> Node:
    """Terms joined by `word`; the terms of ``or`` are terms joined by ``and``."""
    first = _joined(cursor, "and") if word == "or" else _negated(cursor)
    if not cursor.at(word):
        return first
    terms = [_as_condition(first)]
    while cursor.at(word):
        cursor.take()
        term = _joined(cursor, "and") if word == "or" else _negated(cursor)
        terms.append(_as_condition(term))
    return Logical(word, tuple(terms), first.place)


def _negated(cursor: _Cursor) -> Node:
    """A comparison, or what ``not`` makes of it."""
    place = cursor.next.place
    count = 0
    while cursor.at("not"):
        cursor.take()
        count += 1
    node = _comparison(cursor)
    if count == 0:
        return node
    condition = _as_condition(node)
    return Logical("not", (condition,), place) if count % 2 else condition


def _comparison(cursor: _Cursor) -> Node:
    """A sum, or sums compared; ``a < b < c`` is ``a < b and b < c``."""
    left = _chain(cursor, ("+", "-"))
    compared = []
    while cursor.at(*COMPARISONS):
        operator = cursor.take()
        right = _as_expression(_chain(cursor, ("+", "-")))
        compared.append(Comparison(operator.text, _as_expression(left), right, operator.place))
        left = right
    if not compared:
        return left
    return compared[0] if len(compared) == 1 else Logical("and", tuple(compared), left.place)


def _chain(cursor: _Cursor, operators: tuple[str, str]) -> Node:
    """A sum of products, or a product of signed factors."""
    is_sum = "+" in operators
    first = _chain(cursor, ("*", "/")) if is_sum else _signed(cursor)
    rest = []
    while cursor.at(*operators):
        operator = cursor.take().text
        operand = _chain(cursor, ("*", "/")) if is_sum else _signed(cursor)
        rest.append((operator, _as_expression(operand)))
    if not rest:
        return first
    return Chain(_as_expression(first), tuple(rest), first.place)


def _signed(cursor: _Cursor) -> Node:
    place = cursor.next.place
    negative = False
    signed = False
    while cursor.at("-", "+"):
        signed = True
        negative ^= cursor.take().text == "-"
    node = _power(cursor)
    if not signed:
        return node
    operand = _as_expression(node)
    return Negative(operand, place) if negative else operand


def _power(cursor: _Cursor) -> Node:
    """A primary, or a power of it; 2**3**2 is 2**9."""
    base = _primary(cursor)
    if not cursor.at("**"):
        return base
    place = cursor.take().place
    with _deeper(cursor):
        exponent = _signed(cursor)
    return Call("pow", (_as_expression(base), _as_expression(exponent)), place)


def _primary(cursor: _Cursor) -> Node:
    token = cursor.take()
    if token.kind == "number":
        return Number(float(token.text), token.place)
    if token.kind == "name":
        if cursor.at("("):
            return _call(cursor, token)
        return Column(token.text, _mask_name(cursor), token.place)
    if token.text == "(":
        node = _condition(cursor)
        _expect(cursor, ")")
        return node
    got = repr(token.text) if token.text else "the end of the text"
    raise _error(token.place, "a number, a column or a function is needed here", got=got)


def _call(cursor: _Cursor, name: _Token) -> Call:
    if name.text not in FUNCTIONS:
        raise _error(name.place, "unknown function", got=name.text,
                     remedy=did_you_mean(name.text, FUNCTIONS))  # fmt: skip
    cursor.take()
    arguments = [_as_expression(_condition(cursor))]
    while cursor.at(","):
        cursor.take()
        arguments.append(_as_expression(_condition(cursor)))
    _expect(cursor, ")")
    low, high = FUNCTIONS[name.text]
    if not low <= len(arguments) <= high:
        allowed = str(low) if low == high else f"{low} to {high}"
        raise _error(name.place, f"wrong number of arguments of {name.text}",
                     got=len(arguments), allowed=allowed)  # fmt: skip
    return Call(name.text, tuple(arguments), name.place)


def _mask_name(cursor: _Cursor) -> str | None:
    if not cursor.at("{"):
        return None
    cursor.take()
    token = cursor.take()
    if token.kind not in ("name", "word", "number"):
        raise _error(token.place, "the name of a mask is needed between { and }",
                     got=repr(token.text))  # fmt: skip
    _expect(cursor, "}")
    return token.text


def _expect(cursor: _Cursor, text: str) -> None:
    token = cursor.next
    if not cursor.at(text):
        got = repr(token.text) if token.text else "the end of the text"
        raise _error(token.place, f"{text} is missing", got=got)
    cursor.take()


def _as_expression(node: Node) -> Expression:
    if isinstance(node, Comparison | Logical):
        raise _error(node.place, "a comparison cannot be used as a number")
    return node


def _as_condition(node: Node) -> Condition:
    if isinstance(node, Comparison | Logical):
        return node
    raise _error(node.place, "'and', 'or' and 'not' join comparisons")


def _error(place: Place, message: str, **details: object) -> ConfigError:
    remedy = details.pop("remedy", None)
    return ConfigError(
        message, file=place.file, key=str(place), remedy=None if remedy is None else str(remedy),
        **details,
    )  # fmt: skip
