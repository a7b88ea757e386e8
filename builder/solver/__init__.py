"""Turns a graph into results; knows keys, order and parallelism; must not know what an op does: it asks an Executor."""
