"""Several things to be best at once: which points no other one beats, how much they cover, where they bend.

All take points of shape (n, q), one a row, every column minimised; negate a column to maximise it.

Example:
    >>> points = np.array([[1.0, 4.0], [2.0, 2.0], [3.0, 3.0], [4.0, 1.0]])
    >>> front(points).tolist()
    [0, 1, 3]
    >>> float(hypervolume(points, np.array([5.0, 5.0])))
    11.0
    >>> knee(points[front(points)])
    1

Source:
    Hypervolume: Zitzler and Thiele, PPSN 1998, computed by slicing the last objective. Knee: the point
    furthest from the plane through the extremes, Das, Structural Optimization 18, 1999.
"""

import numpy as np
from numpy.typing import NDArray

from perfport.data.measurement import FloatArray
from perfport.errors import UsageError

__all__ = ["first_fronts", "front", "hypervolume", "knee"]

_CHUNK_ROWS = 1024  # compared with the front at a time; bounds the memory


def front(points: FloatArray) -> NDArray[np.int64]:
    """Return the rows that no other row beats: better in one column and no worse in the others.

    Returns:
        Row numbers in the order of the first column, then of the others; of equal rows the first only.
    """
    order = np.lexsort(points.T[::-1])
    ordered = points[order]
    # In this order no row is beaten by a later one, so each only has to be compared with those kept.
    if points.shape[1] == 1:
        kept = np.arange(min(1, len(ordered)))
    elif points.shape[1] == 2:
        before = np.minimum.accumulate(ordered[:, 1])[:-1]
        kept = np.flatnonzero(np.append(np.ones(min(1, len(ordered)), dtype=bool), ordered[1:, 1] < before))
    else:
        kept = _front_of_sorted(ordered)
    return order[kept]


def _front_of_sorted(ordered: FloatArray) -> NDArray[np.int64]:
    kept: list[int] = []
    for start in range(0, len(ordered), _CHUNK_ROWS):
        chunk = ordered[start : start + _CHUNK_ROWS]
        among = ordered[kept]
        is_open = ~(among[:, None, :] <= chunk[None, :, :]).all(axis=2).any(axis=0)
        new: list[int] = []
        for row in np.flatnonzero(is_open):
            if not new or not (chunk[new] <= chunk[row]).all(axis=1).any():
                new.append(int(row))
        kept += [start + row for row in new]
    return np.asarray(kept, dtype=np.int64)


def first_fronts(points: FloatArray, n: int) -> NDArray[np.int64]:
    """Return n rows: the front, then the front of the rest, and so on; all rows if there are fewer than n."""
    left, chosen = np.arange(len(points)), np.empty(0, dtype=np.int64)
    while len(chosen) < n and len(left):
        layer = left[front(points[left])]
        chosen, left = np.concatenate([chosen, layer]), np.setdiff1d(left, layer)
    return chosen[:n]


def hypervolume(points: FloatArray, reference: FloatArray) -> float:
    """Return the volume between the points and a reference that is worse than they are.

    Args:
        points: Shape (n, q); those that are not better than the reference in every column add nothing.
        reference: Shape (q,).

    Raises:
        UsageError: If the shapes do not fit.
    """
    if points.ndim != 2 or reference.shape != points.shape[1:]:
        raise UsageError(f"points have shape {points.shape} and the reference {reference.shape}: give (n, q) and (q,)")
    inside = points[(points < reference).all(axis=1)]
    return _volume(inside[front(inside)], reference) if len(inside) else 0.0


def _volume(points: FloatArray, reference: FloatArray) -> float:
    if points.shape[1] == 1:
        return float(reference[0] - points.min())
    points = points[np.argsort(points[:, -1], kind="stable")]
    tops = np.append(points[1:, -1], reference[-1])
    total = 0.0
    for n, (bottom, top) in enumerate(zip(points[:, -1], tops, strict=True), start=1):
        if top > bottom:
            below = points[:n, :-1]
            total += (top - bottom) * _volume(below[front(below)], reference[:-1])
    return total


def knee(points: FloatArray) -> int:
    """Return the row of a front where giving up a little of one objective stops buying much of another.

    Columns are scaled to the range of the front; put them on a log scale if ratios are what counts.

    Args:
        points: A front of at least one point, shape (n, q).
    """
    low, high = points.min(axis=0), points.max(axis=0)
    scaled = (points - low) / np.where(high > low, high - low, 1.0)
    # The plane through the extremes is where the scaled columns add up to 1.
    return int(np.argmin(scaled.sum(axis=1)))
