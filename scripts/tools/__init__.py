"""What several scripts share.

::

    corpus       shell  utterances and the streams made of them: the shipped clips, or a manifest
    scoring      core   word alignment, word error rates and their intervals, Whisper's normalisers
    word_timing  core   when words were shown, committed and changed
    offline      door   whisper, torch: streams transcribed offline
    driver       shell  one real session in real time
    server_api   shell  what a server tells about itself over HTTP
    decoding     core   JSON values as frozen dataclasses
    supervisord  shell  what runs, and what is to be started or stopped
    options      shell  command-line options that several commands declare alike
    tables       door   rich: figures side by side
    reports      door   rich: what a measurement found, as JSON and to print
"""
