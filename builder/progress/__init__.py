"""Turns the events of a build into what a person or a program reads.

Knows `builder.events` and nothing else of a build: each renderer is a fold over events. Must not
know the store, the solver or the command line, and never decides whether a build goes on.
"""
