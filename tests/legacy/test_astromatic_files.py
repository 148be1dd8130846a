"""Columns, filters and neural networks."""

import logging

import numpy as np
import pytest

from purepipe.errors import ConfigError, InputFileError
from purepipe.legacy.astromatic_files import (
    read_columns,
    read_filter,
    read_neural_network,
    read_numbers,
)


def write(tmp_path, text):
    path = tmp_path / "file.txt"
    path.write_text(text)
    return path


def test_columns(tmp_path):
    path = write(
        tmp_path,
        "NUMBER   Running object number\n#EXT_NUMBER\n  flux_aper(3)\nVIGNET( 51,51 ) # stamp\n",
    )
    columns = read_columns(path)
    assert [str(column) for column in columns] == ["NUMBER", "FLUX_APER(3)", "VIGNET(51,51)"]
    assert [column.length for column in columns] == [1, 3, 2601]
    assert columns[1].line == 3


def test_column_errors(tmp_path, caplog):
    for text in ("NUMBER\nFLUX_APER(3\n", "NUMBER\nFLUX-APER\n", "NUMBER\n(3)\n"):
        with pytest.raises(InputFileError, match="line 2: this is not a column"):
            read_columns(write(tmp_path, text))
    with pytest.raises(InputFileError, match="line 1: the size of an array"):
        read_columns(write(tmp_path, "VIGNET(51,0)"))
    with pytest.raises(InputFileError, match="asks for no column"):
        read_columns(write(tmp_path, "# NUMBER\n"))
    path = write(tmp_path, "NUMBER\nFLUX_AUT\n")
    known = ["NUMBER", "FLUX_AUTO"]
    with pytest.raises(ConfigError, match=r"line 2 FLUX_AUT: .*Did you mean 'FLUX_AUTO'"):
        read_columns(path, known=known)
    with caplog.at_level(logging.WARNING):
        assert len(read_columns(path, known=known, lenient=True)) == 1
    assert "line 2 FLUX_AUT: unknown column" in caplog.text


def test_filter(tmp_path):
    found = read_filter(write(tmp_path, "CONV NORM\n# comment\n1 2 1\n\n2 4e0 2\n"))
    np.testing.assert_array_equal(found.values, [[1, 2, 1], [2, 4, 2]])
    assert found.normalised
    commas = read_filter(write(tmp_path, "CONV NORM\n1, 2,1\n2,4, 2\n"))
    np.testing.assert_array_equal(commas.values, found.values)
    assert not read_filter(write(tmp_path, "conv nonorm\n1\n")).normalised


def test_filter_errors(tmp_path):
    with pytest.raises(InputFileError, match="line 1: a filter starts with CONV"):
        read_filter(write(tmp_path, "1 2 1\n"))
    with pytest.raises(InputFileError, match=r"line 3: all rows .*got 2; allowed: 3"):
        read_filter(write(tmp_path, "CONV\n1 2 1\n1 2\n"))
    with pytest.raises(InputFileError, match="line 2: only numbers"):
        read_filter(write(tmp_path, "CONV\n1 x 1\n"))
    with pytest.raises(InputFileError, match="no rows"):
        read_filter(write(tmp_path, "CONV\n"))


NETWORK = """NNW
# a comment
 3 2 3  1

 0.1 0.2
 1 2

 1 2 3
 4 5 6
 7 8 9

 1 2 3 4

 0.5
 2.0
"""


def test_neural_network(tmp_path):
    network = read_neural_network(write(tmp_path, NETWORK))
    np.testing.assert_array_equal(network.input_bias, [0.1, 0.2])
    np.testing.assert_array_equal(network.input_scale, [1, 2])
    np.testing.assert_array_equal(network.weights[0], [[1, 2], [4, 5], [7, 8]])
    np.testing.assert_array_equal(network.biases[0], [3, 6, 9])
    np.testing.assert_array_equal(network.weights[1], [[1, 2, 3]])
    np.testing.assert_array_equal(network.biases[1], [4])
    assert (network.output_bias[0], network.output_scale[0]) == (0.5, 2.0)


def test_neural_network_errors(tmp_path):
    with pytest.raises(InputFileError, match="line 1: a neural network starts with NNW"):
        read_neural_network(write(tmp_path, NETWORK[4:]))
    with pytest.raises(InputFileError, match=r"layers of 2, 3, 1 neurons .*got 22; allowed: 23"):
        read_neural_network(write(tmp_path, NETWORK.rpartition("2.0")[0]))
    with pytest.raises(InputFileError, match="sizes of the layers"):
        read_neural_network(write(tmp_path, "NNW\n3 2\n"))


def test_rows_of_numbers(tmp_path):
    path = tmp_path / "sky.list"
    path.write_text("# x y mag\n1 2.5 18\n\n3 4e1 19 # bright\n")
    assert read_numbers(path).tolist() == [[1, 2.5, 18], [3, 40, 19]]
    for text, message in (
        ("", "the catalogue has no rows"),
        ("1 2\n3\n", r"line 2: all rows of a catalogue .*got 1; allowed: 2"),
        ("1 x\n", "line 1: only numbers"),
    ):
        path.write_text(text)
        with pytest.raises(InputFileError, match=message):
            read_numbers(path)
