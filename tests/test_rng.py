import numpy as np

from purepipe.rng import generator, object_seeds


def test_a_stream_depends_on_its_name_alone():
    first = generator(7, "noise", "2100001", 3).random(4)
    again = generator(7, "noise", "2100001", 3).random(4)
    np.testing.assert_array_equal(first, again)
    for other in (
        generator(8, "noise", "2100001", 3),
        generator(7, "stars", "2100001", 3),
        generator(7, "noise", "2100001", 4),
        generator(7, "noise", "21000013"),
    ):
        assert not np.array_equal(first, other.random(4))


def test_stream_is_stable_over_versions():
    # A change here changes every published catalogue: it must be on purpose.
    assert generator(1, "purpose", "unit").integers(0, 1000, 4).tolist() == [635, 329, 878, 397]


def test_object_seeds_follow_the_position_not_the_order():
    rng = np.random.default_rng(0)
    ra, dec = rng.uniform(0, 360, 1000), rng.uniform(-90, 90, 1000)
    seeds = object_seeds(3, "metacal", ra, dec)
    assert seeds.dtype == np.uint64
    assert len(np.unique(seeds)) == 1000
    assert np.all(seeds > 0)
    order = rng.permutation(1000)
    np.testing.assert_array_equal(object_seeds(3, "metacal", ra[order], dec[order]), seeds[order])
    np.testing.assert_array_equal(object_seeds(3, "metacal", ra[17], dec[17]), seeds[17:18])


def test_object_seeds_see_every_bit_and_no_sign_of_zero():
    ra = np.array([10.0, np.nextafter(10.0, 11.0)])
    a, b = object_seeds(3, "metacal", ra, np.zeros(2))
    assert a != b
    assert object_seeds(3, "m", 0.0, -0.0) == object_seeds(3, "m", -0.0, 0.0)


def test_object_seeds_look_random():
    seeds = object_seeds(1, "m", np.arange(4096) * 1e-6 + 150, np.full(4096, 32.0))
    bits = np.unpackbits(seeds.view(np.uint8))
    assert abs(bits.mean() - 0.5) < 4 * 0.5 / np.sqrt(bits.size)
