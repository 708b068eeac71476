"""Random FNOs of neuraloperator (2.0), read as ours: the largest difference of their outputs.

    python benchmarks/neuraloperator_weights.py --out benchmarks/results/neuraloperator_weights.json

Needs neuraloperator beside this package. Both evaluate the same random fields in single precision; the difference is relative to the
largest output. neuraloperator is compared on even inner axes, where its shift of modes is its own inverse.
"""

from __future__ import annotations

import argparse
import json
import platform
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from sciml import FNO, Grid

CASES: list[tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any], dict[str, Any]]] = [
    # name, their modes, points, their settings, what is passed to ours
    ("1-D, default", (16,), (64,), {}, {}),
    ("1-D, odd points and modes", (9,), (37,), {}, {}),
    ("1-D, one layer, no coordinates", (8,), (24,), {"n_layers": 1, "positional_embedding": None}, {}),
    ("2-D, default", (12, 12), (32, 32), {}, {}),
    ("2-D, uneven modes and points", (8, 14), (20, 45), {}, {}),
    ("2-D, odd modes", (7, 9), (16, 18), {}, {}),
    ("2-D, linear lifting, no perceptron", (8, 8), (24, 24), {"lifting_channel_ratio": 0, "use_channel_mlp": False}, {}),
    ("2-D, ReLU", (8, 8), (24, 24), {"non_linearity": torch.nn.functional.relu}, {}),
    ("2-D, SiLU, no perceptron", (8, 8), (24, 24), {"non_linearity": torch.nn.functional.silu, "use_channel_mlp": False}, {}),
    ("2-D, identity skips", (8, 8), (24, 24), {"fno_skip": "identity", "channel_mlp_skip": "identity"}, {}),
    ("2-D, no skips", (8, 8), (24, 24), {"fno_skip": None, "channel_mlp_skip": None}, {}),
    ("2-D, gated and linear skips", (8, 8), (24, 24), {"fno_skip": "soft-gating", "channel_mlp_skip": "linear"}, {}),
    ("2-D, separable", (8, 8), (24, 24), {"separable": True}, {}),
    ("2-D, Tucker", (8, 8), (24, 24), {"factorization": "tucker", "rank": 0.3}, {}),
    ("2-D, CP", (8, 8), (24, 24), {"factorization": "cp", "rank": 0.3}, {}),
    ("2-D, tensor train", (8, 8), (24, 24), {"factorization": "tt", "rank": 0.3}, {}),
    ("2-D, Tucker, reconstructed", (8, 8), (24, 24), {"factorization": "tucker", "rank": 0.3, "implementation": "reconstructed"}, {}),
    ("2-D, room for more modes", (6, 6), (32, 32), {"max_n_modes": (12, 12)}, {}),
    ("2-D, odd room for more modes", (6, 6), (32, 32), {"max_n_modes": (9, 9)}, {}),
    ("2-D, padding", (8, 8), (24, 24), {"domain_padding": 0.25}, {}),
    ("2-D, padding per axis", (8, 8), (20, 24), {"domain_padding": [0.1, 0.3]}, {}),
    ("2-D, 2 -> 3 channels", (8, 8), (24, 24), {"in_channels": 2, "out_channels": 3}, {}),
    ("3-D, default", (6, 6, 6), (12, 14, 16), {}, {}),
    ("3-D, uneven", (4, 5, 7), (10, 8, 15), {"in_channels": 3, "out_channels": 2, "n_layers": 2}, {}),
    ("2-D, no record of settings", (8, 8), (24, 24), {"channel_mlp_skip": "identity"}, {"mlp_skip": "identity"}),
]


def difference(modes: tuple[int, ...], shape: tuple[int, ...], settings: dict[str, Any], ours: dict[str, Any], seed: int) -> float:
    from neuralop.models import FNO as Peer

    torch.manual_seed(seed)
    channels = {"in_channels": 1, "out_channels": 1, "hidden_channels": 12, **settings}
    peer = Peer(n_modes=modes, **channels).eval()
    with torch.no_grad():
        for parameter in peer.parameters():  # weights of all sizes, so that nothing is hidden by zeros or ones
            parameter.add_(0.1 * torch.randn_like(parameter))
    state = dict(peer.state_dict())
    if ours:
        state.pop("_metadata")
    grid = Grid(shape, (1.0,) * len(shape), periodic=not settings.get("domain_padding"), dtype=torch.float32)
    model = FNO.from_neuraloperator(state, grid, **ours)
    u = torch.randn(3, channels["in_channels"], *shape)
    with torch.no_grad():
        expected, got = peer(u), model(u)
    return float((got - expected).abs().max() / expected.abs().max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    print(f"torch {torch.__version__}, neuraloperator {version('neuraloperator')}, {platform.machine()}, seeds 0..{arguments.seeds - 1}")
    rows = []
    for name, modes, shape, settings, ours in CASES:
        worst = max(difference(modes, shape, settings, ours, seed) for seed in range(arguments.seeds))
        rows.append({"case": name, "modes": modes, "shape": shape, "difference": worst})
        print(f"{name:>36}  {worst:.1e}", flush=True)
    largest = max(row["difference"] for row in rows)
    print(f"largest difference: {largest:.1e}")
    if arguments.out:
        record = {
            "torch": torch.__version__,
            "neuraloperator": version("neuraloperator"),
            "seeds": arguments.seeds,
            "largest": largest,
            "cases": rows,
        }
        arguments.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
