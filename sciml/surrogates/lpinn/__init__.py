"""Lagrangian physics-informed networks: characteristics and the state on them as two networks."""
