"""Fault injection: real speech in real time, while workers are killed, hung and drained and connections cut, at random.

Speaks `/asr` through the client package, and watches the server through its endpoints and its supervisord.

::

    schedule    core   which faults come when, from a seed
    comparison  core   words lost, doubled and wrong against undisturbed runs
    verdict     core   everything that was seen, and whether the goals are met
    proxy       shell  a TCP proxy whose connections can be cut
    server      shell  a server of our own under supervisord, in a directory of its own
    injector    shell  injects the faults and notes what they did
    report      door   rich: the figures
    run         shell  two undisturbed runs, then the disturbed one
    cli         shell  options in, exit code out
"""
