"""Initialisers: distribution, scale, dtype, seeds, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from steepest.errors import BadInputError
from steepest.nn import glorot_normal, glorot_uniform, he_normal, he_uniform

FAN_IN, FAN_OUT = 300, 200
# From the papers: the bounds of the uniform and the deviations of the normal distributions.
DISTRIBUTIONS = [
    (glorot_uniform, stats.uniform(-np.sqrt(6 / 500), 2 * np.sqrt(6 / 500))),
    (glorot_normal, stats.norm(0, np.sqrt(2 / 500))),
    (he_uniform, stats.uniform(-np.sqrt(6 / 300), 2 * np.sqrt(6 / 300))),
    (he_normal, stats.norm(0, np.sqrt(2 / 300))),
]
INITIALISERS = [function for function, _ in DISTRIBUTIONS]


@pytest.mark.parametrize(("function", "distribution"), DISTRIBUTIONS)
def test_draws_follow_the_distribution_of_the_paper(function: Any, distribution: Any) -> None:
    draws = function(3, FAN_IN, FAN_OUT, np.float64)
    assert draws.shape == (FAN_IN, FAN_OUT)
    # 60,000 draws: a scale wrong by one per cent has a p-value far below 1e-4.
    assert stats.kstest(draws.ravel(), distribution.cdf).pvalue > 1e-3
    np.testing.assert_allclose(draws.std(), distribution.std(), rtol=0.01)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("function", INITIALISERS)
def test_a_seed_means_the_same_weights_in_each_dtype(function: Any, dtype: Any) -> None:
    draws = function(7, 6, 5, dtype)
    assert draws.dtype == dtype
    np.testing.assert_array_equal(draws, function(7, 6, 5, np.float64).astype(dtype))


@pytest.mark.parametrize("function", INITIALISERS)
def test_a_generator_goes_on_where_it_stands(function: Any) -> None:
    rng = np.random.default_rng(7)
    first, second = function(rng, 6, 5), function(rng, 6, 5)
    np.testing.assert_array_equal(first, function(7, 6, 5))
    assert (first != second).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0, 5), "fan_in is a number of neurons, 1 or more, and not 0"),
        ((0, 5, -1), "fan_out .* not -1"),
        ((0, 5, 2.5), "fan_out .* not 2.5"),
        ((0, True, 5), "fan_in .* not True"),
        ((0, 5, 5, np.int64), "dtype int64 have no gradient"),
    ],
)
@pytest.mark.parametrize("function", INITIALISERS)
def test_refusals(function: Any, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        function(*arguments)
