"""The learned prior scales: which kernels usually matter how much when an environment changes.

They live in the data file `priors.json`, which `benchmarks/learn_priors.py` can write anew; nothing here is
fitted at run time. Every scale is log-normal; all of a member share one log-normal amplitude,
because pairs of environments differ in distance by orders of magnitude, in proportions far less.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from perfport.model.gp import LogNormal, ScalePrior

__all__ = ["MemberPrior", "load_priors", "parse_priors"]


@dataclass(frozen=True, slots=True)
class MemberPrior:
    """Prior of one member.

    Attributes:
        scales: Kernel name (and "noise") -> prior of its scale.
        amplitude: Mean of the log amplitude; None: log of the variance the target rows show.
        amplitude_sd: Standard deviation of the log amplitude.
    """

    scales: dict[str, LogNormal]
    amplitude: float | None
    amplitude_sd: float

    def usable(self, names: Sequence[str]) -> list[int]:
        """Return the positions of the kernels that have a prior here."""
        return [position for position, name in enumerate(names) if name in self.scales]

    def for_kernels(self, names: Sequence[str], response_variance: float) -> ScalePrior:
        """Return the prior of the named kernels and the noise, as `model.gp.fit_scales` wants it."""
        chosen = [self.scales[name] for name in (*names, "noise")]
        return ScalePrior(
            log_median=np.log([scale.median for scale in chosen]),
            sd_log=np.asarray([scale.sd_log for scale in chosen]),
            amplitude=float(np.log(response_variance + 0.02)) if self.amplitude is None else self.amplitude,
            amplitude_sd=self.amplitude_sd,
        )

    def expected(self, names: Sequence[str], *, cap: float) -> NDArray[np.float64]:
        """Return the prior mean of the scales of the named kernels; spreads above `cap` count as `cap`."""
        chosen = [self.scales[name] for name in names]
        return np.asarray([scale.median * np.exp(min(scale.sd_log, cap) ** 2 / 2) for scale in chosen])


def parse_priors(text: str) -> dict[str, MemberPrior]:
    """Return member -> prior from the text of a prior file."""
    return {
        member: MemberPrior(
            scales={name: LogNormal(median, sd_log) for name, (median, sd_log) in entry["scales"].items()},
            amplitude=entry["amplitude"]["mean"],
            amplitude_sd=entry["amplitude"]["sd"],
        )
        for member, entry in json.loads(text).items()
        if isinstance(entry, dict)
    }


@cache
def load_priors() -> dict[str, MemberPrior]:
    """Return the priors the package ships."""
    return parse_priors(files("perfport.transfer").joinpath("priors.json").read_text())
