"""The engine's benchmark: policy and model beside baselines, without any server; and what a device would carry.

::

    agreement    core   LocalAgreement-2, the usual way to live text
    contestant   core   what takes part in a comparison
    courses      core   streams of the load test's material, as they are heard
    figures      core   error rates, latencies and cost of each contestant
    room         shell  ours: a worker's slots without its sockets
    usual        shell  a baseline: LocalAgreement around a model that hears whole windows
    plain        door   whisper, torch: its own encoder and decoder
    faster       door   faster_whisper, where it is installed
    stages       shell  the model's parts, timed
    race         shell  all contestants, a piece of audio in turn
    compare      shell  the comparison
    languages    shell  sessions in each language, with it given and with it detected
    encoding     shell  the encoder alone, in full and compacted
    company      shell  streams together against each alone
    engine       door   torch: models in the precision asked for
    windows      core   what each decode of live speech had to do (windows.json: as measured)
    made_up      door   torch, whisper: weights of any official size, that take as many tokens as they are told
    work         core   operations of a window
    capacity     door   torch: steps on a device, timed
    simulation   core   a worker's loop in audio time, with measured step times
    carrying     shell  how many streams a device carries
    tables       door   rich
    run, cli     shell  bench_engine's parts and options
    chart        core   line charts as SVG
    load_chart   core   the load test's figures as charts
    plot         shell  plot_load's options
"""
