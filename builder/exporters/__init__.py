"""Turns an image of the store into what the user asked for: an OCI layout, an archive, a tar, a directory.

Knows `-o type=…,dest=…` and the archive formats. Must not know how the image was built.
"""
