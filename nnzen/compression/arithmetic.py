r"""Arithmetic coding of decisions: a coder that takes :math:`-\log_2 p` bits for what it expects with probability p.

A message is a sequence of decisions, 0 or 1, and becomes one number of an interval. The interval starts as a whole and
is divided at each decision in the ratio of the two probabilities; the part that belongs to the decision is kept. After
the last one any number of what is left tells all of them, and it takes about as many digits as the interval is narrow:
minus the logarithm of the product of all probabilities. A decision that is nearly certain takes a hundredth of a bit,
which no code of whole bits, such as Huffman's, can give.

The probabilities are counted: :math:`P(0) = (n_0 + ½)\,/\,(n_0 + n_1 + 1)` after :math:`n_0` zeros and :math:`n_1` ones
(Krichevsky & Trofimov). Nothing is transmitted for them, because the decoder counts the same. A *context* is a pair of
counts, a list of :math:`2 n_0 + 1` and :math:`2 n_1 + 1`, so ``[1, 1]`` at first; who codes chooses the context of each
decision by what the decoder knows already.

In whole numbers: an interval is its lower end `low` and its `width`, at most 2³². A decision divides it at
`width` · (2n₀ + 1) // (2n₀ + 2n₁ + 2), 0 below. While the width is below 2²⁴, the highest byte of `low` is settled, but
for a carry, and written; then both are multiplied by 256.

References: Rissanen (1976), https://doi.org/10.1147/rd.203.0198; Krichevsky and Trofimov (1981),
https://doi.org/10.1109/TIT.1981.1056331; Witten, Neal and Cleary (1987), https://doi.org/10.1145/214762.214771.
"""

from __future__ import annotations

__all__ = ["Decoder", "Encoder"]

_MOST_COUNTS = 1 << 16  # 2n₀ + 2n₁ + 2: far below the width, so that neither part of an interval is empty
_TOP, _BOTTOM = 1 << 32, 1 << 24


def _count(context: list[int], bit: int) -> None:
    context[bit] += 2
    if context[0] + context[1] > _MOST_COUNTS:  # forget half
        context[0] = context[0] >> 1 | 1
        context[1] = context[1] >> 1 | 1


class Encoder:
    """Writes decisions.

    Examples
    --------
    >>> encoder, context = Encoder(), [1, 1]
    >>> for number in range(1000):
    ...     _ = encoder.bit(context, number % 100 == 0)  # a hundredth are 1: 81 bits by their entropy
    >>> len(encoder.end()), context
    (14, [1981, 21])
    """

    def __init__(self) -> None:
        self._data = bytearray()
        self._low, self._width = 0, _TOP - 1

    def bit(self, context: list[int], bit: int) -> int:
        """Write a decision, count it in its context, and return it."""
        below = self._width * context[0] // (context[0] + context[1])
        if bit:
            self._low += below
            self._width -= below
        else:
            self._width = below
        _count(context, bit)
        while self._width < _BOTTOM:
            self._shift()
            self._width <<= 8
        return bit

    def end(self) -> bytes:
        """Return all that was written: nothing if there was no decision. The encoder is used up."""
        if self._width < _TOP - 1:
            for _ in range(4):
                self._shift()
        return bytes(self._data)

    def _shift(self) -> None:
        if self._low >= _TOP:  # a carry into what is written
            last = len(self._data) - 1
            while self._data[last] == 255:
                self._data[last] = 0
                last -= 1
            self._data[last] += 1
        self._data.append(self._low >> 24 & 255)
        self._low = (self._low & 0xFFFFFF) << 8


class Decoder:
    """Reads decisions that an :class:`Encoder` wrote.

    Parameters
    ----------
    data : bytes
        From byte `at` on it holds what the encoder returned.
    at : int

    Attributes
    ----------
    at : int
        The byte that is read next. After the last decision it is the one behind the last of the encoder's.

    Raises
    ------
    EOFError
        If the data end too early, here or in :meth:`bit`.

    Examples
    --------
    >>> encoder, context = Encoder(), [1, 1]
    >>> message = [encoder.bit(context, bit) for bit in (0, 1, 1, 0, 1)]
    >>> decoder, context = Decoder(encoder.end()), [1, 1]
    >>> [decoder.bit(context) for _ in message] == message
    True
    """

    def __init__(self, data: bytes, at: int = 0) -> None:
        if len(data) - at < 4:
            raise EOFError(f"{len(data) - at} bytes are no coded stream; it has 4 or more")
        self._data, self.at = data, at + 4
        self._value, self._width = int.from_bytes(data[at : at + 4], "big"), _TOP - 1  # value: from `low` on

    def bit(self, context: list[int], _: int = 0) -> int:
        """Read a decision, count it in its context, and return it.

        The second argument is not used: an encoder has it, so that one function can serve both.
        """
        below = self._width * context[0] // (context[0] + context[1])
        if self._value < below:
            self._width = below
            bit = 0
        else:
            self._value -= below
            self._width -= below
            bit = 1
        _count(context, bit)
        while self._width < _BOTTOM:
            if self.at == len(self._data):
                raise EOFError("the coded stream ends before the last decision")
            self._value = self._value << 8 | self._data[self.at]
            self.at += 1
            self._width <<= 8
        return bit
