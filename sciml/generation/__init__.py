"""Data sets: many trajectories of one problem, in pieces that survive interruptions."""
