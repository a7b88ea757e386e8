"""The Dockerfile language: turns text into a plan of ops; knows every instruction; must not know disks, clocks or processes."""
