"""What the results of health checks amount to."""

from hypothesis import given
from hypothesis import strategies as st

from portside.domain.task.health import FIRST_S, Probes, next_check_s, with_result
from portside.domain.task.record import HealthStatus
from portside.domain.task_definition import HealthCheck

CHECK = HealthCheck(command=("CMD", "true"), interval_s=10, retries=2, start_period_s=30)


def after(*results: tuple[float, bool], check: HealthCheck = CHECK) -> HealthStatus:
    probes = Probes()
    for running_s, passed in results:
        probes = with_result(probes, check, passed=passed, running_s=running_s)
    return probes.status


def test_one_success_is_health() -> None:
    """A container is healthy from its first success on, also within the start period."""
    assert after((0.25, True)) == after((12, False), (22, True)) == HealthStatus.HEALTHY


def test_failures_of_the_start_period_do_not_count() -> None:
    """Only failures after the start period count, `retries` of them in a row."""
    assert after((10, False), (20, False), (29, False), (40, False)) == HealthStatus.UNKNOWN
    assert after((10, False), (20, False), (29, False), (40, False), (50, False)) == HealthStatus.UNHEALTHY
    assert after((40, False), (50, True), (60, False)) == HealthStatus.HEALTHY


def test_a_start_period_ends_with_health() -> None:
    """Once healthy, failures count within the start period, too."""
    assert after((10, True), (20, False), (29, False)) == HealthStatus.UNHEALTHY


def test_early_failures_never_count() -> None:
    """Checks before the first interval are an addition of Portside's: they can only bring good news."""
    check = HealthCheck(command=("CMD", "true"), interval_s=30, retries=1)
    assert after((0.25, False), (0.75, False), (29.9, False), check=check) == HealthStatus.UNKNOWN
    assert after((0.25, False), (30, False), check=check) == HealthStatus.UNHEALTHY


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans())), st.integers(1, 4))
def test_unhealthy_takes_failures_in_a_row(results: list[tuple[float, bool]], retries: int) -> None:
    """However the checks go, UNHEALTHY follows only from `retries` failures without a success between them."""
    check = HealthCheck(command=("CMD", "true"), interval_s=5, retries=retries)
    if after(*results, check=check) is HealthStatus.UNHEALTHY:
        assert not any(passed for _, passed in results[-retries:])
    if results and results[-1][1]:
        assert after(*results, check=check) is HealthStatus.HEALTHY


def test_the_first_check_that_counts_comes_when_the_interval_is_over() -> None:
    """Whatever the interval, there are a few early checks, then one right at its end, then one each interval."""
    for interval_s in (1, 5, 10, 30, 300):
        check = HealthCheck(command=("CMD", "true"), interval_s=interval_s, retries=2)
        at, times = 0.0, list[float]()
        while len(times) < 14:
            at += next_check_s(Probes(), check, checks=len(times), running_s=at)
            times.append(at)
        assert times[0] == min(FIRST_S, interval_s)
        assert {interval_s, 2 * interval_s} <= set(times)
        assert len([each for each in times if each < interval_s]) < 12
    healthy = Probes(status=HealthStatus.HEALTHY)
    assert next_check_s(healthy, CHECK, checks=1, running_s=0.3) == CHECK.interval_s
    assert next_check_s(Probes(), CHECK, checks=0, running_s=500.0) == 0
