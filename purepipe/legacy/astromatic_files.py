"""Files that a .sex file names: .param (columns), .conv (filter), .nnw (neural network)."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from purepipe.errors import ConfigError, InputFileError, did_you_mean

log = logging.getLogger(__name__)

# Without a size these hold one element, where a configuration means all that can be had.
_ARRAYS = frozenset(
    {
        "FLUX_APER", "FLUXERR_APER", "MAG_APER", "MAGERR_APER", "FLUX_RADIUS", "FLUX_GROWTH",
        "MAG_GROWTH", "VECTOR_ASSOC", "IMAFLAGS_ISO", "NIMAFLAGS_ISO", "VIGNET", "VIGNET_SHIFT",
    }
)  # fmt: skip
_COLUMN = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:\(([\d,\s]*)\))?")


@dataclass(frozen=True)
class RequestedColumn:
    """One line of a .param file: a column's name and, of an array, its size (x first)."""

    name: str
    size: tuple[int, ...] = ()
    line: int = 0

    @property
    def length(self) -> int:
        """Number of elements; 1 for a plain column."""
        return int(np.prod(self.size)) if self.size else 1

    def __str__(self) -> str:
        """As in the file, but with the size of every array: ``FLUX_APER(3)``."""
        size = self.size or ((1,) if self.name in _ARRAYS else ())
        return f"{self.name}({','.join(map(str, size))})" if size else self.name


def read_columns(
    path: str | os.PathLike[str], *, known: Sequence[str] | None = None, lenient: bool = False
) -> list[RequestedColumn]:
    """The columns that a .param file asks for, in its order.

    One column a line; what follows the first word is a remark. ``#`` starts a comment.

    Parameters
    ----------
    path
        The file.
    known
        Names to accept; any when not given.
    lenient
        Warn of unknown columns and leave them out, as SExtractor does.

    Raises
    ------
    InputFileError
        The file cannot be read, a line is not a column, or no column is asked for.
    ConfigError
        A column that is not known, with its line and nearest match.
    """
    columns = []
    for number, line in content_lines(read_text(path)):
        match = _COLUMN.match(line)
        rest = line[match.end() :] if match else line
        if match is None or (rest and not rest[0].isspace()):
            raise InputFileError(
                f"line {number}: this is not a column", file=path, got=repr(line),
                allowed="NAME, NAME(n) or NAME(w,h)",
            )  # fmt: skip
        name, size = match[1].upper(), match[2]
        if known is not None and name not in known:
            error = ConfigError(
                "unknown column", file=path, key=f"line {number} {name}",
                remedy=did_you_mean(name, known),
            )  # fmt: skip
            if not lenient:
                raise error
            log.warning("%s", error)
            continue
        columns.append(RequestedColumn(name, _size(size, number, path), number))
    if not columns:
        raise InputFileError(
            "the file asks for no column", file=path,
            remedy="Take the # off the columns that are wanted.",
        )  # fmt: skip
    return columns


@dataclass(frozen=True, eq=False)
class Filter:
    """A detection filter: (rows, columns) values, and whether they are to be normalised."""

    values: NDArray[np.float64]
    normalised: bool = True


def read_filter(path: str | os.PathLike[str]) -> Filter:
    """The detection filter of a .conv file.

    Raises
    ------
    InputFileError
        The file cannot be read, does not start with ``CONV``, or is not a rectangle of numbers.
    """
    lines = iter(read_text(path).splitlines())
    head = next(lines, "").split()
    if not head or head[0].upper() != "CONV":
        raise InputFileError(
            "line 1: a filter starts with CONV NORM or CONV NONORM", file=path,
            got=repr(" ".join(head)),
        )  # fmt: skip
    values = _rectangle(content_lines("\n".join(lines), start=2), path, "filter")
    normalised = "NONORM" not in (word.upper() for word in head)
    return Filter(values, normalised)


@dataclass(frozen=True, eq=False)
class NeuralNetwork:
    """A star/galaxy classifier.

    Attributes
    ----------
    input_bias, input_scale
        (inputs,): the first layer sees ``x * input_scale + input_bias``.
    weights
        For each later layer (neurons, neurons of the layer before).
    biases
        For each later layer (neurons,).
    output_bias, output_scale
        (outputs,): the result is ``(out - output_bias) / output_scale``.
    """

    input_bias: NDArray[np.float64]
    input_scale: NDArray[np.float64]
    weights: tuple[NDArray[np.float64], ...]
    biases: tuple[NDArray[np.float64], ...]
    output_bias: NDArray[np.float64]
    output_scale: NDArray[np.float64]


def read_neural_network(path: str | os.PathLike[str]) -> NeuralNetwork:
    """The neural network of a .nnw file.

    Raises
    ------
    InputFileError
        The file cannot be read, does not start with ``NNW``, or holds too few or too many numbers
        for the sizes of its layers.
    """
    text = read_text(path)
    if not text.startswith("NNW"):
        raise InputFileError(
            "line 1: a neural network starts with NNW", file=path, got=repr(text[:20])
        )
    lines = list(content_lines(text.partition("\n")[2], start=2))
    values = [value for number, line in lines for value in _numbers(line, number, path)]
    if not values or len(values) < 1 + int(values[0]) or int(values[0]) < 2:
        raise InputFileError("the sizes of the layers are missing", file=path)
    sizes = [int(value) for value in values[1 : 1 + int(values[0])]]
    neurons = sum(target * (source + 1) for source, target in pairwise(sizes))
    needed = 1 + len(sizes) + 2 * sizes[0] + neurons + 2 * sizes[-1]
    if min(sizes) < 1 or len(values) != needed:
        raise InputFileError(
            f"layers of {', '.join(map(str, sizes))} neurons need another count of numbers",
            file=path, got=len(values), allowed=needed,
            remedy="The file may be cut; copy it again.",
        )  # fmt: skip
    rest = iter(np.array(values[1 + len(sizes) :]))

    def take(*shape: int) -> NDArray[np.float64]:
        return np.array([next(rest) for _ in range(int(np.prod(shape)))]).reshape(shape)

    bias, scale = take(sizes[0]), take(sizes[0])
    layers = [take(n, m + 1) for m, n in pairwise(sizes)]
    weights = tuple(layer[:, :-1] for layer in layers)
    biases = tuple(layer[:, -1] for layer in layers)
    return NeuralNetwork(bias, scale, weights, biases, take(sizes[-1]), take(sizes[-1]))


def read_numbers(path: str | os.PathLike[str]) -> NDArray[np.float64]:
    """The rows of a text file of numbers, as SExtractor's ASSOC_NAME: (rows, columns).

    Raises
    ------
    InputFileError
        The file cannot be read or is empty, a word is no number, or rows differ in length.
    """
    return _rectangle(content_lines(read_text(path)), path, "catalogue")


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a configuration file: UTF-8, or else Latin-1 (comments of old files).

    Raises
    ------
    InputFileError
        The file is missing or not text.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputFileError(
            f"the file cannot be read: {error.strerror or error}", file=path
        ) from error
    if b"\0" in content:
        raise InputFileError("this is not a text file", file=path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def content_lines(text: str, start: int = 1) -> Iterator[tuple[int, str]]:
    """Numbers and contents of the lines that hold more than a comment."""
    for number, line in enumerate(text.splitlines(), start=start):
        content = line.split("#", 1)[0].strip()
        if content.strip("\"',;= "):
            yield number, content


def _size(text: str | None, number: int, path: object) -> tuple[int, ...]:
    if text is None:
        return ()
    sizes = tuple(int(word) for word in text.replace(",", " ").split())
    if not sizes or min(sizes) < 1:
        raise InputFileError(
            f"line {number}: the size of an array is one or more positive numbers", file=path,
            got=repr(f"({text})"),
        )  # fmt: skip
    return sizes


def _rectangle(lines: Iterator[tuple[int, str]], path: object, what: str) -> NDArray[np.float64]:
    """Numbered lines of numbers as rows and columns."""
    rows = [(number, _numbers(line.replace(",", " "), number, path)) for number, line in lines]
    if not rows:
        raise InputFileError(f"the {what} has no rows", file=path)
    for number, row in rows:
        if len(row) != len(rows[0][1]):
            raise InputFileError(
                f"line {number}: all rows of a {what} have the same length", file=path,
                got=len(row), allowed=len(rows[0][1]),
            )  # fmt: skip
    return np.array([row for _, row in rows])


def _numbers(line: str, number: int, path: object) -> list[float]:
    try:
        return [float(word) for word in line.split()]
    except ValueError as error:
        raise InputFileError(
            f"line {number}: only numbers are expected here", file=path, got=repr(line)
        ) from error
