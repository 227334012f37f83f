"""nnzen.mathematics.optimizers against matrix powers, weighted sums of the past, NumPy's and SciPy's decompositions."""

import doctest

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import polar
from scipy.optimize import rosen_der, rosen_hess

from nnzen.mathematics import optimizers as O

rates = st.floats(1e-3, 0.5)
momenta = st.floats(0, 0.99)
positive = st.floats(1e-3, 1e3)


def quadratic(seed, size=4):
    """Hessian with curvatures of 0.1 to 3, minimum, and start."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(size, size)))[0]
    hessian = basis * rng.uniform(0.1, 3, size) @ basis.T
    return hessian, rng.normal(size=size), rng.normal(size=size)


def run(optimizer, hessian, minimum, w, steps):
    for _ in range(steps):
        w = optimizer.step(w, hessian @ (w - minimum))
    return w


def companion(hessian, eta, beta, nesterov):
    """The matrix that maps (error, error one step before) one step on."""
    one = np.eye(len(hessian))
    a = one - eta * hessian
    top = [(1 + beta) * a, -beta * a] if nesterov else [a + beta * one, -beta * one]
    return np.block([top, [one, 0 * one]])


# --- steps, against powers of the iteration matrix


@settings(deadline=None)
@given(st.integers(0, 1000), rates, st.integers(0, 30))
def test_gradient_descent_is_a_matrix_power(seed, eta, steps):
    hessian, minimum, w = quadratic(seed)
    power = np.linalg.matrix_power(np.eye(4) - eta * hessian, steps)
    expected = minimum + power @ (w - minimum)
    assert_allclose(run(O.GradientDescent(eta), hessian, minimum, w, steps), expected, rtol=1e-9, atol=1e-9)


@settings(deadline=None)
@given(st.integers(0, 1000), rates, momenta, st.integers(0, 30), st.booleans())
def test_momentum_is_a_matrix_power(seed, eta, beta, steps, nesterov):
    hessian, minimum, w = quadratic(seed)
    power = np.linalg.matrix_power(companion(hessian, eta, beta, nesterov), steps)
    error = (power @ np.tile(w - minimum, 2))[:4]
    optimizer = (O.Nesterov if nesterov else O.HeavyBall)(eta, beta)
    end = run(optimizer, hessian, minimum, w, steps)
    if nesterov and steps:  # its parameters are the point looked ahead to
        end = end - beta * optimizer.velocity
    assert_allclose(end, minimum + error, rtol=1e-9, atol=1e-9)


@given(st.integers(0, 1000), rates)
def test_without_momentum_all_three_agree(seed, eta):
    hessian, minimum, w = quadratic(seed)
    plain = run(O.GradientDescent(eta), hessian, minimum, w, 7)
    assert_allclose(run(O.HeavyBall(eta, 0), hessian, minimum, w, 7), plain)
    assert_allclose(run(O.Nesterov(eta, 0), hessian, minimum, w, 7), plain)


def test_the_learning_rate_may_change_between_steps():
    ball = O.HeavyBall(1.0, momentum=0.5)
    w = ball.step([0.0], [1.0])
    ball.learning_rate = 0.1
    assert_allclose(ball.step(w, [1.0]), [-1 - 0.5 - 0.1])


@pytest.mark.parametrize("make", [O.GradientDescent, O.HeavyBall, O.Nesterov])
def test_steps_keep_dtype_and_arguments(make):
    w, g = np.ones((2, 3), "float32"), np.ones((2, 3), "float32")
    optimizer = make(0.1)
    assert optimizer.step(w, g).dtype == np.float32
    assert_array_equal(w, 1)
    assert_array_equal(g, 1)
    assert optimizer.step(np.ones((2, 3), int), g).dtype == np.float64
    assert not np.isfinite(make(0.1).step([1.0], [np.inf])).any()
    with pytest.raises(ValueError, match="shape"):
        optimizer.step(w, g[0])
    for bad in (0, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match="learning_rate"):
            make(bad)


@pytest.mark.parametrize("make", [O.GradientDescent, O.HeavyBall, O.Nesterov])
def test_numbers_of_numpy_keep_float32(make):
    one, two = np.float64(1), np.float64(2)
    for tuned in (O.tuned_gradient_descent(one, two), O.tuned_heavy_ball(one, two), O.tuned_nesterov(one, two)):
        assert {type(tuned.learning_rate), type(tuned.momentum), type(tuned.factor)} == {float}
    optimizer = make(np.float64(0.1), *[np.float64(0.9)] * (make is not O.GradientDescent))
    w = g = np.ones(3, "float32")
    for _ in range(2):
        w = optimizer.step(w, g)
        assert w.dtype == np.float32


@pytest.mark.parametrize("make", [O.HeavyBall, O.Nesterov])
def test_momentum_refuses_what_it_cannot_do(make):
    for bad in (-0.1, 1.0, np.nan):
        with pytest.raises(ValueError, match="momentum"):
            make(0.1, bad)
    with pytest.raises(ValueError, match=r"got -0.1$"):
        make(0.1, -0.1)
    with pytest.raises(ValueError, match="comes to rest"):
        make(0.1, 1.0)
    optimizer = make(0.1)
    optimizer.step([1.0, 2.0], [1.0, 1.0])
    with pytest.raises(ValueError, match="make a new one"):
        optimizer.step([1.0], [1.0])


# --- adaptive methods, against explicit sums over the past

ADAPTIVE = [O.AdaGrad, O.RMSprop, O.Adam, O.AdamW]
betas = st.floats(0, 0.999)


def history(seed, steps, size=3):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(steps, size)) * 10 ** rng.uniform(-3, 3, size)


def last_step(optimizer, gradients, start=0.0):
    w = np.full(gradients.shape[1], start)
    for g in gradients:
        before, w = w, optimizer.step(w, g)
    return before, w


def weighted(values, beta):
    """(1 − β) Σ β^k values[−1−k], written as one sum."""
    past = np.arange(len(values))[::-1, None]
    return (1 - beta) * np.sum(beta**past * values, axis=0)


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(1, 20), rates, st.floats(0, 1))
def test_adagrad_divides_by_the_root_of_a_sum(seed, steps, eta, initial):
    g = history(seed, steps)
    before, after = last_step(O.AdaGrad(eta, initial, epsilon=1e-4), g)
    expected = -eta * g[-1] / np.sqrt(initial + np.sum(g**2, axis=0) + 1e-4)
    assert_allclose(after - before, expected, rtol=1e-9, atol=1e-12)


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(1, 20), rates, betas)
def test_rmsprop_divides_by_the_root_of_an_average(seed, steps, eta, rho):
    g = history(seed, steps)
    before, after = last_step(O.RMSprop(eta, rho, epsilon=1e-4), g)
    assert_allclose(after - before, -eta * g[-1] / np.sqrt(weighted(g**2, rho) + 1e-4), rtol=1e-6, atol=1e-12)


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(1, 20), rates, betas, betas, st.booleans())
def test_adam_is_algorithm_1_with_its_epsilon_rescaled(seed, steps, eta, beta_1, beta_2, amsgrad):
    g = history(seed, steps)
    before, after = last_step(O.Adam(eta, beta_1, beta_2, 1e-4, amsgrad), g)
    seen = [weighted(g[:t] ** 2, beta_2) for t in range(1, steps + 1)]
    v = np.max(seen, axis=0) if amsgrad else seen[-1]
    m_hat, v_hat = weighted(g, beta_1) / (1 - beta_1**steps), v / (1 - beta_2**steps)
    expected = -eta * m_hat / (np.sqrt(v_hat) + 1e-4 / np.sqrt(1 - beta_2**steps))
    assert_allclose(after - before, expected, rtol=1e-6, atol=1e-12)


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(1, 20), rates, st.floats(0, 1))
def test_adamw_decays_beside_adams_step(seed, steps, eta, decay):
    g = history(seed, steps)
    before, after = last_step(O.AdamW(eta, weight_decay=decay), g, start=2.0)
    plain_before, plain_after = last_step(O.Adam(eta), g)
    assert_allclose(after, before * (1 - eta * decay) + plain_after - plain_before, rtol=1e-9, atol=1e-9)


@given(st.floats(1e-100, 1e100), st.integers(1, 50))
def test_without_epsilon_adams_step_for_a_constant_gradient_is_the_learning_rate(g, steps):
    before, after = last_step(O.Adam(0.1, epsilon=0.0), np.full((steps, 1), g))
    assert_allclose(after - before, -0.1, rtol=1e-9)


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(1, 60))
def test_no_step_of_adam_exceeds_the_bound_of_cauchy_and_schwarz(seed, steps):
    before, after = last_step(O.Adam(1.0, epsilon=0.0), history(seed, steps))
    correction = np.sqrt(1 - 0.999**steps) / (1 - 0.9**steps)
    assert np.abs(after - before).max() <= correction * 0.1 / np.sqrt(0.001 * (1 - 0.81 / 0.999)) * (1 + 1e-9)


@pytest.mark.parametrize("make", ADAPTIVE)
def test_adaptive_steps_keep_dtype_arguments_and_shape(make):
    w, g = np.ones((2, 3), "float32"), np.ones((2, 3), "float32")
    optimizer = make(np.float64(0.1))
    for _ in range(2):
        new = optimizer.step(w, g)
        assert new.dtype == np.float32
    assert_array_equal(w, 1)
    assert_array_equal(g, 1)
    assert make(0.1).step(np.ones(3, int), np.zeros(3)).dtype == np.float64
    with pytest.raises(ValueError, match="shape"):
        optimizer.step(w, g[0])
    with pytest.raises(ValueError, match="make a new one"):
        optimizer.step(w[0], g[0])
    for bad in (0, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match="learning_rate"):
            make(bad)
    for bad in (-1e-9, np.nan, np.inf):
        with pytest.raises(ValueError, match="epsilon"):
            make(0.1, epsilon=bad)


def test_a_gradient_that_is_always_zero_moves_nothing_unless_epsilon_is_zero():
    for make in ADAPTIVE[1:3]:
        assert_array_equal(make(0.1).step([1.0], [0.0]), [1.0])
        with np.errstate(invalid="ignore"):
            assert np.isnan(make(0.1, epsilon=0.0).step([1.0], [0.0])).all()


def test_adaptive_methods_refuse_what_they_cannot_do():
    with pytest.raises(ValueError, match="initial"):
        O.AdaGrad(0.1, initial=-1)
    for bad in (-0.1, 1.0, np.nan):
        with pytest.raises(ValueError, match="rho"):
            O.RMSprop(0.1, rho=bad)
        with pytest.raises(ValueError, match="beta_1"):
            O.Adam(0.1, beta_1=bad)
        with pytest.raises(ValueError, match="beta_2"):
            O.Adam(0.1, beta_2=bad)
        with pytest.raises(ValueError, match="momentum"):
            O.Muon(0.1, momentum=bad)
    for make in (O.AdamW, O.Muon):
        with pytest.raises(ValueError, match="weight_decay"):
            make(0.1, weight_decay=-1)


# --- Muon, against singular value decompositions


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(1, 8), st.integers(1, 8))
def test_orthogonalize_keeps_singular_vectors_and_evens_out_values(seed, n, m):
    rng = np.random.default_rng(seed)
    rank = min(n, m)
    left, right = (np.linalg.qr(rng.normal(size=(k, rank)))[0] for k in (n, m))
    values = rng.uniform(0.05, 1, rank)
    found = O.orthogonalize(left * values @ right.T)
    inner = left.T @ found @ right
    assert_allclose(inner, np.diag(np.diag(inner)), atol=1e-6)
    assert_allclose(left @ inner @ right.T, found, atol=1e-6)
    assert ((np.diag(inner) > 0.68) & (np.diag(inner) < 1.16)).all()


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(1, 6), st.integers(1, 6), rates)
def test_muon_steps_near_the_polar_factor(seed, n, m, eta):
    rng = np.random.default_rng(seed)
    g = rng.normal(size=(n, m))
    step = O.Muon(eta, momentum=0.0, rms=None).step(np.zeros((n, m)), g) / -eta
    target = polar(g)[0]
    values = np.linalg.svd(g, compute_uv=False)
    if values[-1] > 0.01 * np.linalg.norm(values):
        assert np.linalg.norm(step - target, 2) < 0.33
    scaled = O.Muon(eta, momentum=0.0).step(np.zeros((n, m)), g) / -eta
    assert_allclose(scaled, 0.2 * np.sqrt(max(n, m)) * step, rtol=1e-9)


def test_muon_adds_up_nesterovs_velocity_and_decays():
    first, second = np.eye(2), np.array([[0.0, 1.0], [2.0, 0.0]])
    muon = O.Muon(0.1, momentum=0.5, weight_decay=0.5, rms=None)
    w = muon.step(np.ones((2, 2)), first)
    velocity = 0.5 * first + second
    expected = w * 0.95 - 0.1 * O.orthogonalize(second + 0.5 * velocity)
    assert_allclose(muon.step(w, second), expected)
    assert_allclose(muon.velocity, velocity)


def test_muon_and_orthogonalize_refuse_what_they_cannot_do():
    with pytest.raises(ValueError, match="one matrix"):
        O.Muon(0.1).step([1.0], [1.0])
    for bad in (0, -1, np.nan):
        with pytest.raises(ValueError, match="rms"):
            O.Muon(0.1, rms=bad)
    with pytest.raises(ValueError, match="shape"):
        O.orthogonalize([1.0])
    with pytest.raises(ValueError, match="shape"):
        O.orthogonalize(np.zeros((0, 2)))
    with pytest.raises(ValueError, match="steps"):
        O.orthogonalize(np.eye(2), 0)
    assert O.orthogonalize(np.eye(2, dtype="float32")).dtype == np.float32
    assert_array_equal(O.orthogonalize(np.zeros((2, 3))), 0)


# --- factors, against the eigenvalues of the iteration matrix


@settings(deadline=None)
@given(st.integers(0, 1000), rates, momenta, st.booleans())
def test_convergence_factor_is_a_spectral_radius(seed, eta, beta, nesterov):
    hessian, *_ = quadratic(seed)
    radius = np.abs(np.linalg.eigvals(companion(hessian, eta, beta, nesterov))).max()
    factors = O.convergence_factor(np.linalg.eigvalsh(hessian), eta, beta, nesterov=nesterov)
    assert_allclose(factors.max(), radius, rtol=1e-5)


@given(positive, positive)
def test_closed_forms_are_the_worst_factor_between_the_curvatures(a, b):
    mu, L = sorted((a, b))
    curvatures = np.geomspace(mu, L, 200)
    for tuned, nesterov in (
        (O.tuned_gradient_descent(mu, L), False),
        (O.tuned_heavy_ball(mu, L), False),
        (O.tuned_nesterov(mu, L), True),
    ):
        worst = O.convergence_factor(curvatures, tuned.learning_rate, tuned.momentum, nesterov=nesterov).max()
        assert worst == pytest.approx(tuned.factor, rel=1e-6, abs=1e-6)  # a double root keeps half the digits


@given(positive, positive, st.floats(0.8, 1.25), st.floats(-0.1, 0.1))
def test_no_parameters_near_by_are_faster(a, b, stretch, shift):
    mu, L = sorted((a, b))
    ends = np.array([mu, L])
    best = O.tuned_gradient_descent(mu, L)
    assert O.convergence_factor(ends, stretch * best.learning_rate).max() >= best.factor - 1e-9
    best = O.tuned_heavy_ball(mu, L)
    beta = float(np.clip(best.momentum + shift, 0, 0.999))
    assert O.convergence_factor(ends, stretch * best.learning_rate, beta).max() >= best.factor - 1e-6


@given(positive, momenta)
def test_momentum_raises_the_largest_stable_learning_rate(L, beta):
    heavy, nesterov = 2 * (1 + beta) / L, (2 + 2 * beta) / (1 + 2 * beta) / L
    for limit, kind in ((heavy, False), (nesterov, True)):
        assert O.convergence_factor(L, 0.999 * limit, beta, nesterov=kind) < 1
        assert O.convergence_factor(L, 1.001 * limit, beta, nesterov=kind) > 1


def test_factors_refuse_nonsense():
    with pytest.raises(ValueError, match="finite"):
        O.convergence_factor([1.0, np.nan], 0.1)
    for tuned in (O.tuned_gradient_descent, O.tuned_heavy_ball, O.tuned_nesterov):
        for mu, L in ((0, 1), (2, 1), (1, np.inf), (np.nan, 1)):
            with pytest.raises(ValueError, match="mu ≤ L"):
                tuned(mu, L)


# --- sharpness, against dense Hessians


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.sampled_from([1, 2, 5, 11, 40]))
def test_sharpness_of_an_indefinite_quadratic(seed, size):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(size, size))
    hessian = root + root.T - 2 * np.eye(size)  # its largest eigenvalue in modulus is often negative
    found = O.sharpness(lambda w: hessian @ w, rng.normal(size=size), start=rng.normal(size=size), tolerance=1e-8)
    values, vectors = np.linalg.eigh(hessian)
    assert found.value == pytest.approx(values[-1], rel=1e-5, abs=1e-5)
    assert abs(found.direction @ vectors[:, -1]) == pytest.approx(1, abs=1e-2)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.sampled_from([3, 20]))
def test_sharpness_of_rosenbrocks_function(seed, size):
    rng = np.random.default_rng(seed)
    w = rng.uniform(-1, 1, size)
    found = O.sharpness(rosen_der, w, start=np.ones(size), tolerance=1e-6)
    assert found.value == pytest.approx(np.linalg.eigvalsh(rosen_hess(w))[-1], rel=1e-4)


def test_sharpness_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="one shape"):
        O.sharpness(lambda w: w, [1.0, 2.0], start=[1.0])
    with pytest.raises(ValueError, match="one shape"):
        O.sharpness(lambda w: w, [], start=[])
    with pytest.raises(ValueError, match="start not zero"):
        O.sharpness(lambda w: w, [1.0, 2.0], start=[0.0, 0.0])
    with pytest.raises(ValueError, match="finite numbers, got nan"):
        O.sharpness(lambda w: w * np.nan, [1.0, 2.0], start=[1.0, 0.0])
    with pytest.raises(ValueError, match=r"shape \(2,\), got \(1,\)"):
        O.sharpness(lambda w: w[:1], [1.0, 2.0], start=[1.0, 0.0])


def test_sharpness_takes_two_products_before_it_stops():
    curvatures, calls = np.array([1.0, 3.0, 2.0]), []
    found = O.sharpness(lambda w: calls.append(w) or curvatures * w, np.zeros(3), start=[1.0, 1e-4, 0.0])
    assert found.value == pytest.approx(3, rel=1e-6)  # within the tolerance of the first product is another: 1
    assert len(calls) == 4


def test_examples():
    assert doctest.testmod(O).failed == 0
