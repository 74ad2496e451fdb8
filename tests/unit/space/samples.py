"""A space with everything in it, as a runtime has it."""

from perfport.space.options import Option
from perfport.space.space import Space

OPTIONS = (
    Option(name="intra_threads", type="integer", lower=1, upper=4, owner="system"),
    Option(name="mode", type="categorical", values=("sequential", "parallel")),
    Option(name="inter_threads", type="ordinal", values=(1, 2, 4), default=2),
    Option(name="optimisation", type="ordinal", values=("off", "basic", "all"), default="all"),
    Option(name="arena", type="boolean", default=True),
    Option(name="pattern", type="boolean"),
    Option(name="gpu_freq_hz", type="ordinal", values=(1.1e8, 5e8, 1.3e9), unit="Hz", scale="log", owner="actuator"),
)


def runtime_space() -> Space:
    return Space(
        OPTIONS,
        conditions=[{"option": "inter_threads", "when": "mode == 'parallel'"}],
        forbidden=["arena == False and pattern == True"],
        constraints=["intra_threads * inter_threads <= cores"],
        name="runtime",
        constants={"cores": 4},
    )


def mixed_space() -> Space:
    """A space with float ranges, one of them conditional and one of them in a constraint."""
    return Space(
        [
            Option(name="solver", type="categorical", values=("sgd", "adam")),
            Option(name="rate", type="float", lower=1e-4, upper=1.0, scale="log"),
            Option(name="momentum", type="float", lower=0.0, upper=0.9),
            Option(name="threads", type="integer", lower=1, upper=8),
        ],
        conditions=[{"option": "momentum", "when": "solver == 'sgd'"}],
        constraints=["threads * rate <= 1"],
    )
