"""The load test: real-time sessions against a running server, measured as its users feel them.

Speaks `/asr` through `whisper_live_client`, and reads `/health` and `/gpu-status`.

::

    material     core   utterances into streams: what is said in them, and when
    manifest     shell  the shipped clips, or a manifest and its sets
    alignment    core   two texts, word against word
    scoring      core   wrong words by utterance; bootstrap intervals
    changes      core   words that changed after they had been shown
    timing       core   how long after it was said a word was shown, and committed
    session      core   what one session came to
    observations core   what was seen beside the sessions
    summary      core   what all sessions of one load came to
    bounds       core   --require: figures against bounds
    monitor      shell  the server's own endpoints
    processes    door   psutil: the CPU time of the server's processes
    sampling     shell  lag, CPU and load average, each second
    drive        shell  all sessions of one load
    normal       door   whisper: its text normalisers
    reference    door   whisper, torch: the same streams transcribed offline
    table        door   rich: the figures side by side
    results      core   JSON with everything
    measurement  shell  options and results; writes the JSON file
    run          shell  one load after another, and the exit code
    cli          shell  the options
"""
