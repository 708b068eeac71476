"""The errors and warnings that users meet. Every message says what was given, what was expected and what to do."""

from __future__ import annotations


class SciMLError(Exception):
    """Base of every error that this package raises on purpose."""


class InputError(SciMLError, ValueError):
    """Something that the caller gave does not fit: shape, dtype, device, name, value or file."""


class DataWarning(UserWarning):
    """A file made by others holds something that is often a mistake; the message says what was found and what was done."""


class UnsupportedError(SciMLError, TypeError):
    """An engine or a method cannot do what was asked; the message names one that can."""


class BlowUpError(SciMLError, ArithmeticError):
    """A numerical solution left the finite numbers or grew without bound."""


class ContractError(SciMLError, AssertionError):
    """A class does not keep the contract that ``sciml.testing`` checks; the message names the clause and the culprit."""
