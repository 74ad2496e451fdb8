"""The set of valid configurations: in order, counted, and drawn from uniformly.

Options that no rule links are independent, so the set is a product of small sets, one for each
*component* of linked options. A component is grown option by option, parents before children; a rule
drops a row as soon as it cannot hold any more (`space.bounds`). An inactive option has one cell, not
one for each level, so configurations that differ only in inactive options are one from the start.

Source: our choice. The rejection sampling of ConfigSpace draws all hyperparameters and then drops
the inactive ones, which makes a configuration with inactive options as many times more probable as
these have levels: that is not uniform over valid configurations.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perfport.errors import SpaceError
from perfport.space.bounds import certainty
from perfport.space.columns import INACTIVE, Block, Cells, inactive_column, joined, n_rows, operand_of_cells, take_rows
from perfport.space.constraints import Expression
from perfport.space.options import Option
from perfport.space.rules import Rules

__all__ = ["MAX_EXACT", "Component", "ValidSet", "place_on_scale", "uniform_on_scale"]

MAX_EXACT = 10_000_000  # raw combinations that are counted one by one; beyond, the size is estimated
_MAX_TABLE = 1_000_000  # rows of a component that are kept
_MAX_DRAWS = 5_000_000  # draws after which sampling gives up if fewer than
_MIN_SHARE = 1e-5  # of them are valid
_SEARCH_ROWS = 256  # rows grown at a time in a search for one
_MAX_DEAD_ENDS = 2_000  # after which a search for one gives up, in a second or so
_MAX_FRUITLESS = 100  # rounds of 1000 draws or more without a new configuration, where the size is not known
_PILOT_DRAWS = 200_000  # draws behind an estimated size: a share of 1 % is known to 2 %


@dataclass(frozen=True)
class Component:
    """Linked options and the valid combinations of their levels.

    Attributes:
        rules: Those of the whole space.
        names: The options, parents before children.
    """

    rules: Rules
    names: tuple[str, ...]

    @cached_property
    def options(self) -> tuple[Option, ...]:
        """The options, in the order of `names`."""
        return tuple(self.rules.options[name] for name in self.names)

    @property
    def is_finite(self) -> bool:
        """Whether no option is a float range."""
        return all(option.levels is not None for option in self.options)

    @cached_property
    def _cuts(self) -> tuple[tuple[tuple[Expression, bool], ...], ...]:
        """For each option the rules that may cut once it is there, and whether they are to hold."""
        rules = [(rule, False) for rule in self.rules.forbidden] + [(rule, True) for rule in self.rules.constraints]
        return tuple(tuple(cut for cut in rules if name in cut[0].names) for name in self.names)

    @cached_property
    def _ranges(self) -> Mapping[str, tuple[float, float]]:
        """Bounds of the numeric options that are always active."""
        always = [option for option in self.options if option.is_numeric and option.name not in self.rules.conditions]
        return {option.name: option.bounds for option in always}

    def blocks(self, chunk_rows: int) -> Iterator[Block]:
        """Yield all valid combinations lazily, lexicographically in the order of `names`.

        Args:
            chunk_rows: About how many rows are grown at a time.

        Raises:
            SpaceError: If an option is a range.
        """
        return (block for block in self._descend({}, 0, chunk_rows, {}) if n_rows(block))

    def first(self, choices: Mapping[str, Cells]) -> Block | None:
        """Return the first valid combination, one row, or None if there is none.

        Args:
            choices: Option name -> cells to try, in this order; all levels where not given.

        Raises:
            SpaceError: If the search was given up.
        """
        for dead_ends, block in enumerate(self._descend({}, 0, _SEARCH_ROWS, choices)):
            if n_rows(block):
                return take_rows(block, slice(1))
            if dead_ends >= _MAX_DEAD_ENDS:
                raise SpaceError(
                    f"no valid configuration found near the defaults of {', '.join(self.names)}; give each a default "
                    "so that together they are valid"
                )
        return None

    def allows(self, block: Block) -> bool:
        """Return whether the rules allow all rows of a block whose inactive options are empty."""
        return all(n_rows(self._cut(block, depth)) == n_rows(block) for depth in range(len(self.names)))

    def _descend(self, block: Block, depth: int, chunk_rows: int, choices: Mapping[str, Cells]) -> Iterator[Block]:
        """Yield complete blocks, and an empty one for every dead end, so that a search can give up."""
        if depth == len(self.names):
            yield block
            return
        choice = self._choice(depth, choices)
        n = n_rows(block) if block else 1
        step = max(1, chunk_rows // len(choice))
        for start in range(0, n, step):
            grown = self._grown(take_rows(block, slice(start, start + step)), depth, choice)
            if n_rows(grown):
                yield from self._descend(grown, depth + 1, chunk_rows, choices)
            else:
                yield grown

    def _choice(self, depth: int, choices: Mapping[str, Cells]) -> Cells:
        option = self.options[depth]
        if option.name in choices:
            return choices[option.name]
        if option.levels is None:
            raise SpaceError(
                f"option '{option.name}' is a float range, which cannot be enumerated; give values, or sample instead",
                option=option,
            )
        return np.arange(len(option.levels), dtype=np.int32)

    def _grown(self, block: Block, depth: int, choice: Cells) -> Block:
        """Return the block with every cell of the next option's choice beside every row, rules applied."""
        n = n_rows(block) if block else 1
        name = self.names[depth]
        active = self.rules.is_active(name, block, n)
        counts = np.where(active, len(choice), 1)
        rows = np.repeat(np.arange(n), counts)
        within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        grown = take_rows(block, rows)
        empty = inactive_column(self.options[depth], 1)
        grown[name] = np.where(active[rows], choice[within], empty)
        return self._cut(grown, depth)

    def _cut(self, block: Block, depth: int) -> Block:
        """Return the rows that the rules on the last option leave a chance."""
        for rule, wanted in self._cuts[depth]:
            n = n_rows(block)
            present = [name for name in rule.names if name in block]
            operands = {name: operand_of_cells(self.rules.options[name], block[name]) for name in present}
            certain, possible = certainty(rule, operands, self._ranges)
            keep = possible if wanted else ~certain
            if not keep.all():
                block = take_rows(block, np.broadcast_to(keep, (n,)))
        return block

    @cached_property
    def _prefix(self) -> tuple[Block, int]:
        """The valid combinations of as many leading options as fit into a table, and how many options these are."""
        block: Block = {}
        for depth, option in enumerate(self.options):
            rows = n_rows(block) if block else 1
            if option.levels is None or rows * len(option.levels) > max(_MAX_TABLE, len(option.levels)):
                return block, depth
            block = self._grown(block, depth, self._choice(depth, {}))
        return block, len(self.names)

    @cached_property
    def _raw_rest(self) -> int:
        """How many combinations of the options behind the prefix there are, ignoring all rules."""
        return prod(len(option.levels or ()) for option in self.options[self._prefix[1] :])

    @cached_property
    def is_exact(self) -> bool:
        """Whether `size` is counted, not estimated."""
        prefix, depth = self._prefix
        return depth > 0 and n_rows(prefix) * self._raw_rest <= MAX_EXACT

    @cached_property
    def size(self) -> int:
        """Number of valid combinations of a finite component, see `Space.size`."""
        prefix, depth = self._prefix
        n_prefix = n_rows(prefix) if prefix else 1
        if depth == len(self.names):
            return n_prefix
        if self.is_exact:
            return sum(n_rows(block) for block in self._descend(prefix, depth, 65_536, {}))
        rng = np.random.default_rng(0)  # a fixed seed: the size of a space is one number
        accepted = sum(n_rows(self._proposed(_PILOT_DRAWS // 10, rng)) for _ in range(10))
        return max(1, round(n_prefix * self._raw_rest * accepted / _PILOT_DRAWS))  # the default is always valid

    def draw(self, n: int, rng: np.random.Generator) -> Block:
        """Return n independent draws, uniform over the valid combinations.

        A range is uniform on its scale and has mass one, whether it is active or not.

        Raises:
            SpaceError: If hardly any draw out of five million is valid.
        """
        accepted: list[Block] = []
        n_accepted = n_drawn = 0
        while not accepted or n_accepted < n:
            share = max(n_accepted / n_drawn, 1e-4) if n_drawn else 1.0
            batch = int(min(max(1.1 * (n - n_accepted) / share, 16), 500_000))
            proposed = self._proposed(batch, rng)
            accepted.append(proposed)
            n_accepted, n_drawn = n_accepted + n_rows(proposed), n_drawn + batch
            if n_accepted < n and n_drawn >= _MAX_DRAWS and n_accepted < _MIN_SHARE * n_drawn:
                raise SpaceError(
                    f"{n_accepted} valid configurations in {n_drawn:,} draws over {', '.join(self.names)}: the rules "
                    "allow too few to find them by chance; give the few levels they allow as values"
                )
        return take_rows(joined(accepted), slice(n))

    def _proposed(self, n: int, rng: np.random.Generator) -> Block:
        """Return what rejection leaves of n draws: prefixes from the table, the other options level by level.

        Each valid combination must come from exactly one raw draw to be as probable as any other: an
        inactive option counts only where its draw was level 0.
        """
        prefix, depth = self._prefix
        block = take_rows(prefix, rng.integers(n_rows(prefix), size=n)) if prefix else {}
        for place in range(depth, len(self.names)):
            m = n_rows(block) if block else n
            option = self.options[place]
            active = self.rules.is_active(option.name, block, m)
            if option.levels is None:
                block = block | {option.name: np.where(active, uniform_on_scale(option, rng.random(m)), np.nan)}
            else:
                drawn = rng.integers(len(option.levels), size=m, dtype=np.int32)
                block = block | {option.name: np.where(active, drawn, np.int32(INACTIVE))}
                block = take_rows(block, active | (drawn == 0))
            block = self._cut(block, place)
        return block


@dataclass(frozen=True)
class ValidSet:
    """All valid configurations of a space, as blocks.

    Attributes:
        rules: Options and rules.
    """

    rules: Rules

    @cached_property
    def components(self) -> tuple[Component, ...]:
        """The independent parts: options linked by no rule are in different ones."""
        linked = {name: {name} for name in self.rules.options}
        links = [set(rule.names) for rule in (*self.rules.forbidden, *self.rules.constraints)]
        links += [{child, *when.names} for child, conditions in self.rules.conditions.items() for when in conditions]
        for link in links:
            merged = set().union(*(linked[name] for name in link))
            for name in merged:
                linked[name] = merged
        parts = dict.fromkeys(frozenset(linked[name]) for name in self.rules.order)
        return tuple(Component(self.rules, tuple(name for name in self.rules.order if name in part)) for part in parts)

    @property
    def is_finite(self) -> bool:
        """Whether no option is a float range."""
        return all(component.is_finite for component in self.components)

    @property
    def is_exact(self) -> bool:
        """Whether `size` is counted, not estimated."""
        return all(component.is_exact for component in self.components)

    @property
    def size(self) -> int:
        """Number of configurations of a finite space, see `Space.size`."""
        return prod(component.size for component in self.components)

    def blocks(self, chunk_rows: int) -> Iterator[Block]:
        """Yield all configurations in order, in blocks of `chunk_rows`, the last one smaller."""
        waiting: list[Block] = []
        n_waiting = 0
        for block in Component(self.rules, self.rules.order).blocks(chunk_rows):
            waiting.append(block)
            n_waiting += n_rows(block)
            if n_waiting >= chunk_rows:
                together = joined(waiting)
                n_whole = n_waiting - n_waiting % chunk_rows
                for start in range(0, n_whole, chunk_rows):
                    yield take_rows(together, slice(start, start + chunk_rows))
                waiting, n_waiting = [take_rows(together, slice(n_whole, None))], n_waiting - n_whole
        if n_waiting:
            yield joined(waiting)

    def sample(self, n: int, rng: np.random.Generator) -> Block:
        """Return a uniform sample, see `Space.sample`."""
        if not self.is_finite:
            return self._draw(n, rng)
        if self.is_exact and 2 * n > self.size:
            rows = joined(list(self.blocks(65_536)))
            return take_rows(rows, rng.permutation(n_rows(rows))[:n])
        # Independent draws without those that came before are draws without replacement. As at most half
        # of the set is asked for, at most every second draw is lost.
        drawn, n_fruitless = self._draw(0, rng), 0
        while n_rows(drawn) < n and n_fruitless < _MAX_FRUITLESS:
            n_before = n_rows(drawn)
            drawn = joined([drawn, self._draw(max(2 * (n - n_before), 0 if self.is_exact else 1000), rng)])
            drawn = take_rows(drawn, ~pd.DataFrame(drawn).duplicated().to_numpy())
            n_fruitless = n_fruitless + 1 if n_rows(drawn) == n_before else 0
        return take_rows(drawn, slice(n))

    def _draw(self, n: int, rng: np.random.Generator) -> Block:
        drawn: Block = {}
        for component in self.components:
            drawn |= component.draw(n, rng)
        return drawn


def uniform_on_scale(option: Option, fractions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the levels of a float range at fractions (0 to 1) of its way, on its scale."""
    lower, upper = option.bounds
    if option.scale == "log":
        levels = lower * (upper / lower) ** fractions
    elif option.scale == "reciprocal":
        levels = 1 / (1 / lower + fractions * (1 / upper - 1 / lower))
    else:
        levels = lower + fractions * (upper - lower)
    return np.clip(levels, lower, upper)  # the ends may be missed by a rounding


def place_on_scale(option: Option, levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far along its range (0 to 1) each level of a float range lies, on its scale."""
    lower, upper = option.bounds
    if option.scale == "log":
        fractions = np.log(levels / lower) / np.log(upper / lower)
    elif option.scale == "reciprocal":
        fractions = (1 / levels - 1 / lower) / (1 / upper - 1 / lower)
    else:
        fractions = (levels - lower) / (upper - lower)
    return np.asarray(fractions, dtype=np.float64)
