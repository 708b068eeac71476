"""Optimisers for small networks and stiff losses. Each is a frozen set of settings that makes a ``torch.optim.Optimizer`` from parameters."""
