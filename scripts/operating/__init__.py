"""What operators do to a running server on its own machine, by public interfaces alone.

::

    status       core   the bodies of /gpu-status and /performance as frozen dataclasses
    restart      core   whether a worker may be restarted, and what became of its sessions
    monitoring   shell  asks the gateway over HTTP
    control      shell  asks supervisord over its unix socket
    rolling      shell  restarts workers one after the other and tells what it sees
    cli          shell  the options of scripts/restart_gpu_worker in, exit code out
    overview     core   everything that scripts/status shows, as frozen dataclasses
    screen       core   the same as one terminal screen
    status_cli   shell  the options of scripts/status in, exit code out
"""
