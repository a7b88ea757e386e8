"""The C half of rbuild. Strings that name files are bytes; every failure is an OSError naming step and path."""
