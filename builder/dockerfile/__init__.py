"""Turns the text of a Dockerfile into instructions, and an ignore file into a matcher; all of it pure.

Knows the language: lines, words, variables, flags, the arguments of every instruction. Must not know
files, images, the network, the clock or how a step is run.
"""
