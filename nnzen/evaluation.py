"""Intervals, paired comparison, power and equivalence: what it takes to compare two runs, or to believe a report.

A proportion k/n of independent trials gets Wilson's interval, all p with (k/n − p)² ≤ z² p(1 − p)/n. A mean of R
runs gets Student's, x̄ ± t s/√R, where s has R − 1 in its denominator and t is a quantile of the t distribution
with R − 1 degrees of freedom. Everything else is the second one, applied to the differences of paired runs.
Chapter 00 derives the formulas and checks them by simulation; SciPy computes the distributions.

Values are numbers on any scale, one per run; what comes back has the same unit.

:func:`report` and :func:`compare`, from :mod:`nnzen.classification`, measure classifiers and compare two of them.
:func:`audit`, from :mod:`nnzen.audit`, proves which rows of a published report are impossible.

References
----------
Wilson (1927), https://doi.org/10.1080/01621459.1927.10502953
Student (1908), https://doi.org/10.1093/biomet/6.1.1
Schuirmann (1987), https://doi.org/10.1007/BF01068419
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nnzen.audit import audit
from nnzen.classification import compare, report

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Equivalence",
    "MeanInterval",
    "PairedDifference",
    "ProportionInterval",
    "SeedsNeeded",
    "audit",
    "compare",
    "equivalent",
    "mean_interval",
    "paired_difference",
    "power",
    "proportion_interval",
    "report",
    "seeds_needed",
]

MAX_SEEDS = 1_000_000


class _Sentence:
    """A result that prints, and displays as HTML, as one sentence."""

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return f'<p class="nz-result">{html.escape(str(self))}</p>'


@dataclass(frozen=True, repr=False)
class ProportionInterval(_Sentence):
    """Wilson's interval of a proportion.

    Attributes
    ----------
    proportion : float
        successes / trials, between 0 and 1.
    low, high : float
        The interval, between 0 and 1.
    successes, trials : int
        What was counted.
    confidence : float
        Share of such intervals that contain the true proportion, about.
    """

    proportion: float
    low: float
    high: float
    successes: int
    trials: int
    confidence: float

    def __str__(self) -> str:
        return (
            f"{self.proportion:.4g}, {_percent(self.confidence)} interval {self.low:.4g} to {self.high:.4g} "
            f"({self.successes} of {self.trials}, Wilson)"
        )


@dataclass(frozen=True, repr=False)
class MeanInterval(_Sentence):
    """Student's interval of a mean of runs.

    Attributes
    ----------
    mean, low, high : float
        The mean and the ends of its interval, in the unit of the values.
    sd : float
        Standard deviation of one run (n − 1 in the denominator).
    n : int
        Number of runs.
    confidence : float
        Share of such intervals that contain the true mean, if runs are independent and about normal.
    """

    mean: float
    low: float
    high: float
    sd: float
    n: int
    confidence: float

    @property
    def standard_error(self) -> float:
        """Standard deviation of the mean, sd / √n."""
        return self.sd / math.sqrt(self.n)

    def __str__(self) -> str:
        return (
            f"{self.mean:.4g}, {_percent(self.confidence)} interval {self.low:.4g} to {self.high:.4g} "
            f"({self.n} runs, SD {self.sd:.3g})"
        )


@dataclass(frozen=True, repr=False)
class PairedDifference(_Sentence):
    """Mean difference of paired runs, first − second.

    Attributes
    ----------
    mean, low, high : float
        Mean difference and the ends of its interval, in the unit of the values.
    sd : float
        Standard deviation of one difference.
    n : int
        Number of pairs.
    p_value : float
        Two-sided p of the paired t test against no difference.
    correlation : float
        Between the two members of a pair; NaN where one of them never varies.
    variance_ratio : float
        Variance of a difference between unpaired runs over that of a paired one: how many times as many runs an
        unpaired comparison of the same precision takes. Infinite where all differences are equal.
    confidence : float
        Of the interval.
    """

    mean: float
    low: float
    high: float
    sd: float
    n: int
    p_value: float
    correlation: float
    variance_ratio: float
    confidence: float

    def __str__(self) -> str:
        return (
            f"difference {self.mean:.4g}, {_percent(self.confidence)} interval {self.low:.4g} to {self.high:.4g} "
            f"({self.n} pairs, p = {self.p_value:.2g}; pairing divides the variance by {self.variance_ratio:.3g})"
        )


@dataclass(frozen=True, repr=False)
class SeedsNeeded(_Sentence):
    """How many seeds a comparison needs.

    Attributes
    ----------
    n : int
        Runs of each of the two methods.
    power : float
        Probability, at this n, that a t test finds the difference.
    difference, sd : float
        The true difference to be found, and the standard deviation: of one paired difference, or of one run.
    alpha : float
        Level of the two-sided test.
    paired : bool
        Whether runs are compared pair by pair.
    """

    n: int
    power: float
    difference: float
    sd: float
    alpha: float
    paired: bool

    def __str__(self) -> str:
        runs, what = (f"{self.n} pairs", "differences") if self.paired else (f"2 × {self.n} runs", "runs")
        return (
            f"{runs} find a difference of {self.difference:.4g} with probability {self.power:.3g} "
            f"(SD of {what} {self.sd:.3g}, two-sided t test at {self.alpha:g})"
        )


@dataclass(frozen=True, repr=False)
class Equivalence(_Sentence):
    """Two one-sided tests of paired runs: is the mean difference, first − second, within ±margin?

    Attributes
    ----------
    equivalent : bool
        True if the interval lies inside (−margin, margin). False means *not shown*, never *different*.
    mean, low, high : float
        Mean difference and its interval of confidence 1 − 2 alpha.
    margin : float
        The largest difference that does not matter, fixed before looking.
    p_value : float
        The larger p of the two one-sided tests; below alpha exactly if `equivalent`.
    n : int
        Number of pairs.
    alpha : float
        Probability, at most, of calling runs equivalent whose true difference is the margin or more.
    """

    equivalent: bool
    mean: float
    low: float
    high: float
    margin: float
    p_value: float
    n: int
    alpha: float

    def __str__(self) -> str:
        verdict = "equivalent" if self.equivalent else "not shown to be equivalent"
        return (
            f"{verdict} within ±{self.margin:.4g}: difference {self.mean:.4g}, "
            f"{_percent(1 - 2 * self.alpha)} interval {self.low:.4g} to {self.high:.4g} "
            f"({self.n} pairs, p = {self.p_value:.2g})"
        )


def proportion_interval(successes: int, trials: int, *, confidence: float = 0.95) -> ProportionInterval:
    """Wilson's interval of a proportion, such as an accuracy on a test set.

    Parameters
    ----------
    successes : int
        Number of trials that succeeded, 0 to `trials`.
    trials : int
        Number of independent trials, at least 1.
    confidence : float
        Between 0 and 1.

    Raises
    ------
    ValueError
        If a count is not a whole number or out of range, or `confidence` is not between 0 and 1.

    Examples
    --------
    >>> print(proportion_interval(98, 100))
    0.98, 95 % interval 0.93 to 0.9945 (98 of 100, Wilson)
    """
    from scipy.special import ndtri

    k, n = _count("successes", successes, 0), _count("trials", trials, 1)
    if k > n:
        raise ValueError(f"successes is {k}, more than trials, which is {n}")
    z = ndtri(0.5 + _fraction("confidence", confidence) / 2)
    p = k / n
    center = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    # At k = 0 and k = n one end is exact, and rounding must not push it past the proportion.
    low = 0.0 if k == 0 else float(center - half)
    high = 1.0 if k == n else float(center + half)
    return ProportionInterval(p, low, high, k, n, float(confidence))


def mean_interval(values: ArrayLike, *, confidence: float = 0.95) -> MeanInterval:
    """Student's interval of the mean of independent runs.

    Parameters
    ----------
    values : array_like, shape (R,)
        One finite number per run, at least two.
    confidence : float
        Between 0 and 1.

    Raises
    ------
    ValueError
        If there are fewer than two values, one is not finite, or `confidence` is not between 0 and 1.

    Examples
    --------
    >>> print(mean_interval([79.1, 80.3, 80.0]))
    79.8, 95 % interval 78.25 to 81.35 (3 runs, SD 0.624)
    """
    x = _runs("values", values)
    mean, sd = _mean_sd(x)
    half = _t(len(x) - 1, 0.5 + _fraction("confidence", confidence) / 2) * sd / math.sqrt(len(x))
    return MeanInterval(mean, mean - half, mean + half, sd, len(x), float(confidence))


def paired_difference(first: ArrayLike, second: ArrayLike, *, confidence: float = 0.95) -> PairedDifference:
    """Compare two methods by the differences, first − second, of runs that share a seed.

    Parameters
    ----------
    first, second : array_like, shape (R,)
        One finite number per run; run i of both shares its seed, data and order of batches. At least two.
    confidence : float
        Between 0 and 1.

    Raises
    ------
    ValueError
        If the two have different lengths, fewer than two values or one that is not finite.

    Examples
    --------
    >>> print(paired_difference([80.1, 79.2, 80.9], [79.0, 78.3, 79.9]))
    difference 1, 95 % interval 0.7516 to 1.248 (3 pairs, p = 0.0033; pairing divides the variance by 137)
    """
    a, b = _pairs(first, second)
    interval = mean_interval(a - b, confidence=confidence)
    (_, sd_a), (_, sd_b) = _mean_sd(a), _mean_sd(b)
    unpaired = sd_a**2 + sd_b**2
    covariance = (unpaired - interval.sd**2) / 2  # Var(a − b) = Var a + Var b − 2 Cov(a, b)
    return PairedDifference(
        mean=interval.mean,
        low=interval.low,
        high=interval.high,
        sd=interval.sd,
        n=interval.n,
        p_value=min(1.0, 2 * _t_above(abs(interval.mean), interval)),
        correlation=max(-1.0, min(1.0, covariance / (sd_a * sd_b))) if sd_a * sd_b > 0 else math.nan,
        variance_ratio=unpaired / interval.sd**2 if interval.sd > 0 else math.inf,
        confidence=interval.confidence,
    )


def power(n: int, difference: float, sd: float, *, alpha: float = 0.05, paired: bool = True) -> float:
    """Probability that a two-sided t test on n seeds finds a true difference.

    Parameters
    ----------
    n : int
        Runs of each method, at least 2.
    difference : float
        The true difference of the means, not zero; its sign does not matter.
    sd : float
        Standard deviation of one paired difference (``paired=True``) or of one run (``paired=False``), above 0.
    alpha : float
        Level of the test, between 0 and 1.
    paired : bool
        Whether run i of both methods shares its seed.

    Returns
    -------
    float
        Between alpha and 1, from the noncentral t distribution; exact for normally distributed runs.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> round(power(10, 1.0, 1.0), 3)
    0.803
    """
    from scipy.special import nctdtr

    n = _count("n", n, 2)
    effect = abs(_finite("difference", difference)) / _positive("sd", sd)
    if effect == 0:
        raise ValueError("difference is 0; power is the probability of finding a difference that is there")
    degrees, shift = (n - 1, effect * math.sqrt(n)) if paired else (2 * n - 2, effect * math.sqrt(n / 2))
    bound = _t(degrees, 1 - _fraction("alpha", alpha) / 2)
    below, far_below = (float(nctdtr(degrees, shift, end)) for end in (bound, -bound))
    # SciPy returns NaN where the probability is too small for its series, which is far below rounding here.
    return 1.0 - (0.0 if math.isnan(below) else below) + (0.0 if math.isnan(far_below) else far_below)


_power = power  # `seeds_needed` has a parameter of that name


def seeds_needed(
    difference: float, sd: float, *, power: float = 0.8, alpha: float = 0.05, paired: bool = True
) -> SeedsNeeded:
    """Smallest number of seeds with which a two-sided t test finds a difference.

    Parameters
    ----------
    difference : float
        The smallest true difference that must not be missed, not zero.
    sd : float
        Standard deviation of one paired difference (``paired=True``) or of one run (``paired=False``), above 0.
    power : float
        Probability of finding it, above `alpha` and below 1.
    alpha : float
        Level of the test, between 0 and 1.
    paired : bool
        Whether run i of both methods shares its seed.

    Raises
    ------
    ValueError
        If an argument is out of range, or more than a million seeds are needed.

    Examples
    --------
    >>> print(seeds_needed(1.0, 0.6))
    6 pairs find a difference of 1 with probability 0.899 (SD of differences 0.6, two-sided t test at 0.05)
    >>> seeds_needed(1.0, 0.9, paired=False).n
    14
    """
    if not _fraction("alpha", alpha) < _fraction("power", power):
        raise ValueError(f"power is {power}; it must be above alpha, which is {alpha}")

    def reached(n: int) -> float:
        return _power(n, difference, sd, alpha=alpha, paired=paired)

    n = _smallest(lambda n: reached(n) >= power)
    return SeedsNeeded(n, reached(n), float(difference), float(sd), float(alpha), paired)


def equivalent(first: ArrayLike, second: ArrayLike, margin: float, *, alpha: float = 0.05) -> Equivalence:
    """Test whether two methods are equal within a margin (two one-sided t tests of paired runs).

    The usual test asks whether a difference was shown; not finding one shows nothing. This one asks whether a
    difference as large as `margin` was excluded, on both sides, each at level `alpha`.

    Parameters
    ----------
    first, second : array_like, shape (R,)
        One finite number per run; run i of both shares its seed. At least two.
    margin : float
        The largest difference that does not matter, above 0, in the unit of the values.
    alpha : float
        Between 0 and 0.5.

    Raises
    ------
    ValueError
        If the two have different lengths, fewer than two values or one that is not finite, or `margin` or
        `alpha` is out of range.

    Examples
    --------
    >>> print(equivalent([80.1, 79.2, 80.6], [79.9, 79.3, 80.5], margin=0.5))
    equivalent within ±0.5: difference 0.06667, 90 % interval -0.1909 to 0.3242 (3 pairs, p = 0.02)
    """
    a, b = _pairs(first, second)
    margin = _positive("margin", margin)
    if _fraction("alpha", alpha) >= 0.5:
        raise ValueError(f"alpha is {alpha}; it must be below 0.5")
    interval = mean_interval(a - b, confidence=1 - 2 * alpha)
    p_value = max(_t_above(margin - interval.mean, interval), _t_above(margin + interval.mean, interval))
    return Equivalence(
        equivalent=bool(p_value < alpha),
        mean=interval.mean,
        low=interval.low,
        high=interval.high,
        margin=margin,
        p_value=p_value,
        n=interval.n,
        alpha=float(alpha),
    )


# --- distributions ------------------------------------------------------------------------------------------


def _t(degrees: int, probability: float) -> float:
    """Quantile of the t distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))


def _t_above(distance: float, interval: MeanInterval) -> float:
    """Probability that the t statistic exceeds `distance` / standard error, in either direction of its sign."""
    from scipy.special import stdtr

    if interval.standard_error == 0:
        return 0.0 if distance > 0 else 0.5 if distance == 0 else 1.0
    return float(stdtr(interval.n - 1, -distance / interval.standard_error))


def _mean_sd(x: NDArray[np.float64]) -> tuple[float, float]:
    mean = math.fsum(x) / len(x)
    return mean, math.sqrt(math.fsum((x - mean) ** 2) / (len(x) - 1))


def _smallest(enough: Callable[[int], bool]) -> int:
    """Smallest n from 2 on that is enough, by doubling and bisection."""
    high = 2
    while not enough(high):
        high *= 2
        if high > MAX_SEEDS:
            raise ValueError(f"more than {MAX_SEEDS:,} seeds are needed; the difference is too small for this sd")
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


# --- validation ---------------------------------------------------------------------------------------------


def _runs(name: str, values: ArrayLike) -> NDArray[np.float64]:
    import numpy as np

    try:
        x = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is {values!r}; it must be one number per run") from error
    if x.ndim != 1:
        raise ValueError(f"{name} has shape {x.shape}; it must have shape (R,), one number per run")
    if len(x) < 2:
        raise ValueError(f"{name} has {len(x)} value(s); it takes at least two runs to see how much they vary")
    bad = np.flatnonzero(~np.isfinite(x))
    if bad.size:
        raise ValueError(f"{name}[{bad[0]}] is {x[bad[0]]}; all runs must be finite (count failures, do not drop them)")
    return x


def _pairs(first: ArrayLike, second: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a, b = _runs("first", first), _runs("second", second)
    if len(a) != len(b):
        raise ValueError(f"first has {len(a)} runs and second {len(b)}; paired runs come in equal numbers")
    return a, b


def _count(name: str, value: Any, least: int) -> int:
    try:
        whole = not isinstance(value, bool) and value == int(value)
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole or value < least:
        raise ValueError(f"{name} is {value!r}; it must be a whole number, at least {least}")
    return int(value)


def _finite(name: str, value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{name} is {value!r}; it must be a finite number")
    return float(value)


def _positive(name: str, value: float) -> float:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} is {value!r}; it must be a finite number above 0")
    return float(value)


def _fraction(name: str, value: float) -> float:
    if not 0 < value < 1:
        raise ValueError(f"{name} is {value!r}; it must lie between 0 and 1")
    return float(value)


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.4g} %"
