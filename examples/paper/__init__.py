"""The experiments behind ``reproduce_paper.py``.

experiments.py  every figure: library, networks, sweeps, algorithms
running.py      rows of results of a figure, by `trimcache.simulation`
tables.py       what many topologies say together, as CSV
figures.py      the figures, drawn from these tables
trends.py       what the paper claims, as differences with intervals
"""
