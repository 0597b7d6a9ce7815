"""When a provider is left alone, for how long, and how it comes back. Time is a number that the test moves."""

import pytest

from aag_ray.config import BreakerSection
from aag_ray.web.search.answer import SearchAnswer, SearchOutcome
from aag_ray.web.search.breaker import Breaker, Health

SECTION = BreakerSection(failures=3, rest_seconds=10, quota_seconds=100, max_rest_seconds=50_000)
SICK = [
    SearchOutcome.TIMEOUT,
    SearchOutcome.UNREACHABLE,
    SearchOutcome.SERVER_ERROR,
    SearchOutcome.MALFORMED,
    SearchOutcome.TOO_LARGE,
    SearchOutcome.REDIRECTED,
    SearchOutcome.ENGINES_DOWN,
]


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(SECTION, clock)


def hear(breaker: Breaker, outcome: SearchOutcome, retry_after: float | None = None) -> None:
    assert breaker.admit() == ""
    breaker.heard(SearchAnswer(outcome, retry_after=retry_after))


@pytest.mark.parametrize("outcome", SICK)
def test_it_opens_after_enough_failures_in_a_row(breaker, outcome):
    for _ in range(3):
        assert breaker.health is Health.CLOSED
        hear(breaker, outcome)
    assert breaker.health is Health.OPEN
    assert breaker.admit() == f"rests for another 10 s after {outcome}"


@pytest.mark.parametrize("outcome", [SearchOutcome.OK, SearchOutcome.EMPTY])
def test_an_answer_ends_the_row(breaker, outcome):
    for _ in range(10):
        hear(breaker, SearchOutcome.TIMEOUT)
        hear(breaker, SearchOutcome.TIMEOUT)
        hear(breaker, outcome)
    assert breaker.health is Health.CLOSED


@pytest.mark.parametrize("outcome", [SearchOutcome.NOT_CONFIGURED, SearchOutcome.REQUEST_REFUSED, SearchOutcome.FAILED])
def test_what_is_not_its_fault_does_not_count_either_way(breaker, outcome):
    hear(breaker, SearchOutcome.TIMEOUT)
    hear(breaker, SearchOutcome.TIMEOUT)
    for _ in range(5):
        hear(breaker, outcome)
    assert breaker.health is Health.CLOSED
    hear(breaker, SearchOutcome.TIMEOUT)
    assert breaker.health is Health.OPEN


@pytest.mark.parametrize("outcome", [SearchOutcome.QUOTA_SPENT, SearchOutcome.AUTH_REFUSED])
@pytest.mark.parametrize(("after", "seconds"), [(None, 100), (7.0, 7), (0.0, 1), (1e9, 50_000)])
def test_what_asking_again_does_not_mend_rests_at_once(breaker, clock, outcome, after, seconds):
    hear(breaker, outcome, after)
    clock.now += seconds - 0.01
    assert breaker.health is Health.OPEN
    clock.now += 0.02
    assert breaker.health is Health.HALF_OPEN


def test_a_time_to_come_back_is_kept_whatever_the_failure(breaker, clock):
    hear(breaker, SearchOutcome.SERVER_ERROR, 20.0)
    clock.now += 19
    assert breaker.health is Health.OPEN
    clock.now += 2
    assert breaker.health is Health.HALF_OPEN


def test_half_open_lets_one_through(breaker, clock):
    hear(breaker, SearchOutcome.QUOTA_SPENT)
    clock.now += 101
    assert breaker.admit() == ""
    assert breaker.admit() == "is being tried again after quota_spent"
    breaker.heard(SearchAnswer(SearchOutcome.OK))
    assert breaker.health is Health.CLOSED
    assert breaker.admit() == ""


def test_a_trial_that_was_given_up_makes_room_for_another(breaker, clock):
    hear(breaker, SearchOutcome.QUOTA_SPENT)
    clock.now += 101
    assert breaker.admit() == ""
    breaker.released()
    assert breaker.admit() == ""


def test_each_failed_trial_doubles_the_rest_and_an_answer_forgets_it(breaker, clock):
    for _ in range(3):
        hear(breaker, SearchOutcome.TIMEOUT)
    for rest in (10, 20, 40, 80):
        clock.now += rest - 0.1
        assert breaker.health is Health.OPEN
        clock.now += 0.2
        hear(breaker, SearchOutcome.TIMEOUT)
    clock.now += 1000
    hear(breaker, SearchOutcome.OK)
    for _ in range(3):
        hear(breaker, SearchOutcome.TIMEOUT)
    clock.now += 10.1
    assert breaker.health is Health.HALF_OPEN


def test_searches_under_way_when_it_opened_do_not_lengthen_the_rest(breaker, clock):
    for _ in range(20):
        assert breaker.admit() == ""
    for _ in range(20):
        breaker.heard(SearchAnswer(SearchOutcome.UNREACHABLE))
    clock.now += 10.1
    assert breaker.health is Health.HALF_OPEN


def test_no_rest_is_endless(clock):
    breaker = Breaker(BreakerSection(failures=1, rest_seconds=10, max_rest_seconds=60), clock)
    for _ in range(50):
        hear(breaker, SearchOutcome.TIMEOUT)
        clock.now += 60.1
        assert breaker.health is Health.HALF_OPEN
