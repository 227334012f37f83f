"""Arithmetic coding against a coder of unbounded numbers, and its length against the probabilities' closed form."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given

from nnzen.compression.arithmetic import Decoder, Encoder

messages = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1)), min_size=1, max_size=400)


def coded(message):
    encoder, contexts = Encoder(), [[1, 1] for _ in range(3)]
    for context, bit in message:
        assert encoder.bit(contexts[context], bit) == bit
    return encoder.end(), contexts


def decoded(data, message):
    decoder, contexts = Decoder(data), [[1, 1] for _ in range(3)]
    return [decoder.bit(contexts[context]) for context, _ in message], decoder, contexts


def coded_without_carries(message):
    """The lower end of the interval as one number of any length: no byte is written before the end."""
    low, width, shifts = 0, 2**32 - 1, 0
    seen = [[0.5, 0.5] for _ in range(3)]
    for context, bit in message:
        zeros, ones = seen[context]
        below = width * int(2 * zeros) // int(2 * zeros + 2 * ones)
        low, width = (low + below, width - below) if bit else (low, below)
        seen[context][bit] += 1
        while width < 2**24:
            low, width, shifts = low * 256, width * 256, shifts + 1
    return low.to_bytes(4 + shifts, "big")


def ideal_bits(message):
    """Minus the logarithm of all probabilities of Krichevsky and Trofimov, which is a ratio of gamma functions."""
    bits = 0.0
    for context in range(3):
        taken = [bit for c, bit in message if c == context]
        n0, n1 = taken.count(0), taken.count(1)
        bits += math.lgamma(n0 + n1 + 1) - math.lgamma(n0 + 0.5) - math.lgamma(n1 + 0.5) + math.log(math.pi)
    return bits / math.log(2)


@given(messages)
@example([(0, 1)] * 400)
@example([(0, 0)] * 200 + [(0, 1)] * 200)
def test_what_is_coded_is_decoded_with_the_same_counts_and_to_the_last_byte(message):
    data, contexts = coded(message)
    bits, decoder, counted = decoded(data, message)
    assert bits == [bit for _, bit in message]
    assert counted == contexts
    assert decoder.at == len(data)


@given(messages)
def test_bytes_are_those_of_a_coder_of_unbounded_numbers(message):
    assert coded(message)[0] == coded_without_carries(message)


def test_carries_occur_and_are_right():
    class Counting(Encoder):
        carries = 0

        def _shift(self):
            Counting.carries += self._low >= 1 << 32
            super()._shift()

    rng = np.random.default_rng(0)
    for _ in range(200):
        message = [(0, int(bit)) for bit in rng.random(60) < rng.random()]
        encoder, context = Counting(), [1, 1]
        for _, bit in message:
            encoder.bit(context, bit)
        assert encoder.end() == coded_without_carries(message)
    assert Counting.carries > 10


@pytest.mark.parametrize("share", [0.0, 0.001, 0.03, 0.5, 1.0])
def test_the_length_is_that_of_the_probabilities(share):
    rng = np.random.default_rng(1)
    message = [
        (int(c), int(bit)) for c, bit in zip(rng.integers(0, 3, 20_000), rng.random(20_000) < share, strict=True)
    ]
    assert len(coded(message)[0]) == pytest.approx(ideal_bits(message) / 8, abs=5)


def test_counts_are_halved_and_nothing_is_lost():
    rng = np.random.default_rng(2)
    message = [(0, int(bit)) for bit in rng.random(100_000) < 0.01]
    data, contexts = coded(message)
    assert sum(contexts[0]) <= 1 << 16
    assert decoded(data, message)[0] == [bit for _, bit in message]


@given(messages, st.integers(1, 4))
def test_a_stream_that_is_cut_off_ends_in_an_error(message, missing):
    data = coded(message)[0]
    with pytest.raises(EOFError, match="coded stream"):
        decoded(data[:-missing], message)


def test_nothing_takes_no_bytes():
    assert Encoder().end() == b""
    with pytest.raises(EOFError, match="4 or more"):
        Decoder(b"")
