"""Turns what a build starts from (images, archives, contexts) into blobs and trees of the store.

Knows archive formats and where bytes come from. Must not know what a step does with them.
"""
