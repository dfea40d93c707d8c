"""Tables and plots of a plan."""
