"""Training of any model: data, losses, one loop, and what makes it survive interruptions."""
