"""Figures of any result, and the comparison of methods as a report."""
