/* Any bytes as an archive: refused as the contract says, or a tree inside of its root.
 *
 * The same tree must come out whatever the pieces of the stream, and whether openat2 or the walk resolved. */
#include <stdlib.h>
#include <stdio.h>

#include "arena.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static PyObject *tree_after(const uint8_t *input, size_t size, struct way way) {
    static const char *const trees[] = {"tree"};
    arena_empty(trees[0]);
    if (!arena_unpack(trees[0], input, size, way)) return NULL;
    return arena_pack(trees, 1, 1, way, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
    struct way way = way_of(input, size), other = way;
    PyObject *one = tree_after(input, size, way);
    if (one && way.force_walk) {
        other.force_walk = false;
        other.piece = 1 << 20;
        PyObject *two = tree_after(input, size, other);
        if (!two || PyObject_RichCompareBool(one, two, Py_EQ) != 1) {
            fprintf(stderr, "WRONG: openat2 and the walk give different trees\n");
            abort();
        }
        Py_DECREF(two);
    }
    Py_XDECREF(one);
    return 0;
}
