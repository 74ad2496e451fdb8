import numpy as np
from tests.unit.transfer.samples import FRAME, dataset, log_time, noisy

from perfport.transfer.api import transfer
from perfport.transfer.verdict import Verdict, judged


def test_a_clear_gain_is_help_and_less_is_not() -> None:
    assert judged(5.0, 10.0).decision == "helped"
    assert judged(9.5, 10.0).decision == "no help"
    assert judged(None, None).decision == "no help"
    assert judged(5.0, 10.0).gain == 2.0


def test_it_reads_as_one_line() -> None:
    verdict = Verdict("helped", {"member:ard": 0.9, "member:mean": 0.001}, 4.1, 19.6, ("2 rows dropped",))
    assert str(verdict) == (
        "helped; estimated error 4.1 % (target only 19.6 %, gain 4.78); weights member:ard 0.90; 2 rows dropped"
    )


def test_a_source_that_misleads_is_told_and_not_used() -> None:
    rng = np.random.default_rng(3)
    target = dataset(np.exp(log_time(FRAME)), "target")
    helped = transfer(sources=[target], target=target.take(range(0, 144, 12)), property="time_s").verdict
    assert helped.decision == "helped"
    noise = dataset(noisy(rng.permutation(log_time(FRAME)), 1), "noise")
    verdict = transfer(sources=[noise], target=target.take(rng.permutation(144)[:30]), property="time_s").verdict
    assert verdict.decision in ("no help", "harmful, not used")


def test_noise_is_answered_by_the_mean_of_the_rows() -> None:
    rng = np.random.default_rng(4)
    pure = dataset(np.exp(rng.normal(0.0, 0.3, len(FRAME))), "target")
    source = dataset(np.exp(log_time(FRAME)), "source")
    model = transfer(sources=[source], target=pure.take(rng.permutation(144)[:30]), property="time_s")
    assert model.verdict.weights["member:mean"] > 0.5
    assert np.log(model.predict_median(FRAME)).std() < 0.15
