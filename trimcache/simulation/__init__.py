"""Simulation: the same question over many topologies, settings and algorithms.

    setting.py      Setting: every parameter of one point; a topology is a setting and a seed
    parameters.py   parameters by name and from text, grids of settings
    topology.py     one topology: placed by every algorithm, evaluated with and without fading, as rows
    fading.py       the hit ratio of a placement in each realisation of Rayleigh fading (_fading_kernel.py: its inner loop)
    over_time.py    one topology while its users move (over_time_summary.py: over many)
    runner.py       all topologies of all settings in processes (_workers.py), kept as they finish (journal.py)
    results.py      the table of results as Parquet or CSV
    summary.py      mean with 95 % interval, and paired differences
    traces.py       request traces, read or drawn
    replay.py       a trace against the caches of its sites, by policy, capacity, site and over time

Nothing is imported before it is asked for.
"""
