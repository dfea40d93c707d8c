"""Errors that the command line reports without a traceback."""


class UserError(Exception):
    """Bad input: the message says what is wrong, where, and what to do. Exit code 2."""


class GoalError(Exception):
    """The request is sound but cannot be met; the message says why. Exit code 1."""
