"""Turns a `Command` over layer directories into a process in its own namespaces, and its exit code.

Knows namespaces, id maps, mounts, capabilities and what this host allows (`Tier`). Must not know
Dockerfiles, images, caches or the store: it is given directories and says how a process ended.
"""
