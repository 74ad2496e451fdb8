"""What a campaign will measure, in which order, and how long it will take."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from perfport.data.measurement import Measurement, Status, configuration_key
from perfport.data.standing import best_attempt
from perfport.data.store import Store
from perfport.errors import InvalidConfigurationError
from perfport.measure.base import Configuration
from perfport.measure.blocks import SENTINEL_BLOCK, SIDE_BY_SIDE_BLOCK, is_replicate
from perfport.measure.campaign.spec import Campaign
from perfport.measure.protocol import Protocol
from perfport.measure.rows import configurations_of
from perfport.measure.runner.rig import Rig
from perfport.seeding import rng_for
from perfport.space.columns import levels_of_row, positions_of
from perfport.space.options import Level
from perfport.space.space import Space

__all__ = [
    "RETRIED",
    "Estimate",
    "Plan",
    "Task",
    "TaskKey",
    "attempts_of",
    "measurements_of",
    "plan_campaign",
    "task_of",
    "tasks_of",
]

# Opening a session and starting children, in seconds a configuration, before anything was measured.
_OPENING_S = (0.05, 0.3, 2.0)
_ENOUGH_MEASURED = 3
# What the system, the machine or a limit is to blame for. An invalid configuration stays invalid.
RETRIED = (Status.FAILED, Status.TIMED_OUT)


TaskKey = tuple[str, str, int]


@dataclass(frozen=True)
class Task:
    """One configuration to measure once.

    Attributes:
        rig: Where.
        configuration: What; levels of the rig's space, None for inactive options.
        block: In which block of the campaign.
        seed: For what is random about the run itself.
        attempt: Above 0 if an earlier measurement was too disturbed to count, or failed.
        is_retry: Whether it is measured again because it failed.
    """

    rig: Rig
    configuration: dict[str, Level | None]
    block: int
    seed: int
    attempt: int = 0
    is_retry: bool = False

    @property
    def key(self) -> TaskKey:
        """Environment, configuration and block: under one protocol, this is what is to be measured once."""
        return self.rig.environment.fingerprint, configuration_key(self.configuration), self.block


@dataclass(frozen=True, slots=True)
class Estimate:
    """A time in seconds with the range it lies in.

    Attributes:
        low_s: Nine in ten campaigns take longer, roughly.
        typical_s: To be expected.
        high_s: Nine in ten campaigns take less, roughly; time-outs are not counted in.
        basis: What it rests on.
    """

    low_s: float
    typical_s: float
    high_s: float
    basis: str


@dataclass(frozen=True)
class Plan:
    """A campaign laid out.

    Attributes:
        campaign: What was asked for.
        tasks: Every measurement in the order it is made; those done already included.
        n_done: How many of them are in the store.
        estimate: Time for the rest.
        limits: Notes for people, such as a space smaller than the number asked for.
    """

    campaign: Campaign
    tasks: tuple[Task, ...]
    n_done: int
    estimate: Estimate
    limits: tuple[str, ...] = ()

    @property
    def n_runs(self) -> int:
        """How many measurements the campaign has in all."""
        return len(self.tasks)

    @property
    def n_sentinels(self) -> int:
        """How many of them repeat an environment's first configuration, to tell of drift."""
        return sum(not is_replicate(task.block) for task in self.tasks)

    @property
    def n_left(self) -> int:
        """How many are still to be made."""
        return len(self.tasks) - self.n_done


def plan_campaign(campaign: Campaign, store: Store | None = None) -> Plan:
    """Lay out a campaign without measuring anything.

    The estimate rests on what the store has measured in the same environments under the same
    protocol (a pilot: run the campaign with `max_runs` first), else on the protocol's limits.

    Args:
        campaign: What is to be measured.
        store: Where it will be kept, if it exists.

    Raises:
        UsageError: If a system, network, option, level or actuator is not known here.
        MissingPackageError: If a system or network needs a package that is not installed.
    """
    rigs = campaign.rigs()
    tasks, limits = tasks_of(campaign, rigs)
    earlier = measurements_of(rigs, store, campaign.protocol) if store is not None else {}
    left = [task for task in tasks if task.key not in earlier]
    n_failed = sum(earlier[task.key].status in RETRIED for task in tasks if task.key in earlier)
    if n_failed:
        limits.append(f"{n_failed} failed or timed out; perfport measure --retry-failed measures them once more")
    return Plan(
        campaign, tuple(tasks), len(tasks) - len(left), _estimate(left, earlier.values(), campaign), tuple(limits)
    )


def tasks_of(campaign: Campaign, rigs: Sequence[Rig]) -> tuple[list[Task], list[str]]:
    """Return every task in order, and notes for people.

    Within a block every environment goes through its configurations in random order, the first
    (default) one first; environments take turns, in a random order in each round. So a slow drift
    falls on all of them alike. Environments with as many configurations share the order: where the
    configurations are the same, each is measured at about the same time everywhere. Every
    `sentinel_every` turns each environment measures its first configuration again.
    """
    limits: list[str] = []
    chosen = [_configurations(campaign, rig, limits) for rig in rigs]
    n_blocks = campaign.blocks if campaign.replicates else 1
    longest = max(map(len, chosen))
    every = _sentinel_every(campaign, longest + (n_blocks - 1) * min(campaign.replicates, longest))
    turn = 0
    tasks: list[Task] = []
    for block in range(n_blocks):
        queues = []
        for configurations in chosen:
            n = len(configurations) if block == 0 else min(campaign.replicates, len(configurations))
            order = rng_for(campaign.seed, "order", block).permutation(n)
            if block == 0:
                order = np.concatenate([[0], order[order != 0]]).astype(np.int64)
            queues.append([configurations[index] for index in order])
        rng = rng_for(campaign.seed, "turns", block)
        for place in range(max(map(len, queues))):
            turn += 1
            for index in rng.permutation(len(rigs)):
                if place < len(queues[index]):
                    tasks.append(task_of(rigs[index], queues[index][place], block, campaign.seed))
            if every and turn % every == 0:
                sentinel = SENTINEL_BLOCK + turn // every - 1
                tasks += [task_of(rig, own[0], sentinel, campaign.seed) for rig, own in zip(rigs, chosen, strict=True)]
    return tasks, limits


def _sentinel_every(campaign: Campaign, n_turns: int) -> int:
    """Return after how many turns a sentinel comes; seldom enough for their blocks in a huge campaign."""
    most = SIDE_BY_SIDE_BLOCK - SENTINEL_BLOCK
    return max(campaign.sentinel_every, math.ceil(n_turns / most)) if campaign.sentinel_every else 0


def task_of(rig: Rig, configuration: dict[str, Level | None], block: int, seed: int) -> Task:
    """Return the task of one configuration; the seed of its run follows from what it is."""
    rng = rng_for(seed, "run", rig.environment.fingerprint, configuration_key(configuration), block)
    return Task(rig, configuration, block, int(rng.integers(2**31)))


def _configurations(campaign: Campaign, rig: Rig, limits: list[str]) -> list[dict[str, Level | None]]:
    """Return the configurations of one environment, distinct, in an order that depends on the seed alone."""
    if isinstance(campaign.configurations, int):
        n = campaign.configurations
        # Environments with equal spaces get the same configurations: pairs are worth more than twice as many singles.
        drawn = configurations_of(rig.space, rig.space.sample(n, rng_for(campaign.seed, "configurations")))
        listed = [rig.space.default_configuration(), *drawn]
        if len(drawn) < n:
            limits.append(
                f"environment '{rig.environment.name}': the space has {len(drawn)} valid configurations, "
                f"fewer than the {n} asked for; all are measured"
            )
    else:
        n = len(campaign.configurations)
        for configuration in campaign.configurations:
            unknown = [name for name in configuration if name not in rig.space.names]
            if unknown:
                raise InvalidConfigurationError(
                    f"environment '{rig.environment.name}' has no option '{unknown[0]}'; "
                    f"it has {', '.join(rig.space.names)}",
                    configuration=dict(configuration),
                )
        listed = configurations_of(
            rig.space, rig.space.frame([_completed(rig.space, given) for given in campaign.configurations])
        )
    distinct = {configuration_key(configuration): configuration for configuration in listed}
    return list(distinct.values())[:n]


def _completed(space: Space, given: Configuration) -> dict[str, Level | None]:
    """Return a listed configuration with the default of what it leaves out, None where that is inactive beside it.

    What is given stays as it is, also where the space forbids it: that is an outcome.
    """
    frame = space.frame([space.default_configuration() | dict(given)])
    block = {option.name: positions_of(option, frame[option.name]) for option in space.options}
    return levels_of_row(space.options, space.rules.follow_conditions(block), 0) | dict(given)


def measurements_of(rigs: Sequence[Rig], store: Store, protocol: Protocol) -> dict[TaskKey, Measurement]:
    """Return task key -> measurement for what the store has of these environments under this protocol.

    Of several attempts the one that counts.
    """
    return {key: best_attempt(found) for key, found in attempts_of(rigs, store, protocol).items()}


def attempts_of(rigs: Sequence[Rig], store: Store, protocol: Protocol) -> dict[TaskKey, list[Measurement]]:
    """Return task key -> every attempt the store has of these environments under this protocol, in order."""
    known = {environment.fingerprint for environment in store.environments()}
    fingerprints = dict.fromkeys(rig.environment.fingerprint for rig in rigs)
    found: dict[TaskKey, list[Measurement]] = {}
    for fingerprint in fingerprints:
        if fingerprint in known:
            for measurement in store.read(environment=fingerprint, protocol=protocol.key):
                key = (fingerprint, configuration_key(measurement.configuration), measurement.block)
                found.setdefault(key, []).append(measurement)
    return found


def _estimate(left: Sequence[Task], earlier: Iterable[Measurement], campaign: Campaign) -> Estimate:
    protocol = campaign.protocol
    costs_s = [measurement.cost_s for measurement in earlier if measurement.cost_s > 0]
    n = len(left)
    if len(costs_s) >= _ENOUGH_MEASURED:
        low, typical, high = _range_of_sum(np.array(costs_s), n)
        return Estimate(low, typical, high, f"{len(costs_s)} measurements made earlier")
    window_s = protocol.window_s if campaign.meters else 0.0
    low_s = n * (_OPENING_S[0] + protocol.min_time_s)
    typical_s = n * (_OPENING_S[1] + 0.5 * (protocol.warm_up_max_s + protocol.min_time_s + protocol.budget_s))
    high_s = n * (_OPENING_S[2] + protocol.warm_up_max_s + protocol.budget_s + window_s)
    return Estimate(low_s, typical_s, high_s, "the protocol's limits, nothing was measured yet")


def _range_of_sum(costs_s: np.ndarray, n: int) -> tuple[float, float, float]:
    """Return the 10, 50 and 90 % quantiles of the sum of n costs like those seen.

    The spread of the sum has two parts: chance over n runs, and how well the mean is known from the
    costs seen.
    """
    mean_s, deviation_s = float(costs_s.mean()), float(costs_s.std(ddof=1))
    spread_s = deviation_s * (n + n**2 / len(costs_s)) ** 0.5
    # 1.28 standard deviations on either side hold 80 % of a normal distribution.
    return max(0.0, n * mean_s - 1.28 * spread_s), n * mean_s, n * mean_s + 1.28 * spread_s
