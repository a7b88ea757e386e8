"""Executes ops: turns snapshots into snapshots; knows trees and sandboxes; must not know Dockerfiles or keys."""
