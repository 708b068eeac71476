"""Learned models of equations: neural operators that map a field to a field."""
