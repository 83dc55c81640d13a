"""Requests that an event loop awaits: first come, first served, woken by the workers' own connections."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING

from hetsim.core.errors import DeviceError
from hetsim.runtime.backends.protocol import Array
from hetsim.runtime.inference import Inference

if TYPE_CHECKING:
    from hetsim.runtime.session import Session

Answer = asyncio.Future[Inference]


class Awaiting:
    """The event loop's side of a session.

    Every request has a future. Whoever gives up waiting cancels it: a request that has no slot yet is forgotten, one
    that the devices know of is finished by them, and nobody is told.

    Args:
        session: Whose requests.
        look_s: How often to look for workers that are stuck, which wake nobody.
    """

    def __init__(self, session: Session, look_s: float) -> None:
        self._session = session
        self._look_s = look_s
        self._queued: OrderedDict[Answer, Mapping[str, Array]] = OrderedDict()  # those that wait for a slot
        self._requests: dict[Answer, int] = {}  # those that the devices know of
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._descriptors: tuple[int, ...] = ()

    async def infer(self, inputs: Mapping[str, Array]) -> Inference:
        """One inference; as :meth:`runtime.Session.infer`, which says more."""
        loop = asyncio.get_running_loop()
        self._watch(loop)
        answer: Answer = loop.create_future()
        self._queued[answer] = inputs
        try:
            self._submit()
            return await answer
        finally:
            self._queued.pop(answer, None)
            request = self._requests.pop(answer, None)
            if request is not None:  # it was given up
                self._session.cancel(request)
            if not self._queued and not self._requests:
                self._unwatch()

    def fail(self, error: DeviceError) -> None:
        """Let everyone know that nothing will come."""
        for answer in (*self._queued, *self._requests):
            if not answer.done() and not answer.get_loop().is_closed():
                answer.set_exception(error)

    def _submit(self) -> None:
        """Submit those that wait, as long as there are slots."""
        while self._queued and self._session.has_room:
            answer, inputs = self._queued.popitem(last=False)
            if answer.done():  # given up, though its task has not come to say so
                continue
            try:
                request = self._session.submit(inputs)
            except Exception as error:  # it is theirs, and not of whose word has woken us
                answer.set_exception(error)
            else:
                self._requests[answer] = request
                self._session.redirect(request, lambda inference, answer=answer: self._give(answer, inference))  # type: ignore[misc]

    def _give(self, answer: Answer, inference: Inference) -> None:
        self._requests.pop(answer, None)
        if not answer.done() and not answer.get_loop().is_closed():
            answer.set_result(inference)

    def _on_word(self) -> None:
        try:
            self._session.listen(0.0)
        except DeviceError as error:
            self.fail(error)
        else:
            self._submit()

    def _on_time(self) -> None:
        assert self._loop is not None
        self._timer = self._loop.call_later(self._look_s, self._on_time)
        try:
            self._session.look(0.0)
        except DeviceError as error:
            self.fail(error)
        else:
            self._submit()

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is loop:
            return
        self._unwatch()  # a loop that ended before its requests did
        self._queued.clear()
        for request in self._requests.values():
            self._session.cancel(request)
        self._requests.clear()
        self._loop, self._descriptors = loop, self._session.filenos
        for descriptor in self._descriptors:
            loop.add_reader(descriptor, self._on_word)
        self._timer = loop.call_later(self._look_s, self._on_time)

    def _unwatch(self) -> None:
        loop, self._loop = self._loop, None
        if loop is None or loop.is_closed():
            return
        if self._timer is not None:
            self._timer.cancel()
        for descriptor in self._descriptors:
            loop.remove_reader(descriptor)
