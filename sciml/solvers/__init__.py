"""Classical time stepping: exponential, implicit-explicit, explicit and adaptive Runge-Kutta; finite volumes."""
