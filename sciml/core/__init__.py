"""Grid, vocabulary, equation, problem, propagator: what every other part meets in."""
