"""Run a blocking audio source on a thread and hand its blocks to asyncio, a bounded number ahead (shell)."""

import asyncio
import threading
from collections.abc import Iterable
from typing import Self


class Feed:
    """An async iterator over the blocks of a source that may block for ever (a pipe, a microphone).

    The thread is a daemon: no read that never returns can keep the program from ending.
    """

    def __init__(self, blocks: Iterable[bytes], *, ahead: int, keep_queued: bool) -> None:
        """Start reading; must be called in a running loop.

        Args:
            blocks: the source; what it raises comes out of the iteration.
            ahead: how many blocks may be read before they are asked for.
            keep_queued: whether `stop` still yields the blocks that were read (a microphone's: they were spoken).
        """
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()
        self._room = threading.Semaphore(ahead)
        self._keep_queued = keep_queued
        self._stopped = threading.Event()
        self.thread = threading.Thread(target=self._pump, args=(blocks,), name="audio source", daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """End the iteration, without waiting for the source."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        if not self._keep_queued:
            while not self._queue.empty():
                self._queue.get_nowait()
        self._queue.put_nowait(None)
        self._room.release()  # the thread may be waiting for room: let it see that it is over

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        item = await self._queue.get()
        self._room.release()
        if isinstance(item, bytes):
            return item
        self._stopped.set()
        if item is None:
            raise StopAsyncIteration
        raise item

    def _pump(self, blocks: Iterable[bytes]) -> None:
        last: BaseException | None = None
        try:
            for block in blocks:
                self._room.acquire()
                if self._stopped.is_set() or not self._put(block):
                    return
        except BaseException as error:  # noqa: BLE001 - re-raised where the blocks are consumed
            last = error
        self._put(last)

    def _put(self, item: bytes | BaseException | None) -> bool:
        try:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, item)
        except RuntimeError:  # the loop has ended, and with it whoever wanted the blocks
            return False
        return True
