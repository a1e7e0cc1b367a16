"""Early stopping, and warnings of overfitting and underfitting."""

from __future__ import annotations

from typing import Any

OVERFITTING_EVALUATIONS = 3  # in a row with a rising validation and a falling training loss
UNDERFITTING_EVALUATIONS = 5  # in a row without progress in either
LEAST_PROGRESS = 0.001  # the share by which a loss must fall to count as falling


class EarlyStopping:
    """Is updated with each evaluation. Its state is a handful of numbers that a checkpoint keeps.

    patience: how many evaluations in a row may pass without a better validation loss until `stops`; None: any number.
    """

    def __init__(self, patience: int | None, state: dict[str, Any] | None = None) -> None:
        self._patience = patience
        self._best: float | None = None
        self._since_best = self._overfitting = self._underfitting = 0
        self._last: tuple[float, float] | None = None
        if state:
            self.load_state_dict(state)

    @property
    def stops(self) -> bool:
        return self._patience is not None and self._since_best >= self._patience

    def update(self, train_loss: float, val_loss: float) -> list[str]:
        """The warnings after an evaluation; each is given when its reason begins, not again and again."""
        if self._best is None or val_loss < self._best:
            self._best, self._since_best = val_loss, 0
        else:
            self._since_best += 1
        warnings = []
        if self._last is not None:
            train_falls = train_loss < self._last[0] * (1 - LEAST_PROGRESS)
            val_falls = val_loss < self._last[1] * (1 - LEAST_PROGRESS)
            self._overfitting = self._overfitting + 1 if train_falls and val_loss > self._last[1] else 0
            self._underfitting = self._underfitting + 1 if not train_falls and not val_falls else 0
            if self._overfitting == OVERFITTING_EVALUATIONS:
                warnings.append(
                    f"overfitting: for {OVERFITTING_EVALUATIONS} evaluations the training loss fell, to "
                    f"{train_loss:.4f}, and the validation loss rose, to {val_loss:.4f}; more text, train.dropout or "
                    "train.patience help"
                )
            if self._underfitting == UNDERFITTING_EVALUATIONS:
                warnings.append(
                    f"underfitting: for {UNDERFITTING_EVALUATIONS} evaluations neither loss fell (training "
                    f"{train_loss:.4f}, validation {val_loss:.4f}); a larger model or train.learning_rate may help"
                )
        self._last = train_loss, val_loss
        return warnings

    def state_dict(self) -> dict[str, Any]:
        return {
            "best": self._best,
            "since_best": self._since_best,
            "overfitting": self._overfitting,
            "underfitting": self._underfitting,
            "last": self._last,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._best, self._since_best = state["best"], state["since_best"]
        self._overfitting, self._underfitting = state["overfitting"], state["underfitting"]
        self._last = tuple(state["last"]) if state["last"] is not None else None
