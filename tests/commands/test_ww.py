"""``purepipe ww``: through files, alone and beside the original program."""

import errno
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.votable import parse

from purepipe import __version__
from purepipe.commands import ww_maps
from purepipe.commands.ww import main
from purepipe.errors import InputFileError, StoreError
from purepipe.io.images import read_image
from purepipe.io.regions import read_regions
from purepipe.io.rows import images_by_rows

BINARY = shutil.which("weightwatcher") or shutil.which("ww")
STORED = Path(__file__).parents[1] / "reference" / "commands" / "ww.json"
SHAPE = (60, 70)
POLYGON = "polygon(5,5,20,5,20,20,5,20)\n"


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def make_maps(rng, n_weights=2, n_flags=2, extensions=0):
    """Files w0.fits, w1.fits, f0.fits, ...: primary images, or as many extensions."""
    for number in range(n_weights):
        save(f"w{number}.fits", lambda k: weight_map(rng, k), extensions)
    for number in range(n_flags):
        dtype = (np.uint8, np.int16, np.int32)[int(rng.integers(3))]
        top = {1: 256, 2: 2**15, 4: 2**31}[np.dtype(dtype).itemsize]
        save(f"f{number}.fits", lambda k, t=top, d=dtype: rng.integers(0, t, size(k)).astype(d),
             extensions)  # fmt: skip


def size(number):
    return (SHAPE[0], SHAPE[1] + number)


def weight_map(rng, number):
    weight = rng.uniform(-0.2, 2, size(number)).astype(np.float32)
    weight[0, :5] = [np.nan, np.inf, -np.inf, 0, -1]
    return weight


def save(name, make, extensions):
    header = fits.Header()
    header["OBJECT"], header["FILTER"], header["ORIGIN"] = "M31", name, "CFHT"
    if not extensions:
        fits.writeto(name, make(0), header, overwrite=True)
        return
    hdus = [fits.PrimaryHDU(header=header)]
    hdus += [fits.ImageHDU(make(number), name=f"CCD{number:02d}") for number in range(extensions)]
    fits.HDUList(hdus).writeto(name, overwrite=True)


def random_regions(rng, name, tiles):
    lines = ["# Region file format: DS9", "global color=green", "image"]
    for _ in range(int(rng.integers(1, 5))):
        n = int(rng.integers(3, 12))
        vertices = rng.uniform(-20, 90, 2) + rng.uniform(-25, 25, (n, 2))
        if tiles and rng.random() < 0.4:
            lines.append(f"tile {rng.integers(1, tiles + 1)}")
        text = ",".join(repr(float(v)) for v in np.round(vertices.ravel(), 3))
        lines.append(f"{rng.choice(['', '-', 'image;'])}polygon({text}) # a comment")
    Path(name).write_text("\n".join(lines) + "\n")


def pick(rng, values, count):
    return ",".join(str(rng.choice(values)) for _ in range(count))


def random_options(rng):
    """Input files, and a configuration file with as many values as they need."""
    n_weights, n_flags = ((1, 0), (0, 1), (2, 0), (1, 1), (2, 2), (0, 2))[int(rng.integers(6))]
    n_regions, extensions = int(rng.integers(0, 3)), int(rng.choice([0, 0, 2, 3]))
    make_maps(rng, n_weights, n_flags, extensions)
    for number in range(n_regions):
        random_regions(rng, f"r{number}.reg", extensions)
    masks = [int(rng.integers(1, 2**12)) for _ in range(n_flags)]
    bits = sum(mask.bit_count() for mask in masks)
    values = ([1, 2, 4, 96], [2, 200, 4096], [8, 70000, 0x100])[int(rng.integers(3))]
    keys = {
        "WEIGHT_NAMES": ",".join(f"w{k}.fits" for k in range(n_weights)),
        "WEIGHT_MIN": pick(rng, [-0.1, 0, 0.3], max(n_weights, 1)),
        "WEIGHT_MAX": pick(rng, [1.3, 1.9, 100], max(n_weights, 1)),
        "WEIGHT_OUTFLAGS": pick(rng, values, max(n_weights, 1)),
        "FLAG_NAMES": " ".join(f"f{k}.fits" for k in range(n_flags)),
        "FLAG_WMASKS": pick(rng, ["0xff", "0x0", "0x3", "1024"], max(n_flags, 1)),
        "FLAG_MASKS": ",".join(map(hex, masks)) or "1",
        "FLAG_OUTFLAGS": pick(rng, values, bits) if bits else "2",
        "POLY_NAMES": ",".join(f"r{k}.reg" for k in range(n_regions)),
        "POLY_OUTFLAGS": pick(rng, values, n_regions),
        "POLY_OUTWEIGHTS": pick(rng, [0.0, 0.5, 2.5], max(n_regions, 1)),
        "POLY_INTERSECT": str(rng.choice(["Y", "N"])),
        "GETAREA": str(rng.choice(["Y", "N"])),
        "GETAREA_FLAGS": pick(rng, [1, 2, 4], 2),
        "GETAREA_WEIGHT": pick(rng, [0.0, 0.7], 1),
        "WRITE_XML": "N",
    }
    text = "\n".join(f"{key:20} {value} # {key.lower()}" for key, value in keys.items() if value)
    Path("my.ww").write_text(text + "\n")
    empty = [part for key, value in keys.items() if not value for part in (f"-{key}", "")]
    return ["-c", "my.ww", *empty]


@pytest.mark.binaries
@pytest.mark.skipif(BINARY is None, reason="weightwatcher is not installed")
@pytest.mark.parametrize("seed", range(24))
def test_same_files_as_weightwatcher(seed):
    options = random_options(np.random.default_rng(seed))
    theirs = ["-OUTFLAG_NAME", "theirs.f.fits", "-OUTWEIGHT_NAME", "theirs.w.fits"]
    subprocess.run([BINARY, *options, *theirs], capture_output=True, check=True)
    ours = ["-OUTFLAG_NAME", "ours.f.fits", "-OUTWEIGHT_NAME", "ours.w.fits", "--compat"]
    assert main([*options, *ours]) == 0
    for kind in "fw":
        with fits.open(f"theirs.{kind}.fits") as a, fits.open(f"ours.{kind}.fits") as b:
            assert len(a) == len(b)
            for x, y in zip(a, b, strict=True):
                compare(x, y)


def compare(theirs, ours):
    assert type(theirs) is type(ours)
    ignored = {"SOFTNAME", "SOFTVERS", "SOFTDATE", "SOFTAUTH", "SOFTINST", "EXTEND", "ORIGIN"}
    assert set(theirs.header) - ignored == set(ours.header) - ignored
    for key in set(theirs.header) - ignored:
        if isinstance(theirs.header[key], float):
            assert ours.header[key] == pytest.approx(theirs.header[key], abs=1e-7), key
        else:
            assert ours.header[key] == theirs.header[key], key
    if theirs.data is not None:
        assert ours.data.dtype == theirs.data.dtype
        np.testing.assert_array_equal(ours.data, theirs.data)


def stored_case():
    """Small inputs that need no random numbers; also for the script that stores the outputs."""
    y, x = np.mgrid[:20, :24]
    fits.writeto("w0.fits", ((7 * x + 3 * y) % 20 / 10).astype(np.float32), overwrite=True)
    fits.writeto("f0.fits", ((x * y) % 16).astype(np.int16), overwrite=True)
    Path("r0.reg").write_text("image\npolygon(3.2,2.1,15.7,4,12.1,17.9)\npolygon(10 1 23 1 23 9)\n")
    return [
        "-WEIGHT_NAMES", "w0.fits", "-FLAG_NAMES", "f0.fits", "-FLAG_MASKS", "0x5",
        "-FLAG_OUTFLAGS", "8,16", "-FLAG_WMASKS", "8", "-POLY_NAMES", "r0.reg", "-POLY_OUTFLAGS",
        "4", "-POLY_OUTWEIGHTS", "0.5", "-POLY_INTERSECT", "N", "-GETAREA", "Y", "-OUTFLAG_NAME",
        "f.fits", "-OUTWEIGHT_NAME", "w.fits",
    ]  # fmt: skip


def test_same_maps_as_stored(capsys):
    assert main(stored_case()) == 0
    stored = json.loads(STORED.read_text())
    for kind in "fw":
        data, header = read_image(f"{kind}.fits")
        np.testing.assert_array_equal(data, np.array(stored[kind], data.dtype))
        assert header["EFF_AREA"] == pytest.approx(stored["areas"][kind], abs=1e-7)
        assert header["SOFTVERS"] == __version__
    out = capsys.readouterr().out
    assert f"f.fits[1]: {np.count_nonzero(stored['f'])} of 480 pixels flagged" in out
    table = parse("ww.xml").get_table_by_id("OutFields").to_table()
    assert list(table["Output_Image_Type"]) == ["W", "F"]
    assert table["Effective_Area"][1] == pytest.approx(stored["areas"]["f"], abs=1e-7)


def test_flags_from_256_on_are_kept():
    args = [*stored_case(), "-POLY_OUTFLAGS", "1024"]
    assert main(args) == 0
    flags, _ = read_image("f.fits")
    assert flags.dtype == np.int16
    assert (flags & 1024).any()
    assert main([*args, "--compat"]) == 0
    assert not (read_image("f.fits")[0] & 1024).any()


def test_shapes_of_ds9(caplog):
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"], header["CRPIX1"], header["CRPIX2"] = 10.0, 0.0, 50.0, 50.0
    header["CD1_1"], header["CD2_2"] = -1 / 3600, 1 / 3600
    fits.writeto("w.fits", np.ones((100, 100), np.float32), header)
    args = ["-WEIGHT_NAMES", "w.fits", "-FLAG_NAMES", "", "-POLY_OUTFLAGS", "4", "-WRITE_XML", "N",
            "-POLY_NAMES"]  # fmt: skip
    Path("sky.reg").write_text('fk5\ncircle(10.0,0.0,10.5")\n')
    Path("pixel.reg").write_text("image\ncircle(50,50,10.5)\n-box(50,50,4.4,4.4,0)\n")
    assert main([*args, "sky.reg", "--rule", "centre"]) == 0
    sky, _ = read_image("flag.fits")
    assert np.count_nonzero(sky) == pytest.approx(np.pi * 10.5**2, rel=0.03)
    assert main([*args, "pixel.reg", "--rule", "centre"]) == 0
    pixel, _ = read_image("flag.fits")
    assert np.count_nonzero(pixel) == np.count_nonzero(sky) - 25
    assert "all shapes are drawn" in caplog.text
    assert main([*args, "pixel.reg", "--compat"]) == 0
    assert not read_image("flag.fits")[0].any()


@pytest.mark.parametrize(
    "text",
    [
        "image;polygon(1,1,9,1,9,9);polygon(2,2,4,2,4,4)",
        "polygon(1,1,9,1,9,9);polygon(2,2,4,2,4,4)\r\n",
        "image\npolygon(1,1,9,1,9,9) ||\npolygon(2,2,4,2,4,4)\n",
        "global color=red;image;polygon(1,1,9,1,9,9)\nimage;polygon(2,2,4,2,4,4)\n",
        "physical;polygon(1,1,9,1,9,9)\npolygon(2,2,4,2,4,4)\n",
    ],
)
def test_polygons_that_the_original_loses(text):
    Path("r.reg").write_bytes(text.encode())
    first, second = read_regions("r.reg")
    np.testing.assert_array_equal(first.contours[0], [(0, 0), (8, 0), (8, 8)])
    np.testing.assert_array_equal(second.contours[0], [(1, 1), (3, 1), (3, 3)])


def test_tiles_in_ds9_files():
    Path("r.reg").write_text("image\ntile 2\ncircle(5,5,2)\ntile 1\nbox(5,5,2,2,0)\n")
    assert len(read_regions("r.reg", extension=1)[0].contours[0]) == 4
    assert len(read_regions("r.reg", extension=2)[0].contours[0]) > 10
    assert read_regions("r.reg", extension=3) == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("# panda(5,5,0,90,1,0,4,1)\n", 1),
        ("image\n# panda(5,5,0,90,1,0,4,1)\npolygon(1,1,4,1,4,4)", 2),
        ("image\n# tile 2\n# panda(5,5,0,90,1,0,4,1)\n# tile 1\npolygon(1,1,4,1,4,4)", 1),
        ("image\ncircle(9,9,2)\ntile 2\ncircle 5 5 2\n# epanda(5,5,0,90,1,1,1,4,2,1)", 1),
    ],
)
def test_no_shape_is_lost_behind_the_sign_of_a_comment(text, count, caplog):
    Path("r.reg").write_text(text)
    found = read_regions("r.reg")
    assert [type(item).__name__ for item in found] == ["Region"] * count
    assert "r.reg holds more than polygons in pixels" in caplog.text
    # WeightWatcher itself knows of no sector.
    assert len(read_regions("r.reg", polygons_only=True)) == text.count("polygon")


@pytest.mark.parametrize(
    "text", ["polygon(1,1,4,1,4,4) # include=0", "global include=0\nimage;polygon(1,1,4,1,4,4)"]
)
def test_polygons_excluded_by_a_property(text):
    Path("r.reg").write_text(text)
    assert [item.include for item in read_regions("r.reg")] == [False]
    assert len(read_regions("r.reg", polygons_only=True)) == 1


def test_a_polygon_that_was_cut_off():
    Path("r.reg").write_text("image\npolygon(1,1,4,1,4,4)\npolygon(1,1,9,1,9,9,1,")
    with pytest.raises(InputFileError, match=r"r\.reg: line 3: polygon: the closing bracket is m"):
        read_regions("r.reg")


def test_words_of_the_original(capsys):
    assert main(["-d"]) == 0
    Path("default.ww").write_text(capsys.readouterr().out)
    assert main(["-v"]) == 0
    assert main([]) == 0
    assert "Exit status" in capsys.readouterr().out
    make_maps(np.random.default_rng(0), 1, 0)
    names = ["-WEIGHT_NAMES", "w0.fits", "-FLAG_NAMES", ""]
    assert main([*names, "-VERBOSE_TYPE", "QUIET", "-OUTWEIGHT_NAME", ""]) == 0
    assert capsys.readouterr().out == ""
    assert Path("flag.fits").exists()
    assert not Path("weight.fits").exists()
    # The file of the current folder counts.
    Path("default.ww").write_text("WEIGHT_NIN 3\n")
    assert main(names) == 2
    assert "default.ww line 1 WEIGHT_NIN: unknown keyword. Did you mean" in capsys.readouterr().err


def test_no_area_by_weight_without_a_combined_weight(monkeypatch):
    make_maps(np.random.default_rng(0), 1, 1)
    found = []
    monkeypatch.setattr(ww_maps, "_rows", lambda counts, *_: found.append(counts.areas) or [])
    args = ["-WEIGHT_NAMES", "w0.fits", "-FLAG_NAMES", "f0.fits", "-GETAREA", "Y"]
    assert main([*args, "-OUTWEIGHT_NAME", ""]) == 0
    assert main(args) == 0
    assert np.isnan(found[0].weight)
    assert found[1].weight > 0
    assert found[0].flags == found[1].flags == fits.getheader("flag.fits")["EFF_AREA"]


BAD = {
    "unknown keyword": (["-WEIGHT_MINN", "1"], 2, "WEIGHT_MINN.*Did you mean 'WEIGHT_MIN'"),
    "unknown option": (["--lenientt"], 2, "--lenientt: unknown option"),
    "unknown rule": (["--rule", "nearest"], 2, "weightwatcher, centre"),
    "no value": (["-WEIGHT_MIN"], 2, "a value must follow"),
    "stray file": (["w0.fits"], 2, "takes no files without a keyword"),
    "not a number": (["-WEIGHT_MIN", "low"], 2, "WEIGHT_MIN"),
    "no maps": (["-WEIGHT_NAMES", "", "-FLAG_NAMES", ""], 2, "no input map"),
    "too few values": (["-WEIGHT_NAMES", "w0.fits,w1.fits"], 2, "WEIGHT_MIN.*too few values"),
    "no flag of regions": (["-POLY_NAMES", "ok.reg"], 2, "POLY_OUTFLAGS.*too few values"),
    "one output": (["-OUTFLAG_NAME", "a", "-OUTWEIGHT_NAME", "a"], 2, "two outputs have one name"),
    "missing file": (["-WEIGHT_NAMES", "no.fits"], 1, r"no\.fits"),
    "missing configuration": (["-c", "no.ww"], 2, r"no\.ww"),
    "wrong size": (["-FLAG_NAMES", "small.fits"], 1, r"small\.fits.*got 5 x 4"),
    "float flags": (["-FLAG_NAMES", "w1.fits"], 1, "a flag map must hold integers"),
    "too few images": (["-WEIGHT_NAMES", "mef.fits", "-FLAG_NAMES", "f0.fits"], 1, "too few imag"),
    "no image": (["-WEIGHT_NAMES", "empty.fits"], 1, r"empty\.fits: too few images"),
    "odd coordinates": (["-POLY_NAMES", "odd.reg", "-POLY_OUTFLAGS", "2"], 1, "odd.reg: line 2"),
    "nonsense": (["-POLY_NAMES", "bad.reg", "-POLY_OUTFLAGS", "2"], 1, "line 2: this is no shape"),
    "no coordinates": (["-POLY_NAMES", "sky.reg", "-POLY_OUTFLAGS", "2"], 1, "world coordinates"),
    "no regions": (["-POLY_NAMES", "no.reg", "-POLY_OUTFLAGS", "2"], 1, r"no\.reg"),
    "output is input": (["-OUTWEIGHT_NAME", "./w0.fits"], 2,
                        r"OUTWEIGHT_NAME .*an output would replace an input .got w0\.fits"),
    "output is regions": (["-POLY_NAMES", "ok.reg", "-POLY_OUTFLAGS", "2", "-OUTFLAG_NAME",
                           "ok.reg"], 2, "OUTFLAG_NAME .*an output would replace an input"),
    "no folder": (["-OUTFLAG_NAME", "no/f.fits"], 1, "no/f.fits: the folder"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name, capsys):
    make_maps(np.random.default_rng(0), 2, 1)
    save("mef.fits", lambda k: np.ones(size(k), np.float32), 2)
    fits.writeto("small.fits", np.zeros((4, 5), np.int16))
    fits.PrimaryHDU().writeto("empty.fits")
    Path("ok.reg").write_text(POLYGON)
    Path("odd.reg").write_text("image\npolygon(1,2,3,4,5)\n")
    Path("bad.reg").write_text("image\nhexagon(1,2,3)\n")
    Path("sky.reg").write_text("fk5\npolygon(1,2,3,4,5,6)\n")
    words, status, message = BAD[name]
    start = [] if "-WEIGHT_NAMES" in words else ["-WEIGHT_NAMES", "w0.fits"]
    start += [] if "-FLAG_NAMES" in words else ["-FLAG_NAMES", ""]
    assert main([*start, "-VERBOSE_TYPE", "QUIET", "-WRITE_XML", "N", *words]) == status
    error = capsys.readouterr().err
    assert error.startswith("purepipe ww: ")
    assert re.search(message, error), error
    assert not Path("flag.fits").exists()
    assert not Path("weight.fits").exists()


def test_a_missing_map_that_nobody_named(capsys):
    make_maps(np.random.default_rng(0), 1, 1)
    assert main(["-WEIGHT_NAMES", "w0.fits"]) == 1
    text = capsys.readouterr().err
    assert "flagin.fits: the file does not exist, and is the built-in value of FLAG_NAMES" in text
    assert 'give -FLAG_NAMES "" for none' in text
    assert main(["-FLAG_NAMES", "f0.fits"]) == 1
    assert "weightin.fits: the file does not exist, and is the built" in capsys.readouterr().err


def read_only(*args, **keys):
    raise OSError(errno.EROFS, "Read-only file system")


def test_read_only_folder(monkeypatch, capsys):
    make_maps(np.random.default_rng(0), 1, 0)
    monkeypatch.setattr("purepipe.io.rows._write_all", read_only)
    assert main(["-WEIGHT_NAMES", "w0.fits", "-FLAG_NAMES", "", "-WRITE_XML", "N"]) == 1
    assert "flag.fits: cannot be written: Read-only" in capsys.readouterr().err
    assert not list(Path().glob("*.part"))


def test_configuration_file_that_is_not_there(capsys):
    assert main(["-c", "none.ww", "-WEIGHT_NAMES", "w.fits"]) == 2
    assert "none.ww -c: the configuration file does not exist" in capsys.readouterr().err


def test_complaints_come_before_the_heavy_packages():
    code = (
        "import sys; from purepipe.commands.ww import main; main(['-c', 'none.ww']); "
        "print(*{'numba', 'scipy', 'astropy.table', 'astropy.io.fits'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""


def test_coordinates_far_away_or_not_finite():
    make_maps(np.random.default_rng(0), 1, 0)
    args = ["-WEIGHT_NAMES", "w0.fits", "-FLAG_NAMES", "", "-WRITE_XML", "N", "-POLY_OUTFLAGS", "4"]
    Path("far.reg").write_text("polygon(-1e30,-1e30,1e30,-1e30,1e30,1e30,-1e30,1e30)\n")
    assert main([*args, "-POLY_NAMES", "far.reg"]) == 0
    assert (read_image("flag.fits")[0] & 4).all()


def test_unknown_keywords_may_pass(caplog):
    make_maps(np.random.default_rng(0), 1, 0)
    args = ["-WEIGHT_NAMES", "w0.fits", "-FLAG_NAMES", "", "-NEWKEY", "1", "--lenient"]
    assert main(args) == 0
    assert "NEWKEY" in caplog.text


def test_compressed_maps_are_read():
    image = np.ones((30, 40), np.float32)
    hdu = fits.CompImageHDU(image, compression_type="GZIP_2", quantize_level=0)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto("w.fits.fz")
    assert main(["-WEIGHT_NAMES", "w.fits.fz", "-FLAG_NAMES", "", "-WRITE_XML", "N"]) == 0
    with fits.open("weight.fits") as hdus:
        assert len(hdus) == 1
        np.testing.assert_array_equal(hdus[0].data, image)


def test_files_are_complete_or_absent(tmp_path):
    def interrupted():
        with (
            images_by_rows(tmp_path / "a.fits", extensions=2) as add,
            add((3, 4), np.float32, fits.Header()) as write,
        ):
            write(np.ones((3, 4)))
            raise InputFileError("the next one is damaged")

    with pytest.raises(InputFileError, match="damaged"):
        interrupted()
    with (
        pytest.raises(StoreError, match="nothing was written"),
        images_by_rows(tmp_path / "a.fits"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []
