import numpy as np
from tests.unit.transfer.samples import FRAME, dataset, log_time, noisy

from perfport.transfer.api import transfer
from perfport.transfer.verdict import Verdict, is_usual_harm, judged


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


def test_one_row_that_is_far_off_is_no_reason_to_give_sources_up() -> None:
    usual = np.full(20, 5.0)
    with_sources, alone = usual.copy(), usual.copy()
    with_sources[7] = 500.0
    assert judged(float(with_sources.mean()), float(alone.mean())).decision == "harmful"
    assert not is_usual_harm(with_sources, alone)
    assert is_usual_harm(3.0 * usual, alone)


def test_noise_is_answered_by_the_mean_of_the_rows() -> None:
    rng = np.random.default_rng(4)
    pure = dataset(np.exp(rng.normal(0.0, 0.3, len(FRAME))), "target")
    source = dataset(np.exp(log_time(FRAME)), "source")
    model = transfer(sources=[source], target=pure.take(rng.permutation(144)[:30]), property="time_s")
    assert model.verdict.weights["member:mean"] > 0.5
    assert np.log(model.predict_median(FRAME)).std() < 0.15
