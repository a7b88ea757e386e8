"""Turns a parsed Dockerfile into findings of the build checks (dockerfile-language 1.12).

Knows the rules and how a file silences them. Must not know disks or stores: what a rule needs of
those is passed in.
"""
