"""Which files are found: folders, patterns, numbers, and the runs that last: and all: name."""

import pytest

from purepipe.errors import ConfigError, InputFileError
from purepipe.shapepipe.files import (
    find_numbered,
    list_files,
    make_units,
    pair_extensions,
    read_numbers,
)
from purepipe.shapepipe.history import (
    Run,
    SearchFolder,
    module_folder,
    read_history,
    record_run,
    search_folders,
)


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return list_files([SearchFolder(folder, str(folder))])


def found(files, pattern, extension=".fits", scheme="-0000000-0"):
    return {
        number: path.name
        for number, path in find_numbered(files, pattern, extension, scheme).files.items()
    }


def test_names_are_compared_as_a_whole(tmp_path):
    files = make(
        tmp_path, "image-2079614-9.fits", "image-2079614-10.fits", "old_image-2079614-9.fits",
        "image-2079614-9.fits.part", "image-20796145-9.fits", ".image-2079614-8.fits",
    )  # fmt: skip
    assert found(files, "image") == {
        "-2079614-9": "image-2079614-9.fits", "-2079614-10": "image-2079614-10.fits",
    }  # fmt: skip


def test_a_part_of_a_name_counts_where_nothing_else_fits_and_is_told(tmp_path):
    files = make(tmp_path, "tile_sexcat-000-001.fits", "sexcat_sm-000-001.fits")
    item = find_numbered(files, "sexcat", "fits", "-000-000")
    assert {path.name for path in item.files.values()} == {"tile_sexcat-000-001.fits"}
    assert "no file is named sexcat<number>.fits" in item.notes[0]
    files = make(tmp_path / "b", "image_vignet-000-001.sqlite")
    assert found(files, "image", ".sqlite", "-000-000") == {
        "-000-001": "image_vignet-000-001.sqlite"
    }


def test_groups_of_digits_are_not_found_in_longer_ones(tmp_path):
    files = make(tmp_path, "image-231-2345.fits", "image-231-285.fits")
    assert found(files, "image", scheme="-000-000") == {"-231-285": "image-231-285.fits"}


@pytest.mark.parametrize(
    ("scheme", "names", "numbers"),
    [
        (r"RE:\_\d+", ["galaxy_12.txt", "galaxy_3.txt"], ["_12", "_3"]),
        ("_0", ["galaxy_12.txt"], ["_12"]),
        ("", ["galaxy.txt"], [""]),
        ("000-000", ["galaxy231-285.txt"], ["231-285"]),
    ],
)
def test_numbering_schemes(tmp_path, scheme, names, numbers):
    files = make(tmp_path, *names)
    assert sorted(found(files, "galaxy", ".txt", scheme)) == sorted(numbers)


def test_folders_are_searched_below_and_all_of_them_count(tmp_path):
    make(tmp_path / "a", "mask/star-2079614-9.fits")
    make(tmp_path / "b", "star-2079614-8.fits")
    folders = [SearchFolder(tmp_path / name, name) for name in "ab"]
    item = find_numbered(list_files(folders), "star", ".fits", "-0000000-0")
    assert set(item.files) == {"-2079614-9", "-2079614-8"}


def test_links_to_folders_are_followed_and_a_folder_counts_once(tmp_path):
    make(tmp_path / "data", "star-2079614-9.fits")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "back").symlink_to(tmp_path / "in")  # a circle
    again = tmp_path / "again"
    again.mkdir()
    (again / "star-2079614-9.fits").symlink_to(tmp_path / "data/star-2079614-9.fits")
    folders = [SearchFolder(tmp_path / name, name) for name in ("in", "data", "again")]
    item = find_numbered(list_files(folders), "star", ".fits", "-0000000-0")
    assert item.files == {"-2079614-9": tmp_path / "in/link/star-2079614-9.fits"}


def test_the_same_number_twice_is_an_error_but_not_in_later_runs(tmp_path):
    for name in "ab":
        make(tmp_path / name, "star-2079614-9.fits")
    folders = [SearchFolder(tmp_path / name, name) for name in "ab"]
    with pytest.raises(InputFileError, match="two files have the number '-2079614-9'"):
        find_numbered(list_files(folders), "star", ".fits", "-0000000-0")
    folders = [SearchFolder(tmp_path / name, "all:x") for name in "ab"]
    item = find_numbered(list_files(folders), "star", ".fits", "-0000000-0")
    assert item.files["-2079614-9"].parent.name == "a"
    assert "1 files of earlier runs" in item.notes[0]


def test_no_number_vanishes(tmp_path):
    files = make(tmp_path, "image-000-001.fits", "image-000-002.fits", "flag-000-001.fits")
    items = [find_numbered(files, name, ".fits", "-000-000") for name in ("image", "flag")]
    units = make_units(items)
    assert [unit.number for unit in units] == ["-000-001", "-000-002"]
    assert units[1].missing == ("flag-000-002.fits",)
    assert [unit.missing for unit in make_units(items, ["-000-003"])] == [
        ("image-000-003.fits", "flag-000-003.fits")
    ]


def test_lists_of_numbers(tmp_path):
    (tmp_path / "list.txt").write_text("-000-001\n\n-000-002\n")
    assert read_numbers([str(tmp_path / "list.txt")], "-000-000") == ["-000-001", "-000-002"]
    with pytest.raises(ConfigError, match=r"does not fit the numbering scheme.*leading dash"):
        read_numbers(["000-001"], "-000-000")
    with pytest.raises(ConfigError, match="a number comes twice"):
        read_numbers(["-000-001", "-000-001"], "-000-000")


def test_extensions():
    assert pair_extensions(["a", "b"], [".fits"]) == [".fits", ".fits"]
    with pytest.raises(ConfigError, match="one extension, or one for each"):
        pair_extensions(["a", "b"], [".a", ".b", ".c"])
    with pytest.raises(ConfigError, match=r"an extension has one dot.*fitsfz"):
        pair_extensions(["a"], [".fits.fz"])


@pytest.fixture
def runs(tmp_path):
    """Three runs: the second one of mask, sextractor twice, and an empty mask."""
    make(tmp_path / "r1", "mask_runner/output/a.fits")
    make(tmp_path / "r2", "mask_runner/output/a.fits")
    make(tmp_path / "r2", "sextractor_runner_run_1/output/a", "sextractor_runner_run_2/output/a")
    (tmp_path / "r3" / "mask_runner" / "output").mkdir(parents=True)
    path = tmp_path / "runs.txt"
    for name, modules in (
        ("r1", ("mask_runner",)),
        ("r2", ("mask_runner", "sextractor_runner", "sextractor_runner")),
        ("r3", ("mask_runner",)),
    ):
        record_run(path, Run(tmp_path / name, modules))
    return read_history(path)


def folders(items, runs):
    return [
        str(item.path.relative_to(item.path.parents[2])) for item in search_folders(items, runs)
    ]


def test_last_is_the_latest_run_with_products(runs):
    assert folders(["last:mask_runner"], runs) == ["r2/mask_runner/output"]
    assert folders(["last:mask"], runs) == ["r2/mask_runner/output"]
    assert folders(["last:sextractor_runner"], runs) == ["r2/sextractor_runner_run_2/output"]
    assert folders(["LAST:sextractor_runner_run_1"], runs) == ["r2/sextractor_runner_run_1/output"]


def test_all_and_text(runs):
    assert folders(["all:mask_runner"], runs) == ["r2/mask_runner/output", "r1/mask_runner/output"]
    assert folders(["r1:mask_runner"], runs) == ["r1/mask_runner/output"]
    with pytest.raises(ConfigError, match="more than one run has the text"):
        folders(["r:mask_runner"], runs)


def test_a_folder_whose_name_contains_all_is_a_folder(tmp_path, runs):
    (tmp_path / "small").mkdir()
    assert search_folders([str(tmp_path / "small")], runs)[0].path == tmp_path / "small"
    with pytest.raises(ConfigError, match=r"the folder does not exist.*last:MODULE"):
        search_folders([str(tmp_path / "smaller")], runs)


def test_modules_that_were_never_run(runs):
    with pytest.raises(ConfigError, match=r"no run has products of this module.*mask_runner"):
        search_folders(["last:psfex_runner"], runs)
    with pytest.raises(ConfigError, match="unknown module"):
        search_folders(["last:nonsense"], runs)


def test_folders_named_by_module(tmp_path, runs):
    assert module_folder("mask_runner", runs).parent.parent.name == "r2"
    assert module_folder(str(tmp_path), runs) == tmp_path
    with pytest.raises(ConfigError, match="the folder does not exist"):
        module_folder("nonsense", runs)


def test_runs_without_products_are_not_listed(tmp_path):
    record_run(tmp_path / "runs.txt", Run(tmp_path / "r", ()))
    assert read_history(tmp_path / "runs.txt") == []


def test_a_run_keeps_what_others_of_its_name_left(tmp_path):
    path, folder = tmp_path / "runs.txt", tmp_path / "r1"
    make(folder, "mask_runner/output/a", "psfex_runner_run_2/output/a", "old_runner/output/a")
    modules = ("mask_runner", "psfex_runner", "gone_runner", "old_runner")
    record_run(path, Run(folder, modules))
    record_run(path, Run(tmp_path / "r2", ("mask_runner",)))
    # The resumed run has done one module, one has failed, and it has not come to the others.
    record_run(path, Run(folder, ("mask_runner",)), {"mask_runner", "old_runner"})
    assert path.read_text().splitlines() == [
        f"{folder} psfex_runner", f"{tmp_path / 'r2'} mask_runner", f"{folder} mask_runner",
    ]  # fmt: skip
    make(tmp_path / "r2", "mask_runner/output/a")
    found = read_history(path)
    assert folders(["last:psfex_runner"], found) == ["r1/psfex_runner_run_2/output"]
    assert folders(["all:mask_runner"], [*found, *found]) == [
        "r1/mask_runner/output", "r2/mask_runner/output",
    ]  # fmt: skip


def test_a_run_has_one_line_and_a_moved_tree_is_found(tmp_path):
    path = tmp_path / "a" / "runs.txt"
    make(tmp_path / "a" / "r1", "mask_runner/output/a")
    record_run(path, Run(tmp_path / "a" / "r1", ("mask_runner",)))
    record_run(path, Run(tmp_path / "a" / "r1", ("mask_runner", "psfex_runner")))
    assert path.read_text() == f"{tmp_path}/a/r1 mask_runner,psfex_runner\n"
    (tmp_path / "a").rename(tmp_path / "b")
    assert read_history(tmp_path / "b" / "runs.txt")[0].folder == tmp_path / "b" / "r1"
