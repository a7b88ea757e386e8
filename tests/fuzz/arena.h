/* Where the fuzz targets unpack: a tmpfs in a user namespace of their own, with a canary beside the trees. */
#ifndef RBUILD_ARENA_H
#define RBUILD_ARENA_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How the extension is called, taken from the last byte of an input: a tar reader does not look there. */
struct way {
    const char *owners;
    bool layer, force_walk;
    bool read_fails; /* at the end of the input */
    size_t piece;    /* how many bytes a read gives at most */
};
struct way way_of(const uint8_t *input, size_t size);

void arena_empty(const char *tree);

/* Unpacks over `tree`. False when the archive was refused, in the way the contract allows; else aborts. */
bool arena_unpack(const char *tree, const uint8_t *tar, size_t size, struct way way);

/* The tar of what the first `above` of these trees change in the others, or with no others of their view;
 * NULL when it was refused. */
PyObject *arena_pack(const char *const *trees, size_t count, size_t above, struct way way, bool layer);

/* Aborts when anything beside the trees has changed. */
void arena_check(void);

#endif
