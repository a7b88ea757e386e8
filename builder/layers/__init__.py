"""Turns a tree on disk into a layer's tar stream and back.

Knows tar (USTAR, PAX, GNU), overlayfs whiteouts, the records beside a tree and the codecs of layers.
Must not know images, the store, the Dockerfile or why a file is where it is.
"""
