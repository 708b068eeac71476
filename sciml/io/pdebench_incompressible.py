"""PDEBench's layout C: inhomogeneous incompressible flow, components last."""

from __future__ import annotations

import json

import h5py
import numpy as np

from sciml.core.derivatives import AXES
from sciml.core.errors import InputError
from sciml.io.hdf5 import attributes, damage, float_type
from sciml.io.pdebench import array_in, checked_shape, checked_times
from sciml.io.store import Facts, Store

VELOCITY, PARTICLES, FORCE, TIME = "velocity", "particles", "force", "t"
LATEST = "latestIndex"


class PDEBenchIncompressible(Store):
    """``velocity`` ``(sample, time, x, y, 2)``, ``particles`` ``(sample, time, x, y, 1)``, ``force`` ``(sample, x, y, 2)``, ``t`` ``(sample, time)``.

    The fields are ``velocity_x``, ``velocity_y`` and, where given, ``particles``; ``force_x`` and ``force_y`` are inputs. In three
    dimensions there is a z as well. The files say nothing about positions. A simulation that was interrupted leaves states that were never
    written; it is read up to the attribute ``latestIndex``.
    """

    format = "PDEBench C"

    @classmethod
    def recognises(cls, file: h5py.File) -> bool:
        item = file.get(VELOCITY)
        return isinstance(item, h5py.Dataset) and any(name in file for name in (PARTICLES, FORCE, TIME))

    def _read_facts(self, file: h5py.File) -> Facts:
        with damage(self.path):
            return self._facts(file)

    def _facts(self, file: h5py.File) -> Facts:
        velocity = array_in(self.path, file, VELOCITY)
        samples, steps, *space = velocity.shape[:-1] if velocity.ndim in (5, 6) else (0, 0)
        if not space or velocity.shape[-1] != len(space) or 0 in velocity.shape:
            raise InputError(
                f"{self.path}: {velocity.name} has shape {velocity.shape}; (sample, time, x, y, 2) or (sample, time, x, y, z, 3) is expected, no "
                "axis empty. Write the file again."
            )
        axes = AXES[: len(space)]
        items = [velocity]
        if PARTICLES in file:
            items.append(array_in(self.path, file, PARTICLES))
            checked_shape(self.path, items[1], (samples, steps, *space, 1), VELOCITY)
        if FORCE in file:
            checked_shape(self.path, array_in(self.path, file, FORCE), (samples, *space, len(space)), VELOCITY)
        inputs = tuple(f"{FORCE}_{a}" for a in axes if FORCE in file)
        attrs = attributes(file)
        self._times = self._all_times(file, samples, steps, attrs.get(LATEST))
        same = self._times is not None and bool((self._times == self._times[0]).all())
        self._stored = tuple(str(item.name) for item in items)
        if inputs:
            attrs.setdefault("inputs", json.dumps(inputs))
        return Facts(
            fields=(*(f"{VELOCITY}_{a}" for a in axes), *(PARTICLES for _ in items[1:])),
            shape=tuple(space),
            samples=samples,
            steps=steps if self._times is None else self._times.shape[1],
            dtype=float_type(items),
            times=self._times[0] if same and self._times is not None else None,
            inputs=inputs,
            attrs=attrs,
        )

    def _all_times(self, file: h5py.File, samples: int, steps: int, latest: object) -> np.ndarray | None:
        """``(sample, time)``, without states that were never written; None if the file does not say."""
        if TIME not in file:
            return None
        item = array_in(self.path, file, TIME)
        checked_shape(self.path, item, (samples, steps), VELOCITY)
        values = np.asarray(item[()], dtype=np.float64)
        written = int(latest) + 1 if isinstance(latest, int) else 0
        if 0 < written < steps and (values[:, written:] == 0).all():
            values = values[:, :written]
        if not np.isfinite(values).all():
            raise InputError(f"{self.path}: {item.name} has entries that are not finite; times are expected. Correct or remove it.")
        for row in values:
            checked_times(self.path, row, values.shape[1], f"{VELOCITY} has {steps} states")
        return values

    def read(self, sample: int, steps: slice = slice(None)) -> np.ndarray:
        wanted = slice(*steps.indices(self.facts.steps or 0))
        with damage(self.path):
            parts = [self.array(stored).read((sample,), wanted) for stored in self._stored]
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)
        return np.ascontiguousarray(np.moveaxis(whole, -1, 1), dtype=self.facts.dtype)

    def read_inputs(self, sample: int) -> np.ndarray:
        if not self.facts.inputs:
            return super().read_inputs(sample)
        with damage(self.path):
            return np.ascontiguousarray(np.moveaxis(self.array(FORCE).read((sample,)), -1, 0), dtype=self.facts.dtype)

    def read_times(self, sample: int) -> np.ndarray | None:
        return None if self._times is None else self._times[sample]
