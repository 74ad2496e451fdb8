"""Numbers of blocks: replicates of a campaign come first, what is measured for another purpose lies far from them."""

__all__ = ["SENTINEL_BLOCK", "SIDE_BY_SIDE_BLOCK", "is_replicate"]

# Re-measurements of the first configuration that tell of drift; also the most blocks a campaign may have.
SENTINEL_BLOCK = 500
# Rounds of configurations measured in turns share their child processes, as replicates do not.
SIDE_BY_SIDE_BLOCK = 1000


def is_replicate(block: int) -> bool:
    """Return whether a block is one of a campaign's own, whose measurements are independent of each other."""
    return block < SENTINEL_BLOCK
