"""The confidence evaluation unit (CEU): its integer arithmetic and the tuning of its parameters."""
