"""What the gateway writes down: the guide's log sentences, each with its values as fields, and the counters."""

import time

from gateway.monitoring.reports import setup
from gateway.monitoring.statistics import Ended, Ending, Move, Statistics
from gateway.placement.workers import Grant, Lost
from gateway.sessions.client_session import Conversation
from gateway.sessions.commands import Moved
from shared import logs
from shared.errors import SessionError
from shared.messages import SAMPLE_RATE, Hypothesis, Register

log = logs.get("gateway")


class Records:
    """Log lines and statistics of sessions and workers."""

    def __init__(self, statistics: Statistics) -> None:
        self.statistics = statistics
        self._spoke: set[str] = set()  # sessions here that have text

    def accepted(self, connection: str, accept_ms: float) -> None:
        """A socket was accepted."""
        log.info(
            f"Connection {connection}: WebSocket accepted ({accept_ms:.0f}ms)",
            event_id="websocket_accepted",
            connection=connection,
            accept_ms=round(accept_ms, 2),
        )

    def refused(self, connection: str, error: SessionError) -> None:
        """A client was turned away before it had a session."""
        self.statistics.outcomes[error.code] += 1
        log.warning("connection refused", event_id="connection_refused", connection=connection, code=error.code)

    def allocated(self, conversation: Conversation, grant: Grant, *, first: bool) -> None:
        """A session got a lease; its first one is timed."""
        connection = conversation.session.id
        log.info(
            f"Allocated GPU {grant.gpu_id} to connection {connection}",
            event_id="gpu_allocated",
            connection=connection,
            gpu_id=grant.gpu_id,
            lease=grant.lease,
        )
        if not first or conversation.allocated is None:
            return
        took_ms = (conversation.allocated - conversation.arrived) * 1000 - conversation.accept_ms
        log.info(
            f"Connection {connection}: GPU {grant.gpu_id} allocated ({took_ms:.0f}ms)",
            event_id="allocation_timed",
            connection=connection,
            gpu_id=grant.gpu_id,
            allocate_ms=round(took_ms, 2),
        )

    def released(self, connection: str, gpu_id: int, lease: int) -> None:
        """A lease was given back or revoked."""
        log.info(
            f"Released GPU {gpu_id} from connection {connection}",
            event_id="gpu_released",
            connection=connection,
            gpu_id=gpu_id,
            lease=lease,
        )

    def no_slot(self, connection: str) -> None:
        """A session found every slot taken."""
        log.warning("No GPU resources available", event_id="no_gpu_resources", connection=connection)

    def ready(self, conversation: Conversation, load_ms: float, now: float) -> None:
        """A session became ready for the first time; ``load_ms`` is the worker's own figure."""
        session = conversation.session
        total_ms = (now - conversation.arrived) * 1000
        engine_ms = (now - (conversation.allocated or now)) * 1000
        allocate_ms = total_ms - engine_ms - conversation.accept_ms
        figures = setup(conversation.accept_ms, allocate_ms, engine_ms, total_ms)
        assert session.gpu_id is not None  # where it has just become ready
        self.statistics.ready(figures, session.gpu_id, now)
        log.info(
            f"Connection {session.id}: TranscriptionEngine loaded ({engine_ms:.0f}ms)",
            event_id="engine_loaded",
            connection=session.id,
            gpu_id=session.gpu_id,
            load_ms=round(engine_ms, 2),
            worker_ms=round(load_ms, 2),
            setup_ms=round(total_ms, 2),
        )

    def recognized(self, conversation: Conversation, step: Hypothesis, before: int, gpu_id: int, now: float) -> None:
        """A step brought text: how old is the audio it covers, and how old are the words it commits?

        Args:
            conversation: whose step it is; it has taken it already.
            step: the result.
            before: the position up to which the session was decoded until then.
            gpu_id: where it ran.
            now: when the result came.
        """
        arrivals, session = conversation.arrivals, conversation.session.id
        if step.decoded > before and (age_s := arrivals.age_s(step.decoded, now)) is not None:
            self.statistics.heard("audio_to_text_lag", gpu_id, age_s, now)
        if (step.words or step.tail.strip()) and session not in self._spoke:
            self._spoke.add(session)
            began = step.words[0].start if step.words else step.resume.window_start
            if (age_s := arrivals.age_s(began + 1, now)) is not None:
                self.statistics.heard("first_word", gpu_id, age_s, now)
        for word in step.words:
            if (age_s := arrivals.age_s(word.end, now)) is not None:
                self.statistics.heard("commit", gpu_id, age_s, now)

    def flushed(self, conversation: Conversation, gpu_id: int, now: float) -> None:
        """A session that was told the end of its audio has said everything."""
        if conversation.flush_asked is not None and conversation.session.outcome == "complete":
            self.statistics.heard("flush", gpu_id, now - conversation.flush_asked, now)

    def moved(self, conversation: Conversation, how: Moved) -> None:
        """A session goes on on another worker."""
        session, gap_ms = conversation.session, round(how.gap_s * 1000, 1)
        self.statistics.gap_s.of(how.cause).observe(how.gap_s)
        self.statistics.recent_moves.append(
            Move(session.id, how.from_gpu, session.gpu_id, how.cause, gap_ms, round(time.time(), 3))
        )
        log.info(
            f"Connection {session.id}: moved to GPU {session.gpu_id} ({gap_ms:.0f}ms)",
            event_id="session_moved",
            connection=session.id,
            from_gpu=how.from_gpu,
            gpu_id=session.gpu_id,
            reason=how.cause,
            gap_ms=gap_ms,
        )

    def closed(self, conversation: Conversation, now: float) -> None:
        """A session is over: its canonical line, and its books into the counters."""
        session, accounts = conversation.session, conversation.session.accounts
        self._spoke.discard(session.id)
        if accounts is None or session.outcome is None:
            return
        outcome = session.outcome
        duration_s = now - conversation.arrived
        self.statistics.ended(
            Ending(outcome, session.was_ready, duration_s, session.chunks, session.transcriptions, accounts)
        )
        self.statistics.recent_endings.append(Ended(session.id, outcome, round(time.time(), 3)))
        log.info(
            "session closed",
            event_id="session_closed",
            connection=session.id,
            outcome=outcome,
            duration_s=round(duration_s, 3),
            audio_s=round(accounts.received / SAMPLE_RATE, 3),
            received=accounts.received,
            transcribed=accounts.transcribed,
            silence=accounts.silence,
            dropped=accounts.dropped,
            dropped_reason=accounts.reason,
            words=session.transcript.words,
            chunks=session.chunks,
            moves=session.moves,
            gpu_id=session.gpu_id,
            close_code=session.error.close_code if session.error else 1000,
        )

    def stream_lost(self, connection: str, worker: str, cause: str, reason: str) -> None:
        """A worker that lives has given a session up: its stream failed, it was full, or it has forgotten it."""
        self.statistics.moves[cause] += 1
        log.warning(
            f"Connection {connection}: {worker} gave it up: {reason}",
            event_id="stream_lost" if cause != "stream_failed" else cause,
            connection=connection,
            worker=worker,
            cause=cause,
            reason=reason,
        )

    def worker_registered(self, facts: Register) -> None:
        """A worker serves."""
        log.info(
            f"Worker {facts.worker} serves {facts.slots} slots of {facts.model} on {facts.device_name}",
            event_id="worker_registered",
            worker=facts.worker,
            gpu_id=facts.gpu_id,
            boot=facts.boot,
            device=facts.device,
            pid=facts.pid,
        )

    def worker_refused(self, worker: str, reason: str) -> None:
        """A worker cannot serve here."""
        log.warning(reason, event_id="worker_refused", worker=worker)

    def worker_lost(self, lost: Lost) -> None:
        """A worker is gone, with its leases."""
        self.statistics.moves["worker_lost"] += len(lost.leases)
        log.warning(
            f"Worker {lost.worker} is lost: {lost.reason}",
            event_id="worker_lost",
            worker=lost.worker,
            gpu_id=lost.gpu_id,
            reason=lost.reason,
            sessions=len(lost.leases),
        )

    def handing_over(self, connection: str, reason: str, source: int, target: int) -> None:
        """A session is about to be moved on purpose."""
        self.statistics.moves[reason] += 1
        log.info(
            f"Connection {connection}: moving from GPU {source} to GPU {target} ({reason})",
            event_id="session_moving",
            connection=connection,
            reason=reason,
            from_gpu=source,
            gpu_id=target,
        )
