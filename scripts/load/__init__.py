"""The load test: real-time sessions against a running server, measured as its users feel them.

Speaks `/asr` through the client package, and reads `/health` and `/gpu-status`.

::

    session    core   what one session came to
    summary    core   what all sessions of one load came to
    bounds     core   --require: figures against bounds
    chart      core   the figures of several loads as an SVG
    processes  door   psutil: the CPU time of the server's processes
    sampling   shell  lag, CPU and load average, each second
    results    shell  options and everything measured; the JSON file
    table      door   rich: the figures side by side
    run        shell  one load after another, and the exit code
    cli        shell  the options
"""
