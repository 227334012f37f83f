"""Checked exercises: a reader writes a function, `check` says *solved* or shows the first counterexample.

The checks of chapter 02 live in `nnzen.exercises.ch02` as ``CHECKS = {"02/log-sum-exp": check_function}``.
A check function has the signature ``check_function(candidate, rng, size)``: it draws an input of about
`size` from `rng`, calls `candidate`, compares the answer with an independent oracle, and raises `Wrong`
(`expect_close` and `expect_raises` do it) with a message that a reader can act on. It is called for several
sizes and seeds, small ones first, so that the first counterexample is a small one.

The candidate that a check function receives is guarded: it gets copies of its arguments, and an exception, a
missing return value or a changed argument becomes a `Wrong` with the call that provoked it.

>>> import numpy as np
>>> expect_close(np.array([1.0, 2.0]), np.array([1.0, 2.5]), "f([1, 2])")
Traceback (most recent call last):
    ...
nnzen.exercises.Wrong: f([1, 2]) at position [1]: got 2, expected 2.5
"""

from __future__ import annotations

import functools
import html
import importlib
import pkgutil
import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnzen.evidence import display_line

__all__ = ["Result", "UnknownExercise", "Wrong", "check", "expect_close", "expect_raises", "judge", "known"]

SIZES = (1, 2, 3, 7, 20)
SEEDS = (0, 1, 2)


class Wrong(AssertionError):
    """The candidate's answer is wrong; the message is the counterexample, for the reader."""


class UnknownExercise(LookupError):
    """There is no check of this id; the message names those that exist."""


@dataclass(frozen=True)
class Result:
    """The verdict on one candidate.

    Attributes
    ----------
    id : str
        The exercise, for example ``"02/log-sum-exp"``.
    passed : bool
        True if no counterexample was found.
    message : str
        The first counterexample, or ``""``.
    """

    id: str
    passed: bool
    message: str

    def __str__(self) -> str:
        if self.passed:
            return f"✓ Exercise {self.id}: solved"
        return f"○ Exercise {self.id}: not yet. {self.message}"

    def _repr_html_(self) -> str:
        verdict = "nz-solved" if self.passed else "nz-open"
        return f'<div class="nz-exercise {verdict}">{html.escape(str(self))}</div>'


# ---------------------------------------------------------------------------------------------------------
# What a chapter calls


def check(id: str, candidate: Callable[..., Any]) -> None:
    """Display one line: the exercise is solved, or the first counterexample.

    Parameters
    ----------
    id : str
        The exercise, ``"chapter/slug"``.
    candidate : callable
        The reader's function. A wrong one never raises here, it only gets the line *not yet*.

    Raises
    ------
    UnknownExercise
        If there is no such exercise.
    TypeError
        If `candidate` is not callable: pass the function itself, not its result.
    """
    result = judge(id, candidate)
    display_line(str(result), result._repr_html_(), {})


def judge(
    id: str, candidate: Callable[..., Any], *, seeds: Iterable[int] = SEEDS, sizes: Iterable[int] = SIZES
) -> Result:
    """Try `candidate` on inputs of several `sizes` and `seeds`; stop at the first counterexample.

    Parameters
    ----------
    id : str
        The exercise, ``"chapter/slug"``.
    candidate : callable
        The function to judge.
    seeds, sizes : iterable of int
        Every size is tried with every seed, in the order given.

    Returns
    -------
    Result

    Raises
    ------
    UnknownExercise, TypeError
        As `check` does.
    """
    check_function = _find(id)
    if not callable(candidate):
        raise TypeError(
            f"exercise {id!r} wants the function itself, got {_describe(candidate)} ({type(candidate).__name__}): "
            f"write nz.check({id!r}, my_function), without calling it."
        )
    guarded = _guard(candidate)
    seeds = tuple(seeds)
    for size in sizes:
        for seed in seeds:
            message = _try(check_function, guarded, np.random.default_rng([seed, size]), size)
            if message:
                return Result(id, False, message)
    return Result(id, True, "")


def known(chapter: str | None = None) -> list[str]:
    """Ids of all exercises with a check, of one chapter (``"02"``) or of the book.

    >>> known("no such chapter")
    []
    """
    names = sorted(m.name for m in pkgutil.iter_modules(__path__) if re.fullmatch(r"ch\d\d", m.name))
    wanted = [name for name in names if chapter is None or name == f"ch{chapter}"]
    return [id for name in wanted for id in importlib.import_module(f"{__name__}.{name}").CHECKS]


# ---------------------------------------------------------------------------------------------------------
# What a check function calls


def expect_close(got: Any, expected: Any, what: str, *, rtol: float = 1e-7, atol: float = 1e-9) -> None:
    """Raise `Wrong`, naming the first differing position, unless `got` has `expected`'s shape and values.

    Parameters
    ----------
    got : array_like
        The candidate's answer.
    expected : array_like
        The oracle's answer; NaN and infinities in it are expected literally.
    what : str
        How the message names the answer, for example ``"log_sum_exp([1000, 1000])"``.
    rtol, atol : float
        ``|got - expected| <= atol + rtol * |expected|``; both 0 for an exact comparison.

    Raises
    ------
    Wrong
        If `got` is not numeric, or its shape or a value differs.

    >>> expect_close(3, 3.0, "f(2)")
    >>> expect_close([1, 2], [[1, 2]], "f(2)")
    Traceback (most recent call last):
        ...
    nnzen.exercises.Wrong: f(2) has shape (2,), expected shape (1, 2)
    """
    oracle = np.asarray(expected, dtype=float)
    try:
        answer = np.asarray(got, dtype=float)
    except (TypeError, ValueError):
        raise Wrong(f"{what} is {_describe(got)} ({type(got).__name__}), expected {_describe(oracle)}") from None
    if answer.shape != oracle.shape:
        raise Wrong(f"{what} has {_shape(answer)}, expected {_shape(oracle)}")
    with np.errstate(invalid="ignore"):  # inf - inf
        same = np.abs(answer - oracle) <= atol + rtol * np.abs(oracle)
    same = np.where(np.isfinite(oracle) & np.isfinite(answer), same, answer == oracle)
    same |= np.isnan(answer) & np.isnan(oracle)
    if same.all():
        return
    position = tuple(int(i) for i in np.argwhere(~same)[0])
    where = f" at position {list(position)}" if position else ""
    raise Wrong(f"{what}{where}: {_contrast(float(answer[position]), float(oracle[position]))}")


def expect_raises(error: type[Exception], candidate: Callable[..., Any], *arguments: Any, what: str) -> None:
    """Raise `Wrong` unless ``candidate(*arguments)`` raises `error`.

    Parameters
    ----------
    error : type
        The exception that the exercise asks for.
    candidate : callable
        The candidate as the check function received it.
    *arguments
        What it is called with.
    what : str
        How the message names the call.
    """
    try:
        candidate(*arguments)
    except Exception as problem:
        cause = problem.__cause__ if isinstance(problem, Wrong) and problem.__cause__ else problem
        if isinstance(cause, error):
            return
        raise Wrong(f"{what} should raise {error.__name__}, it raised {type(cause).__name__}: {cause}") from None
    raise Wrong(f"{what} should raise {error.__name__}, it returned a value")


# ---------------------------------------------------------------------------------------------------------
# Inside


def _find(id: str) -> Callable[..., None]:
    """The check function of an exercise."""
    if not isinstance(id, str) or "/" not in id:
        raise UnknownExercise(f"no exercise {id!r}: an id is 'chapter/slug'. Known: {', '.join(known())}.")
    chapter = id.split("/")[0]
    here = known(chapter)
    if id not in here:
        raise UnknownExercise(f"no exercise {id!r}. Known: {', '.join(here or known()) or 'none'}.")
    return importlib.import_module(f"{__name__}.ch{chapter}").CHECKS[id]


def _try(check_function: Callable[..., None], candidate: Callable[..., Any], rng: Any, size: int) -> str:
    """Counterexample of one run of a check function, or "" if there is none."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # a candidate's overflow is judged by its answer, not by a warning
        try:
            check_function(candidate, rng, size)
        except AssertionError as wrong:
            return str(wrong) or "an assertion of the check failed"
        except Exception as problem:
            return f"The answer cannot be compared ({type(problem).__name__}: {problem})."
    return ""


def _guard(candidate: Callable[..., Any]) -> Callable[..., Any]:
    """`candidate` on copies of its arguments, with every way to fail turned into `Wrong`."""

    @functools.wraps(candidate, updated=())
    def guarded(*arguments: Any, **keywords: Any) -> Any:
        call = _call(candidate, arguments, keywords)
        given, given_keywords = _copy(arguments), _copy(keywords)
        try:
            answer = candidate(*given, **given_keywords)
        except Exception as problem:
            raise Wrong(f"{call} raised {type(problem).__name__}: {problem}") from problem
        if not _equal(given, arguments) or not _equal(given_keywords, keywords):
            raise Wrong(f"{call} changed its argument; work on a copy.")
        if answer is None or answer is Ellipsis:
            name = "None" if answer is None else "..."
            raise Wrong(f"{call} returned {name}: the function has no `return` with a value yet.")
        return answer

    return guarded


def _copy(value: Any) -> Any:
    """Copy of arrays and of containers of them; anything else (a generator, a function) as it is."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, (list, tuple)):
        return type(value)(_copy(v) for v in value)
    if isinstance(value, dict):
        return {key: _copy(v) for key, v in value.items()}
    return value


def _equal(left: Any, right: Any) -> bool:
    """Whether two values that `_copy` made of each other still agree."""
    if isinstance(left, np.ndarray):
        return bool(left.shape == right.shape and left.dtype == right.dtype and left.tobytes() == right.tobytes())
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(_equal, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(_equal(left[key], right[key]) for key in left)
    return left is right or bool(left == right)


def _call(candidate: Callable[..., Any], arguments: tuple, keywords: dict[str, Any]) -> str:
    """How a message writes the call, for example ``softmax(array of shape (3, 4))``."""
    shown = [_describe(a) for a in arguments] + [f"{key}={_describe(v)}" for key, v in keywords.items()]
    return f"{getattr(candidate, '__name__', 'the function')}({', '.join(shown)})"


def _describe(value: Any) -> str:
    """A value in at most about 40 characters."""
    if isinstance(value, np.ndarray):
        text = np.array2string(value, precision=4, separator=", ", max_line_width=10_000).replace("\n", "")
        return text if len(text) <= 40 else f"array of {_shape(value)}"
    if isinstance(value, (float, np.floating)):
        return f"{value:.4g}"
    if isinstance(value, np.random.Generator):
        return "rng"
    if callable(value):
        return getattr(value, "__name__", type(value).__name__)
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:36]} ..."


def _shape(array: np.ndarray) -> str:
    return f"shape {array.shape}" if array.ndim else "shape () (a single number)"


def _contrast(got: float, expected: float) -> str:
    """Both numbers with as many digits as it takes to tell them apart."""
    for digits in (4, 7, 10, 17):
        shown = f"got {got:.{digits}g}, expected {expected:.{digits}g}"
        if f"{got:.{digits}g}" != f"{expected:.{digits}g}":
            break
    return shown
