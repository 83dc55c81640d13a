"""Requests cancelled at any moment: slots come back, each answer reaches its caller, and no caller waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

import numpy as np
import pytest

from hetsim.core.errors import DeviceError, ModelError
from hetsim.models.model import random_inputs
from hetsim.models.reference import evaluate
from hetsim.runtime import Runtime, Session
from tests.support.models import fake_platform, fork_join, make_plan

AnyT = TypeVar("AnyT")
MODEL = fork_join()
PLAN = make_plan(MODEL, cpu=["stem", "left", "join"], npu=["right right2"])
INPUTS = [random_inputs(MODEL, seed=seed) for seed in range(4)]
RIGHT = [evaluate(MODEL.proto, inputs)["y"] for inputs in INPUTS]


async def expect(session: Session, number: int) -> None:
    assert np.allclose((await session.infer(INPUTS[number])).outputs["y"], RIGHT[number], atol=1e-6)


async def passes(count: int) -> None:
    """Let the event loop go round so often."""
    for _ in range(count):
        await asyncio.sleep(0)


async def within(coroutine: Coroutine[object, object, AnyT]) -> AnyT:
    """What would hang fails."""
    return await asyncio.wait_for(coroutine, 20)


def test_a_request_given_up_at_any_moment_frees_its_slot(runtime: Runtime) -> None:
    async def ask(session: Session) -> None:
        for count in range(30):  # before it is submitted, on the way, finished
            given_up = asyncio.ensure_future(session.infer(INPUTS[0]))
            await passes(count)
            given_up.cancel()
            await expect(session, 1 + count % 3)
            assert given_up.cancelled() or np.allclose(given_up.result().outputs["y"], RIGHT[0], atol=1e-6)
        assert session.num_in_flight == 0
        assert session.collect(0.0) == ()

    with runtime.load(MODEL, PLAN) as session:
        asyncio.run(within(ask(session)))


def test_a_request_that_waits_for_a_slot_never_gets_one_once_given_up(runtime: Runtime) -> None:
    async def ask(session: Session) -> int:
        tasks = [asyncio.ensure_future(session.infer(INPUTS[number])) for number in range(4)]
        await passes(2)
        assert session.num_in_flight == 1
        for task in tasks[1:3]:
            task.cancel()
        await tasks[3]
        return session._num_submitted

    with runtime.load(MODEL, PLAN) as session:
        assert asyncio.run(within(ask(session))) == 2


def test_a_submitted_request_can_be_cancelled_and_run_waits_for_its_slot(runtime: Runtime) -> None:
    with runtime.load(MODEL, PLAN) as session:
        session.cancel(session.submit(INPUTS[0]))
        assert np.allclose(session.run(INPUTS[1]).outputs["y"], RIGHT[1], atol=1e-6)
        request = session.submit(INPUTS[2])
        while session.num_in_flight:
            session.poll(0.05)
        session.cancel(request)  # it has finished
        assert session.collect(0.0) == ()


def test_what_is_given_up_is_finished_also_when_another_session_comes_between(runtime: Runtime) -> None:
    async def give_up(session: Session) -> None:
        task = asyncio.ensure_future(session.infer(INPUTS[0]))
        await passes(1)
        task.cancel()

    with runtime.load(MODEL, PLAN) as first, runtime.load(MODEL, PLAN) as second:
        asyncio.run(give_up(first))
        assert first.num_in_flight == 1
        assert np.allclose(second.run(INPUTS[1]).outputs["y"], RIGHT[1], atol=1e-6)
        assert first.num_in_flight == 0
        assert np.allclose(first.run(INPUTS[2]).outputs["y"], RIGHT[2], atol=1e-6)


def test_two_sessions_are_awaited_side_by_side(runtime: Runtime) -> None:
    async def ask(*sessions: Session) -> None:
        await asyncio.gather(*(expect(session, number) for number in range(4) for session in sessions))

    with runtime.load(MODEL, PLAN, num_slots=2) as first, runtime.load(MODEL, PLAN) as second:
        asyncio.run(within(ask(first, second)))


def test_a_device_that_hangs_in_a_request_given_up_is_found_out() -> None:
    async def ask(session: Session) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(session.infer(INPUTS[0]), 0.05)
        with pytest.raises(DeviceError, match=r"'cpu' has not finished segment 'stem' of 1 within 0.3 s"):
            await session.infer(INPUTS[1])

    with Runtime(fake_platform(op_s="30"), stall_s=0.3) as own, own.load(MODEL, PLAN) as session:
        asyncio.run(within(ask(session)))


def test_all_who_await_hear_of_a_failure() -> None:
    async def ask(session: Session) -> list[object]:
        return await asyncio.gather(*(session.infer(INPUTS[0]) for _ in range(4)), return_exceptions=True)

    with Runtime(fake_platform(fail="right2")) as own, own.load(MODEL, PLAN, num_slots=2) as session:
        for error in asyncio.run(ask(session)):
            assert isinstance(error, DeviceError)
            assert "told to fail" in str(error)
        with pytest.raises(DeviceError, match="failed earlier"):
            asyncio.run(session.infer(INPUTS[0]))  # type: ignore[arg-type]


def test_a_mistake_is_told_to_who_made_it(runtime: Runtime) -> None:
    async def ask(session: Session) -> None:
        right = asyncio.ensure_future(expect(session, 0))
        wrong = asyncio.ensure_future(session.infer({}))
        also_right = asyncio.ensure_future(expect(session, 1))
        with pytest.raises(ModelError, match="inputs are x; got none"):
            await wrong
        await asyncio.gather(right, also_right)

    with runtime.load(MODEL, PLAN) as session:
        asyncio.run(within(ask(session)))


def test_closing_is_heard_by_those_who_await(runtime: Runtime) -> None:
    async def ask(session: Session) -> None:
        tasks = [asyncio.ensure_future(session.infer(INPUTS[0])) for _ in range(3)]
        await passes(1)
        session.close()
        with pytest.raises(DeviceError, match="the session is closed"):
            await tasks[2]
        await asyncio.gather(*tasks[:2], return_exceptions=True)

    with runtime.load(MODEL, PLAN) as session:
        asyncio.run(within(ask(session)))


def test_a_loop_that_ended_too_early_leaves_nothing_to_the_next(runtime: Runtime) -> None:
    with runtime.load(MODEL, PLAN) as session:
        loop = asyncio.new_event_loop()
        tasks = [loop.create_task(session.infer(INPUTS[0])) for _ in range(2)]
        loop.run_until_complete(passes(1))
        for task in tasks:
            task._log_destroy_pending = False  # that they were left is what is tested
        loop.close()
        asyncio.run(within(expect(session, 1)))
        assert session.num_in_flight == 0
