import io

import pytest
from rich.console import Console

from perfport.advise.recommendation.goals import Goal, Objective
from perfport.advise.recommendation.tradeoff import Expected, Offer, TradeOff
from perfport.data.measurement import Property
from perfport.report.offers import show_trade_off

TIME, ENERGY = Property("inference_time_s", "s"), Property("energy_j", "J")


def front(n_offers: int, knee: int) -> TradeOff:
    """A front whose offer number k takes k + 1 s."""
    offers = [
        Offer(
            {"batch": row + 1},
            (Expected(TIME, row + 1.0, None, None), Expected(ENERGY, 100.0 - row, None, None)),
            None,
            row == knee,
        )
        for row in range(n_offers)
    ]
    goal = Goal((Objective("inference_time_s", "minimise"), Objective("energy_j", "minimise")))
    return TradeOff(goal, tuple(offers), 0.9, True, 0.7)


def listed(found: TradeOff, **arguments: int) -> str:
    file = io.StringIO()
    Console(file=file, width=80).print(show_trade_off(found, **arguments))
    return file.getvalue()


@pytest.mark.parametrize("n", [1, 2, 3, 5, 20])
@pytest.mark.parametrize("knee", [0, 1, 29, 30, 46])
def test_as_many_offers_are_listed_as_asked_for_and_the_knee_among_them(n: int, knee: int) -> None:
    text = listed(front(47, knee), n=n)
    rows = [line for line in text.splitlines() if "batch=" in line]
    assert len(set(rows)) == len(rows) == n
    assert [line.split()[-1] for line in rows if line.startswith("*")] == [f"batch={knee + 1}"]
    assert f"{n} of 47 offers" in text
    if n > 2:
        assert rows[0].split()[-1] == "batch=1"
        assert rows[-1].split()[-1] == "batch=47"


def test_a_short_front_is_listed_whole() -> None:
    text = listed(front(4, 2))
    assert text.count("batch=") == 4
    assert "offers" not in text
