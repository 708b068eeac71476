"""The ``sciml`` command."""
