"""Turns what a Dockerfile names outside itself (images, contexts) into trees; must not know instructions."""
