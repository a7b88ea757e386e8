"""The Dockerfile language: turns text into a plan of ops, and an ignore file into a matcher.

Knows every instruction; must not know disks, clocks or processes.
"""
