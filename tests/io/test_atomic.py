"""Files are complete or absent."""

import errno
import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from purepipe.errors import StoreError
from purepipe.io.atomic import atomic_write, write_text


def _write_and_raise(path, error):
    with atomic_write(path) as scratch:
        scratch.write_text("half-written")
        raise error


def test_file_appears_at_the_end_only(tmp_path):
    path = tmp_path / "a.txt"
    with atomic_write(path) as scratch:
        scratch.write_text("half")
        assert not path.exists()
        assert scratch.parent == tmp_path
        assert scratch.suffix == ".part"
    assert path.read_text() == "half"
    assert [item.name for item in tmp_path.iterdir()] == ["a.txt"]


def test_exception_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(ValueError, match="stop"):
        _write_and_raise(path, ValueError("stop"))
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_exception_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        _write_and_raise(tmp_path / "a.txt", KeyboardInterrupt())
    assert not list(tmp_path.iterdir())


def test_permissions_are_those_of_an_ordinary_file(tmp_path):
    (tmp_path / "plain").write_text("x")
    write_text(tmp_path / "atomic", "x")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "atomic")]
    assert modes[0] == modes[1]


def test_missing_folder(tmp_path):
    with (
        pytest.raises(StoreError, match=r"folder of the output does not exist.*Make the folder"),
        atomic_write(tmp_path / "no" / "a.txt"),
    ):
        pass


def test_folder_of_that_name(tmp_path):
    with pytest.raises(StoreError, match="a folder has the name"), atomic_write(tmp_path):
        pass


def test_nothing_written(tmp_path):
    with pytest.raises(StoreError, match="nothing was written"), atomic_write(tmp_path / "a"):
        pass


@pytest.mark.parametrize(
    ("number", "remedy"), [(errno.ENOSPC, "Free space"), (errno.EACCES, "Check the permissions")]
)
def test_full_disk_and_refusal(tmp_path, number, remedy):
    with pytest.raises(StoreError, match=remedy):
        _write_and_raise(tmp_path / "a", OSError(number, "no"))
    assert not list(tmp_path.iterdir())


def test_other_errors_pass_through(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "a"):
        raise FileNotFoundError(errno.ENOENT, "an input", "b")


def test_pipes_and_devices_are_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        received = pool.submit(pipe.read_text)
        write_text(pipe, "all of it")
    assert received.result() == "all of it"
    assert pipe.is_fifo()
    assert [item.name for item in tmp_path.iterdir()] == ["pipe"]


def test_streams_of_this_program_are_not_replaced():
    reader, writer = os.pipe()
    write_text(f"/dev/fd/{writer}", "text")
    os.close(writer)
    with open(reader) as stream:
        assert stream.read() == "text"
