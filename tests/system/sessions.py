"""Several sessions that are sent the same scripted text, and what each of them must have at the end."""

import asyncio
import contextlib

from tests.scripted_recognizer import say
from tests.system.talk import Talk

VERSE = ["apple", "river", "stone", "cloud", "green", "window", "paper", "silver", "garden", "music"]


class Text:
    """Words with a pause in their midst, ``times`` over, as audio."""

    def __init__(self, times: int = 1) -> None:
        script = [*VERSE, 0.7, *reversed(VERSE)] * times
        speech = say(script)
        self.samples = len(speech.pcm)
        self.pcm = speech.pcm.tobytes()
        self.text = " ".join(word for word in script if isinstance(word, str))
        self.half = self.samples // 2 * 2

    async def finish(self, talks, limit_s=80):
        """End all sessions; each must have exactly these words, and balanced books with nothing dropped."""
        for talk in talks:
            await talk.finish()
        for talk in talks:
            self.check(talk, await talk.done(limit_s))

    def check(self, talk, books):
        """Assert that the session has exactly these words and this audio."""
        assert (books["received"], books["dropped"]) == (self.samples, 0)
        assert talk.text == self.text

    def send(self, talks):
        """Return a task that sends it to all of them in real time."""
        return asyncio.gather(*(talk.send(self.pcm, real_time=True) for talk in talks))


@contextlib.asynccontextmanager
async def open_sessions(server, count, modes=("events", "full")):
    """Give ``count`` sessions that are ready, opened one after the other, in these modes by turns."""
    async with contextlib.AsyncExitStack() as stack:
        talks = []
        for number in range(count):
            talk = await stack.enter_async_context(Talk(server, mode=modes[number % len(modes)]))
            talks.append(await talk.ready())
        yield talks


def moves_of(server, talks):
    """Return the recent moves of these sessions as the gateway tells them."""
    names = {talk.messages[0]["session"] for talk in talks}
    return [move for move in server.get("/performance")["recent_moves"] if move["connection"] in names]


@contextlib.asynccontextmanager
async def restarting_workers(server):
    """Start every worker that dies again, as supervisord would; give the list of their exit codes."""
    ends = []

    async def watch():
        while True:
            for number, worker in list(server.workers.items()):
                if worker.poll() is not None:
                    ends.append(worker.returncode)
                    server.start_worker(number)
            await asyncio.sleep(0.1)

    watching = asyncio.create_task(watch())
    try:
        yield ends
    finally:
        watching.cancel()
