"""A planned network layer through a unit of the planned size."""
