"""Executes ops: turns snapshots into snapshots; knows trees, accounts and sandboxes; must not know Dockerfiles or keys."""
