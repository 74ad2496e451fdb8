import numpy as np
from tests.unit.transfer.samples import FRAME, dataset, log_time, noisy

from perfport.transfer.api import transfer
from perfport.transfer.verdict import Verdict, judged


def test_a_clear_gain_is_help_and_less_is_not() -> None:
    alone = np.full(8, 10.0)
    assert judged(np.full(8, 5.0), alone).decision == "helped"
    assert judged(np.full(8, 5.0), alone).gain == 2.0
    assert judged(np.full(8, 9.5), alone).decision == "no help"


def test_one_row_says_nothing() -> None:
    verdict = judged(np.array([5.0]), np.array([10.0]))
    assert (verdict.decision, verdict.estimated_error_pct, verdict.gain) == ("no help", None, None)


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


def test_a_source_whose_harm_is_plain_is_given_up() -> None:
    rng = np.random.default_rng(13)
    target = dataset(np.exp(log_time(FRAME)), "target")
    noise = dataset(noisy(rng.permutation(log_time(FRAME)), 1), "noise")
    rows = target.take(rng.permutation(144)[: int(rng.integers(8, 20))])
    model = transfer(sources=[noise], target=rows, property="time_s")
    assert model.verdict.decision == "harmful, not used"
    assert model.verdict.weights["source:noise"] == 0.0
    alone = transfer(sources=[], target=rows, property="time_s")
    # Options are still encoded as in the source.
    np.testing.assert_allclose(model.predict(FRAME), alone.predict(FRAME), rtol=0.01)


def test_one_row_that_is_far_off_does_not_make_a_source_harmful() -> None:
    alone = np.full(20, 5.0)
    one_far_off = alone.copy()
    one_far_off[7] = 500.0
    verdict = judged(one_far_off, alone)
    assert verdict.decision == "no help"
    assert verdict.gain is not None and verdict.gain < 0.2
    assert judged(3.0 * alone, alone).decision == "harmful"


def test_noise_is_answered_by_the_mean_of_the_rows() -> None:
    rng = np.random.default_rng(4)
    pure = dataset(np.exp(rng.normal(0.0, 0.3, len(FRAME))), "target")
    source = dataset(np.exp(log_time(FRAME)), "source")
    model = transfer(sources=[source], target=pure.take(rng.permutation(144)[:30]), property="time_s")
    assert model.verdict.weights["member:mean"] > 0.5
    assert np.log(model.predict_median(FRAME)).std() < 0.15
