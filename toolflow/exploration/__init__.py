"""Design-space search: the fastest single-stage and cascade designs of a device."""
