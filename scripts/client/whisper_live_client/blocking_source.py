"""Run a blocking audio source on a thread and hand its blocks to asyncio, a bounded number ahead."""

import asyncio
import threading
from collections.abc import Iterable
from typing import Self


class BlockingSource:
    """An async iterator over the blocks of a source that may block without end (a pipe, a microphone).

    The thread is a daemon: no read that never returns can keep the program from ending.
    """

    def __init__(self, blocks: Iterable[bytes], *, ahead: int, live: bool) -> None:
        """Start reading at most ``ahead`` blocks before they are asked for; must be called in a running loop.

        What the source raises comes out of the iteration. A ``live`` one goes on by itself, like a microphone: what
        comes while the queue is full is lost, and counted; `stop` still yields what was read, because it was spoken.
        """
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()
        self._capacity = threading.Semaphore(ahead)
        self._live = live
        self._stopped = threading.Event()
        self.lost_bytes = 0
        self.thread = threading.Thread(target=self._read, args=(blocks,), name="audio source", daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """End the iteration, without waiting for the source."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        if not self._live:
            while not self._queue.empty():
                self._queue.get_nowait()
        self._queue.put_nowait(None)
        self._capacity.release()  # the thread may be waiting for capacity: let it see that it is over

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        item = await self._queue.get()
        self._capacity.release()
        if isinstance(item, bytes):
            return item
        self._stopped.set()
        if item is None:
            raise StopAsyncIteration
        raise item

    def _read(self, blocks: Iterable[bytes]) -> None:
        last: BaseException | None = None
        try:
            for block in blocks:
                taken = self._capacity.acquire(blocking=not self._live)
                if self._stopped.is_set():
                    return
                if not taken:
                    self.lost_bytes += len(block)
                elif not self._put(block):
                    return
        except BaseException as error:  # noqa: BLE001 - re-raised where the blocks are consumed
            last = error
        self._put(last)

    def _put(self, item: bytes | BaseException | None) -> bool:
        try:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, item)
        except RuntimeError:  # the loop has ended, and with it what wanted the blocks
            return False
        return True
