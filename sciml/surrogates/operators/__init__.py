"""Neural operators, one architecture per file."""
