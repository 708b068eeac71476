"""Implicit neural representations: fields whose state is a network's weights."""
