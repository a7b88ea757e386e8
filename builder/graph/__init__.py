"""Turns operations into one content-addressed graph; knows digests and order; must not know Dockerfiles or disks."""
