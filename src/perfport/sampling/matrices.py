"""The classic designs as matrices of -1, 0 and 1, one row a run and one column a factor.

Own constructions, because those of pyDOE end where configuration spaces begin: 1.6.0 has no
Plackett-Burman design for 24 to 27 factors and writes out all 2^d corners of a composite design.
"""

from functools import cache

import numpy as np

from perfport.data.measurement import FloatArray

__all__ = ["full_two_level", "generators", "plackett_burman", "regular_fraction"]

MAX_EXACT_GENERATORS = 12  # the words of a fraction double with each


def plackett_burman(n_factors: int) -> FloatArray:
    """Return an orthogonal two-level design with little more than one run a factor.

    Args:
        n_factors: d, at least 1.

    Returns:
        Shape (N, d) of -1 and 1 with orthogonal columns that sum to 0; N is the smallest multiple of 4
        above d for which a Hadamard matrix is built here (the next ones missing are 52 and 92).

    Source:
        Plackett and Burman, Biometrika 33(4), 1946; Hadamard matrices by Paley, Journal of Mathematics
        and Physics 12, 1933, and by Sylvester's doubling.
    """
    order = 4 * (n_factors // 4 + 1)
    while (matrix := _hadamard(order)) is None:
        order += 4
    # With the first column made 1, orthogonality to it balances all others.
    return (matrix * matrix[:, :1])[:, 1 : n_factors + 1]


@cache
def _hadamard(order: int) -> FloatArray | None:
    """Return a Hadamard matrix, or None where neither of Paley's constructions nor doubling reaches."""
    if order <= 2:
        return np.array([[1.0, 1.0], [1.0, -1.0]])[:order, :order]
    if order % 4:
        return None
    q = order - 1
    if _is_prime(q):  # q = 3 mod 4
        return np.asarray(np.eye(order) + _bordered(q, sign=-1.0), dtype=np.float64)
    q = order // 2 - 1
    if q % 4 == 1 and _is_prime(q):
        conference, unit = _bordered(q, sign=1.0), np.eye(q + 1)
        blocks = [[conference + unit, conference - unit], [conference - unit, -conference - unit]]
        return np.asarray(np.block(blocks), dtype=np.float64)
    half = _hadamard(order // 2)
    return None if half is None else np.kron(np.array([[1.0, 1.0], [1.0, -1.0]]), half)


def _bordered(q: int, *, sign: float) -> FloatArray:
    """Return Paley's matrix of quadratic residues modulo q with a border, shape (q + 1, q + 1)."""
    residue = np.full(q, -1.0)
    residue[np.arange(1, q) ** 2 % q] = 1.0
    residue[0] = 0.0
    matrix = np.ones((q + 1, q + 1))
    matrix[0, 0] = 0.0
    matrix[1:, 0] = sign
    matrix[1:, 1:] = residue[(np.arange(q)[:, None] - np.arange(q)) % q]
    return matrix


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


def full_two_level(n_factors: int) -> FloatArray:
    """Return all combinations of -1 and 1, shape (2^d, d)."""
    runs = np.arange(2**n_factors)[:, None]
    return np.asarray(2.0 * (runs >> np.arange(n_factors) & 1) - 1.0, dtype=np.float64)


def regular_fraction(n_factors: int, n_basic: int) -> FloatArray:
    """Return a regular two-level fraction: basic factors in full, the others products of them.

    Args:
        n_factors: d.
        n_basic: p, at most d, with d < 2^p.

    Returns:
        Shape (2^p, d). The generators are found by taking products in order of length wherever they keep
        the resolution, for the highest resolution that can be kept so (up to 12 generators; beyond,
        resolution IV where products of odd length suffice, else III).

    Source:
        Box and Hunter, Technometrics 3(3), 1961; greedy (lexicode) choice of generators is ours and gives
        the resolutions of the usual tables.
    """
    words = generators(n_factors, n_basic)
    basic = full_two_level(n_basic)
    others = [np.prod(basic[:, [bit for bit in range(n_basic) if word >> bit & 1]], axis=1) for word in words]
    return np.column_stack([basic, *others])


def generators(n_factors: int, n_basic: int) -> list[int]:
    """Return the products that the factors beyond the basic ones are set to, as bit masks of basic factors."""
    n_words = n_factors - n_basic
    products = sorted((m for m in range(1, 2**n_basic) if m.bit_count() > 1), key=lambda m: (m.bit_count(), m))
    if n_words > MAX_EXACT_GENERATORS:
        odd = [product for product in products if product.bit_count() % 2]
        return (odd if len(odd) >= n_words else products)[:n_words]
    for wanted in range(n_basic + 1, 2, -1):
        chosen: list[int] = []
        defining = np.zeros(1, dtype=np.int64)  # all products of defining words found so far
        for product in products:
            if len(chosen) == n_words:
                break
            longer = defining ^ (product | 1 << (n_basic + len(chosen)))
            if int(np.bitwise_count(longer).min()) >= wanted:
                chosen.append(product)
                defining = np.concatenate([defining, longer])
        if len(chosen) == n_words:
            return chosen
    raise ValueError(f"{n_factors} factors do not fit into 2^{n_basic} runs")
