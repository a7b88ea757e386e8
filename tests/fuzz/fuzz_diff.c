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

static void must_be_equal(PyObject *one, PyObject *two) {
    if (one && two && PyObject_RichCompareBool(one, two, Py_EQ) == 1) return;
    fprintf(stderr, "WRONG: the layer does not give the tree that it was made from\n");
    abort();
}

static void check_layer(PyObject *layer, struct way way) {
    static const char *const made[] = {"upper", "lower"}, *const applied[] = {"applied", "lower"};
    PyObject *expected = arena_pack(made, 2, 2, way, false);
    arena_empty("applied");
    const uint8_t *bytes = (const uint8_t *)PyBytes_AsString(layer);
    bool done = arena_unpack("applied", bytes, (size_t)PyBytes_Size(layer), way);
    PyObject *found = done ? arena_pack(applied, 2, 2, way, false) : NULL;
    if (expected) must_be_equal(expected, found);
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
