/* Two archives in a row, unpacked as a lower and an upper tree: what packs must apply, and give the same view. */
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "arena.h"

#define BLOCK 512

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

/* Where the second archive begins: after the first block of zeros, and more such. */
static size_t second_archive(const uint8_t *input, size_t size) {
    static const uint8_t zeros[BLOCK];
    size_t at = 0;
    while (at + BLOCK <= size && memcmp(input + at, zeros, BLOCK)) at += BLOCK;
    while (at + BLOCK <= size && !memcmp(input + at, zeros, BLOCK)) at += BLOCK;
    return at + BLOCK <= size ? at : size;
}

static bool has_links(PyObject *tar) {
    const char *bytes = PyBytes_AsString(tar), *end = bytes + PyBytes_Size(tar);
    for (const char *header = bytes; header < end && *header;) {
        if (header[156] == '1') return true;
        size_t size = memchr("05x", header[156], 3) ? strtoul(header + 124, NULL, 8) : 0;
        header += BLOCK + (size + BLOCK - 1) / BLOCK * BLOCK;
    }
    return false;
}

/* A name that is the same as below in all but its links is not packed again: layers tell links of their own only. */
static bool links_below(struct way way) {
    static const char *const lower[] = {"lower"};
    PyObject *tar = arena_pack(lower, 1, 1, way, false);
    bool links = tar && has_links(tar);
    Py_XDECREF(tar);
    return links;
}

static void check_layer(PyObject *layer, struct way way) {
    static const char *const made[] = {"upper", "lower"}, *const applied[] = {"applied", "lower"};
    PyObject *expected = arena_pack(made, 2, 2, way, false), *found = NULL;
    const uint8_t *bytes = (const uint8_t *)PyBytes_AsString(layer);
    arena_empty("applied");
    if (arena_unpack("applied", bytes, (size_t)PyBytes_Size(layer), way)) found = arena_pack(applied, 2, 2, way, false);
    bool same = !expected || (found && PyObject_RichCompareBool(expected, found, Py_EQ) == 1);
    if (!same && !(found && links_below(way))) {
        fprintf(stderr, "WRONG: the layer does not give the tree that it was made from\n");
        abort();
    }
    Py_XDECREF(expected);
    Py_XDECREF(found);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
    static const char *const trees[] = {"upper", "lower"};
    struct way way = way_of(input, size);
    size_t second = second_archive(input, size);
    way.layer = true;
    way.read_fails = false;
    arena_empty("lower");
    arena_empty("upper");
    /* What a refused archive left is a tree too. */
    arena_unpack("lower", input, second, way);
    arena_unpack("upper", input + second, size - second, way);
    PyObject *layer = arena_pack(trees, 2, 1, way, true);
    if (layer) check_layer(layer, way);
    Py_XDECREF(layer);
    return 0;
}
