"""Compares what a design does with what it should do."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class Scoreboard(Generic[T]):
    """Expected and observed items, compared in order.

    Attributes:
        compared: number of comparisons so far.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._expected: deque[T] = deque()
        self.compared = 0

    def expect(self, items: Iterable[T]) -> None:
        """Append to the items that must be observed."""
        self._expected.extend(items)

    def observe(self, item: T) -> None:
        """Compare an observed item with the next expected one.

        Raises:
            AssertionError: they differ, or nothing is expected.
        """
        if not self._expected:
            raise AssertionError(f"{self._name}: item {self.compared} unexpected: {item}")
        expected = self._expected.popleft()
        if item != expected:
            raise AssertionError(
                f"{self._name}: item {self.compared} is {item}, expected {expected}"
            )
        self.compared += 1

    @property
    def done(self) -> bool:
        """Whether everything expected has been observed."""
        return not self._expected

    @property
    def outstanding(self) -> tuple[T, ...]:
        """The items that have not been observed."""
        return tuple(self._expected)

    def drop(self) -> None:
        """Forget the outstanding items: the design was reset."""
        self._expected.clear()

    def finish(self) -> None:
        """End the comparison.

        Raises:
            AssertionError: nothing was compared, or expected items are missing.
        """
        if self._expected:
            raise AssertionError(
                f"{self._name}: {len(self._expected)} items missing after {self.compared}"
            )
        if not self.compared:
            raise AssertionError(f"{self._name}: nothing was compared")
