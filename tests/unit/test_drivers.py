"""The scripted driver does what its script says, and a script that says nothing is refused."""

import asyncio
import time

import pytest

from deploy_service.drivers import InstantDriver, RolloutFailed, ScriptedDriver
from tests.support.deploy_samples import deployment


async def seconds(driver: ScriptedDriver, number: int, age: float = 0) -> float:
    """How long a rollout takes that was asked for some seconds ago."""
    started = time.monotonic()
    await driver.roll_out(deployment(number=number), age)
    return time.monotonic() - started


@pytest.mark.parametrize(
    "script",
    ["", "okay", "ok,", "delay", "delay:", "delay:soon", "delay:-1", "delay:nan", "delay:inf", "delay:1e9", "ok:1"],
)
def test_a_script_with_a_step_that_is_none_is_refused_naming_it(script):
    step = script.rpartition(",")[2]

    with pytest.raises(ValueError, match="rollout_script") as refused:
        ScriptedDriver(script)

    assert repr(step) in str(refused.value)


async def test_the_instant_driver_waits_for_nothing():
    driver = InstantDriver()

    await driver.roll_out(deployment(), age=0)

    assert driver.immediate


async def test_each_deployment_of_an_app_follows_its_own_step_and_the_rest_the_last_one():
    driver = ScriptedDriver("ok, delay:0.1, fail")

    assert await seconds(driver, number=1) < 0.1
    assert await seconds(driver, number=2) >= 0.099
    for number in (3, 4, 99):
        with pytest.raises(RolloutFailed):
            await driver.roll_out(deployment(number=number), age=0)


async def test_a_delay_counts_from_when_the_deployment_was_asked_for():
    driver = ScriptedDriver("delay:30")

    assert await seconds(driver, number=1, age=31) < 1
    assert await seconds(driver, number=1, age=29.9) >= 0.099


async def test_a_rollout_that_hangs_ends_when_it_is_canceled():
    rollout = asyncio.create_task(ScriptedDriver("hang").roll_out(deployment(), age=0))
    await asyncio.sleep(0)

    rollout.cancel()

    with pytest.raises(asyncio.CancelledError):
        await rollout
