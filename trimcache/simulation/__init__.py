"""Simulation: the same question over many topologies, capacities and algorithms."""
