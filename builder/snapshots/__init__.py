"""Turns stacks of trees into one file system; knows overlay semantics; must not know Dockerfiles or images."""
