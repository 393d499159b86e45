"""The operator guide's tests, checks and criteria, made with real sessions on a running server.

Speaks `/asr` through `whisper_live_client`, and reads `/gpu-status`, `/health` and `/performance`.

::

    look       core   the bodies of the server's endpoints at one moment
    plan       core   what this server ought to do: how many sessions, and where
    evidence   core   everything that was seen: looks and visits
    rows       core   one line of the result: expected, measured, verdict
    placing    core   the lines about places, capacity and health
    figures    core   the lines about setup times, memory and whole sessions
    judging    core   all lines, from the evidence so far
    results    core   JSON with everything
    survey     shell  asks the endpoints, and notices other people's sessions
    guest      shell  one real session: comes, speaks, goes
    stage      shell  the guests who are there, and an eye on the server
    story      shell  the visits in their order, and an end that leaves nothing behind
    view       door   rich: live while it runs, the table at the end
    run        shell  signals, exit code
    cli        shell  the options
"""
