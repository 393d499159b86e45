"""The engine's benchmark: policy and model beside baselines, without any server.

::

    samples          core   streams to be heard, what takes part, and what it makes of them
    slots            shell  ours: a worker's slot without its sockets
    local_agreement  core   the usual way to live text, around a model that hears whole windows
    baselines        door   whisper, torch, faster_whisper: such models
    latencies        core   when words were shown and committed
    figures          core   error rates, latencies and cost of each contestant
    models           door   torch: the model in the precision asked for
    comparison       shell  all contestants, a piece of audio in turn, beside the offline reference
    languages        shell  sessions in each language, with it given and with it detected
    encoders         shell  the encoder alone, in full and compacted
    run, cli         shell  bench_engine's parts and options; see also scripts/capacity
"""
