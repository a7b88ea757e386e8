"""Turns bytes, trees and records into things that any number of builds on this machine can share.

Knows the directory layout, rename, fsync and flock. Must not know what a Dockerfile, a sandbox or a
registry is, nor what is inside a layer.
"""
