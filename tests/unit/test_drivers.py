"""The scripted driver follows its script, and an invalid script is refused."""

import asyncio
import time

import pytest

from deploy_service.drivers import InstantDriver, RolloutFailed, ScriptedDriver
from tests.support.deploy_samples import deployment


async def seconds(driver: ScriptedDriver, number: int, age: float = 0) -> float:
    """Seconds of a rollout that was requested `age` seconds ago."""
    started = time.monotonic()
    await driver.roll_out(deployment(number=number), age)
    return time.monotonic() - started


@pytest.mark.parametrize(
    "script",
    ["", "okay", "ok,", "delay", "delay:", "delay:soon", "delay:-1", "delay:nan", "delay:inf", "delay:1e9", "ok:1"],
)
def test_a_driver_script_with_an_invalid_step_is_refused_and_the_step_named(script):
    step = script.rpartition(",")[2]

    with pytest.raises(ValueError, match="rollout_script") as refused:
        ScriptedDriver(script)

    assert repr(step) in str(refused.value)


async def test_the_instant_driver_does_not_wait():
    driver = InstantDriver()

    await driver.roll_out(deployment(), age=0)

    assert driver.immediate


async def test_each_deployment_of_an_app_follows_its_step_of_the_script_and_later_ones_the_last_step():
    driver = ScriptedDriver("ok, delay:0.1, fail")

    assert await seconds(driver, number=1) < 0.1
    assert await seconds(driver, number=2) >= 0.099
    for number in (3, 4, 99):
        with pytest.raises(RolloutFailed):
            await driver.roll_out(deployment(number=number), age=0)


async def test_the_delay_of_a_scripted_rollout_counts_from_the_request():
    driver = ScriptedDriver("delay:30")

    assert await seconds(driver, number=1, age=31) < 1
    assert await seconds(driver, number=1, age=29.9) >= 0.099


async def test_a_hanging_scripted_rollout_ends_when_it_is_canceled():
    rollout = asyncio.create_task(ScriptedDriver("hang").roll_out(deployment(), age=0))
    await asyncio.sleep(0)

    rollout.cancel()

    with pytest.raises(asyncio.CancelledError):
        await rollout
