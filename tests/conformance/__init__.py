"""The Dockerfile language by example: every folder of cases/ is a build and what must come of it."""
