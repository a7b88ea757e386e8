"""Turns what a Dockerfile names outside itself (images, contexts, archives) into trees; knows where they are kept; must not
know instructions."""
