"""Real logits through the CEU with a plan's registers."""
