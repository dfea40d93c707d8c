"""The accuracy study: what quantisation makes of networks, on images that tuning never saw."""
