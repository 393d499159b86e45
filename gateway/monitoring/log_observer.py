"""Logs events in the guide's sentences, with their values as fields (shell)."""

from gateway.monitoring.unclear_log import UnclearLog
from gateway.placement import events
from shared import logs
from shared.messages import SAMPLE_RATE, Register, UnclearSpeech

log = logs.get("gateway")


class LogObserver:
    """Logs the events that an operator may look for; there is one canonical line for each session, when it closes."""

    def __init__(self) -> None:
        self._unclear = UnclearLog()

    def observe(self, event: events.Event) -> None:  # noqa: C901, PLR0912 - one case for each kind of event
        match event:
            case events.ConnectionAccepted(connection, accept_ms):
                log.info(
                    f"Connection {connection}: WebSocket accepted ({accept_ms:.0f}ms)",
                    event_id="websocket_accepted",
                    connection=connection,
                    accept_ms=round(accept_ms, 2),
                )
            case events.ConnectionRefused(connection, error):
                log.warning("connection refused", event_id="connection_refused", connection=connection, code=error.code)
            case events.ClientHinted(connection, code, sentence):
                log.warning(
                    f"Connection {connection}: {sentence}", event_id="client_hint", connection=connection, code=code
                )
            case events.NoSlotFree(connection):
                log.warning("No GPU resources available", event_id="no_gpu_resources", connection=connection)
            case events.SlotLeased():
                _slot_leased(event)
            case events.SlotReleased(connection, gpu_id, lease):
                log.info(
                    f"Released GPU {gpu_id} from connection {connection}",
                    event_id="gpu_released",
                    connection=connection,
                    gpu_id=gpu_id,
                    lease=lease,
                )
            case events.SessionReady():
                _session_ready(event)
            case events.MigrationStarted() | events.SessionMigrated() | events.StreamLost():
                _migration(event)
            case events.StepTaken(connection, _, hypothesis) if hypothesis.unclear:
                for stretch, left_out in self._unclear.to_log(connection, hypothesis.unclear, event.now):
                    _unclear_speech(connection, stretch, left_out)
            case events.SessionClosed(connection=connection):
                self._unclear.forget(connection)
                _session_closed(event)
            case events.WorkerRegistered(registration):
                _worker_registered(registration)
            case events.WorkerRefused(worker, reason):
                log.warning(reason, event_id="worker_refused", worker=worker)
            case events.WorkerLost():
                log.warning(
                    f"Worker {event.worker} is lost: {event.reason}",
                    event_id="worker_lost",
                    worker=event.worker,
                    gpu_id=event.gpu_id,
                    reason=event.reason,
                    sessions=len(event.leases),
                )


def _slot_leased(event: events.SlotLeased) -> None:
    log.info(
        f"Allocated GPU {event.gpu_id} to connection {event.connection}",
        event_id="gpu_allocated",
        connection=event.connection,
        gpu_id=event.gpu_id,
        lease=event.lease,
    )
    if event.allocate_ms is not None:
        log.info(
            f"Connection {event.connection}: GPU {event.gpu_id} allocated ({event.allocate_ms:.0f}ms)",
            event_id="allocation_timed",
            connection=event.connection,
            gpu_id=event.gpu_id,
            allocate_ms=round(event.allocate_ms, 2),
        )


def _session_ready(event: events.SessionReady) -> None:
    log.info(
        f"Connection {event.connection}: TranscriptionEngine loaded ({event.load_ms:.0f}ms)",
        event_id="engine_loaded",
        connection=event.connection,
        gpu_id=event.gpu_id,
        load_ms=round(event.load_ms, 2),
        worker_ms=round(event.worker_ms, 2),
        setup_ms=round(event.total_ms, 2),
    )


def _migration(event: events.MigrationStarted | events.SessionMigrated | events.StreamLost) -> None:
    connection = event.connection
    match event:
        case events.MigrationStarted(_, reason, from_gpu, gpu_id):
            log.info(
                f"Connection {connection}: moving from GPU {from_gpu} to GPU {gpu_id} ({reason})",
                event_id="session_moving",
                connection=connection,
                reason=reason,
                from_gpu=from_gpu,
                gpu_id=gpu_id,
            )
        case events.SessionMigrated(_, from_gpu_or_none, gpu_id_or_none, cause, gap_s):
            gap_ms = round(gap_s * 1000, 1)
            log.info(
                f"Connection {connection}: moved to GPU {gpu_id_or_none} ({gap_ms:.0f}ms)",
                event_id="session_moved",
                connection=connection,
                from_gpu=from_gpu_or_none,
                gpu_id=gpu_id_or_none,
                reason=cause,
                gap_ms=gap_ms,
            )
        case events.StreamLost(_, worker, cause, reason):
            log.warning(
                f"Connection {connection}: {worker} gave it up: {reason}",
                event_id="stream_lost" if cause != "stream_failed" else cause,
                connection=connection,
                worker=worker,
                cause=cause,
                reason=reason,
            )


def _unclear_speech(connection: str, stretch: UnclearSpeech, left_out: int) -> None:
    start_s, end_s = stretch.start / SAMPLE_RATE, stretch.end / SAMPLE_RATE
    log.warning(
        f"Connection {connection}: speech from {start_s:.1f} s to {end_s:.1f} s brought no word ({stretch.cause})",
        event_id="unclear_speech",
        connection=connection,
        start_s=round(start_s, 3),
        end_s=round(end_s, 3),
        cause=stretch.cause,
        left_out=left_out,
    )


def _session_closed(event: events.SessionClosed) -> None:
    accounting = event.accounting
    log.info(
        "session closed",
        event_id="session_closed",
        connection=event.connection,
        outcome=event.outcome,
        duration_s=round(event.duration_s, 3),
        audio_s=round(accounting.received / SAMPLE_RATE, 3),
        received=accounting.received,
        transcribed=accounting.transcribed,
        silence=accounting.silence,
        unclear=accounting.unclear,
        dropped=accounting.dropped,
        dropped_reason=accounting.reason,
        words=event.words,
        chunks=event.audio_messages,
        moves=event.migrations,
        gpu_id=event.gpu_id,
        close_code=event.close_code,
    )


def _worker_registered(registration: Register) -> None:
    log.info(
        f"Worker {registration.worker} serves {registration.slots} slots of {registration.model} "
        f"on {registration.device_name}",
        event_id="worker_registered",
        worker=registration.worker,
        gpu_id=registration.gpu_id,
        boot=registration.boot,
        device=registration.device,
        pid=registration.pid,
    )
