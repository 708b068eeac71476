"""The rows of a training for TensorBoard."""

from __future__ import annotations

from pathlib import Path

from sciml.core.errors import InputError
from sciml.training.history import History


class Board:
    """Writes loss, validation loss and learning rate per epoch as TensorBoard events into ``folder``.

    TensorBoard is not among the package's requirements: ``pip install 'sciml-pde[tensorboard]'``. Raises :class:`InputError` without it,
    and if the folder cannot be written.
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise InputError("fit: tensorboard= needs TensorBoard; pip install 'sciml-pde[tensorboard]', or use log= for a CSV file.") from error
        self.folder, self.written = Path(folder), 0
        try:
            self._writer = SummaryWriter(str(folder))
        except OSError as error:
            raise InputError(f"fit: tensorboard={folder} given; a folder that can be written is needed ({error.strerror}).") from error

    def show(self, history: History) -> None:
        """Write the rows that have not been written yet."""
        for row in history.epochs[self.written :]:
            for name, value in (("loss/training", row.loss), ("loss/validation", row.validation), ("learning rate", row.lr)):
                if value == value:
                    self._writer.add_scalar(name, value, row.epoch)
        self.written = len(history.epochs)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
