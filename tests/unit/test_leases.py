"""A lease lapses by one machine's monotonic clock, never because a clock was set."""

from datetime import UTC, datetime, timedelta

import pytest

from deploy_service.leases import Lease, LeaseWatch
from service_kit.ids import new_id

SECONDS = 4.0
ID = new_id()
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def lease(renewals: int = 0, *, is_over: bool = True) -> Lease:
    return Lease(ID, NOW + timedelta(seconds=renewals), is_over)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(clock: Clock) -> LeaseWatch:
    return LeaseWatch(SECONDS, clock)


def test_a_lease_that_is_over_lapses_after_half_its_length_without_renewal(clock: Clock, watch: LeaseWatch):
    seen = []
    for clock.now in (1000.0, 1001.9, 1002.0):
        seen.append(watch.lapsed([lease()]))

    assert seen == [[], [], [lease()]]


def test_a_renewed_lease_does_not_lapse_even_if_it_is_over_by_the_databases_clock(clock: Clock, watch: LeaseWatch):
    seen = []
    for second in range(100):
        clock.now = 1000.0 + second
        seen += watch.lapsed([lease(second)])

    assert seen == []


def test_a_lease_that_is_not_over_by_the_databases_clock_lapses_after_its_length_without_renewal(
    clock: Clock, watch: LeaseWatch
):
    seen = []
    for clock.now in (1000.0, 1003.9, 1004.0):
        seen.append(watch.lapsed([lease(is_over=False)]))

    assert seen == [[], [], [lease(is_over=False)]]


def test_time_without_the_database_does_not_count_for_a_lease(clock: Clock, watch: LeaseWatch):
    watch.lapsed([lease()])
    clock.now += 3600
    watch.forget()

    back = watch.lapsed([lease()])
    clock.now += 1.9
    later = watch.lapsed([lease()])

    assert (back, later) == ([], [])


def test_a_lease_that_disappeared_counts_from_its_return(clock: Clock, watch: LeaseWatch):
    watch.lapsed([lease()])
    clock.now += 1.9
    watch.lapsed([])
    clock.now += 1.9

    assert watch.lapsed([lease()]) == []
