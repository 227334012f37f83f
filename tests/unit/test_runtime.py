"""One seed gives one notebook."""

import random

import numpy as np
import pytest

from nnzen import runtime


def draws():
    rng = runtime.setup(5)
    return rng.random(), np.random.random(), random.random()


def test_the_same_seed_gives_the_same_numbers():
    assert draws() == draws()


def test_another_seed_gives_others():
    assert runtime.setup(5).random() != runtime.setup(6).random()


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "1", None, True])
def test_a_bad_seed_is_named(seed):
    with pytest.raises(ValueError, match="seed is"):
        runtime.setup(seed)


def testquiet_stderr_drops_native_output_and_restores_the_descriptor(capfd):
    import os

    with runtime.quiet_stderr():
        os.write(2, b"noise")
    os.write(2, b"signal")
    assert capfd.readouterr().err == "signal"
