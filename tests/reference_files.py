"""Files as other programs write them, for the tests that read them."""

from __future__ import annotations

import h5py
import numpy as np
import scipy.io

T = np.linspace(0.0, 1.0, 5)
X = np.linspace(-1.0, 1.0, 7)
Y = np.linspace(0.0, 3.0, 4)
Z = np.linspace(0.0, 0.5, 3)
U = np.sin(2 * X + 0.5) * np.exp(-T)[:, None]
U2 = np.sin(X)[:, None] * np.cos(Y) * np.exp(-T)[:, None, None]
U3 = U2[..., None] + Z**2


def write(name: str, /, **arrays: np.ndarray) -> str:
    """The arrays in the format of the suffix; ``.v73.mat`` as MATLAB 7.3 lays them out, ``.v4.mat`` as MATLAB 4."""
    if name.endswith(".v73.mat"):
        with h5py.File(name, "w", userblock_size=512) as handle:
            for key, value in arrays.items():
                handle[key] = np.atleast_2d(value).T
        with open(name, "r+b") as raw:
            raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    elif name.endswith(".v4.mat"):
        scipy.io.savemat(name, arrays, format="4")
    elif name.endswith(".mat"):
        scipy.io.savemat(name, {"note": "text is ignored", **arrays})
    elif name.endswith(".npz"):
        np.savez(name, **arrays)
    elif name.endswith(".npy"):
        np.save(name, arrays["u"])
    else:
        with h5py.File(name, "w") as handle:
            for key, value in arrays.items():
                handle[key] = value
    return name
