"""The command-line client, and the client library of the load test and the system tests.

Speaks the public `/asr` protocol and nothing else: no module of the server is imported.

::

    audio        core   the one format; cutting it into messages
    messages     core   what the server says, as frozen dataclasses
    reading      core   its JSON into them
    words        core   text into words, words back onto words
    segment      core   one segment, each word with its times
    transcript   core   messages folded into text, times, broken promises
    unacked      core   audio to be sent, or to be sent again: what is not final yet, bounded
    timeline     core   a later session's positions on the time line of the first
    recovery     core   whether a lost connection is tried again, and when
    subtitles    core   segments into text, SRT, VTT, JSON
    outcome      core   how a session ended, and the exit code for it
    report       core   accounting and timing figures, for JSON and --verbose
    connection   shell  opening a WebSocket, opening it again
    uplink       shell  audio up over whichever connection there is
    lifeline     shell  one connection after the other, one session
    asr_client   shell  one session: `send`, `finish`, `messages`
    feed         shell  a blocking audio source on a thread, its blocks in asyncio
    session      shell  audio up, messages down, at the pace asked for
    run          shell  one command: source, display, interrupts, output
    cli          shell  options in, exit code out
    media        door   PyAV: any container, or a microphone, as s16le 16 kHz mono
    live         door   rich: the words on the terminal while they come
"""
