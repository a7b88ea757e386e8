"""Turns command lines into requests, and results and errors into words and exit statuses.

Knows every option's name and every exit status; is the only place that prints or exits. Must not know
how anything is built: other rooms are reached through `builder.cli.doors`, each on first use.

    argv ─► argv.read (tables in options.py) ─► one file a command family ─► exit status
                └─► screens.py: help and completion, from the same tables; the only user of typer

Exit statuses: 0 done; 1 the build or command failed; 2 the command line is wrong; 70 a fault of rbuild
itself; 129, 130, 143 ended by SIGHUP, SIGINT, SIGTERM; 141 the reader of standard output went away.
3, 4 and 5 are kept for registries: authentication, network, refusal.
"""
