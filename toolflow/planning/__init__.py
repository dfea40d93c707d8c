"""From a network, labelled images, a device and a tolerance to a Plan."""
