"""Turns JSON bytes into typed OCI documents and back.

Knows the OCI image-spec 1.x, Docker's schema 2 (read only), image references and platforms. Pure:
must not know the store, the network, the clock or the environment.
"""
