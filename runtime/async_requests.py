"""Requests that an event loop awaits: served in order of arrival, woken by the workers' own connections."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Protocol

from hetsim.core.errors import DeviceError
from hetsim.runtime.backends.protocol import Array
from hetsim.runtime.inference import Inference

Answer = asyncio.Future[Inference]


class Requests(Protocol):
    """What is asked of a session; :class:`hetsim.runtime.Session` says more of each."""

    @property
    def has_room(self) -> bool:
        """Whether another request may be submitted now."""
        ...

    @property
    def filenos(self) -> tuple[int, ...]:
        """Descriptors that become readable when there is a message to receive."""
        ...

    def submit(self, inputs: Mapping[str, Array], *, serial: bool = False) -> int:
        """Start a request and return its number."""
        ...

    def deliver_to(self, request: int, receiver: Callable[[Inference], object] | None) -> None:
        """Give a pending request's result to a function; None drops it."""
        ...

    def cancel(self, request: int) -> None:
        """Drop the result of a request."""
        ...

    def receive(self, timeout_s: float) -> bool:
        """Take in the workers' messages."""
        ...

    def poll(self, timeout_s: float) -> None:
        """Take in the workers' messages; check the devices if there is none."""
        ...


class AsyncRequests:
    """The event loop's side of a session.

    Every request has a future. A caller who gives up waiting cancels it. A cancelled request that has no slot yet is
    dropped; one that the devices know of is finished by them, and its result is dropped.

    Args:
        session: Where the requests go.
        check_interval_s: How often to check for workers that are stuck, as those send no message.
    """

    def __init__(self, session: Requests, check_interval_s: float) -> None:
        self._session = session
        self._check_interval_s = check_interval_s
        self._queued: OrderedDict[Answer, Mapping[str, Array]] = OrderedDict()  # those that wait for a slot
        self._submitted: dict[Answer, int] = {}  # those that the devices know of
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._descriptors: tuple[int, ...] = ()

    async def infer(self, inputs: Mapping[str, Array]) -> Inference:
        """One inference; see :meth:`hetsim.runtime.Session.infer`."""
        loop = asyncio.get_running_loop()
        self._attach(loop)
        answer: Answer = loop.create_future()
        self._queued[answer] = inputs
        try:
            self._submit_queued()
            return await answer
        finally:
            self._queued.pop(answer, None)
            request = self._submitted.pop(answer, None)
            if request is not None:  # cancelled
                self._session.cancel(request)
            if not self._queued and not self._submitted:
                self._detach()

    def fail(self, error: DeviceError) -> None:
        """Raise the error from all calls of :meth:`infer` that wait."""
        for answer in (*self._queued, *self._submitted):
            if not answer.done() and not answer.get_loop().is_closed():
                answer.set_exception(error)

    def _submit_queued(self) -> None:
        """Submit queued requests as long as there are slots."""
        while self._queued and self._session.has_room:
            answer, inputs = self._queued.popitem(last=False)
            if answer.done():  # cancelled, and its task has not run since
                continue
            try:
                request = self._session.submit(inputs)
            except Exception as error:  # for the caller of this request, not for the one whose message is handled
                answer.set_exception(error)
            else:
                self._submitted[answer] = request
                self._session.deliver_to(request, lambda inference, answer=answer: self._finish(answer, inference))  # type: ignore[misc]

    def _finish(self, answer: Answer, inference: Inference) -> None:
        self._submitted.pop(answer, None)
        if not answer.done() and not answer.get_loop().is_closed():
            answer.set_result(inference)

    def _on_message(self) -> None:
        try:
            self._session.receive(0.0)
        except DeviceError as error:
            self.fail(error)
        else:
            self._submit_queued()

    def _on_timer(self) -> None:
        assert self._loop is not None
        self._timer = self._loop.call_later(self._check_interval_s, self._on_timer)
        try:
            self._session.poll(0.0)
        except DeviceError as error:
            self.fail(error)
        else:
            self._submit_queued()

    def _attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Be called by the loop when there is a message, and at intervals."""
        if self._loop is loop:
            return
        self._detach()  # from a loop that ended before its requests did
        self._queued.clear()
        for request in self._submitted.values():
            self._session.cancel(request)
        self._submitted.clear()
        self._loop, self._descriptors = loop, self._session.filenos
        for descriptor in self._descriptors:
            loop.add_reader(descriptor, self._on_message)
        self._timer = loop.call_later(self._check_interval_s, self._on_timer)

    def _detach(self) -> None:
        loop, self._loop = self._loop, None
        if loop is None or loop.is_closed():
            return
        if self._timer is not None:
            self._timer.cancel()
        for descriptor in self._descriptors:
            loop.remove_reader(descriptor)
