/* builder._native: the method table and nothing else. The typed contract is builder/_native.pyi. */
#include "native.h"

#define KEYWORDS(function) (PyCFunction)(void (*)(void))(function)

static PyMethodDef methods[] = {
    {"unshare", rb_py_unshare, METH_VARARGS, NULL},
    {"mount", rb_py_mount, METH_VARARGS, NULL},
    {"mount_detached", rb_py_mount_detached, METH_VARARGS, NULL},
    {"unmount", rb_py_unmount, METH_VARARGS, NULL},
    {"spawn", KEYWORDS(rb_py_spawn), METH_VARARGS | METH_KEYWORDS, NULL},
    /* layers */
    {"open_in_root", KEYWORDS(rb_py_open_in_root), METH_VARARGS | METH_KEYWORDS, NULL},
    {"tree_stat", rb_py_tree_stat, METH_VARARGS, NULL},
    {"tree_seal", rb_py_tree_seal, METH_VARARGS, NULL},
    {"list_directory", rb_py_list_directory, METH_VARARGS, NULL},
    {"unpack", KEYWORDS(rb_py_unpack), METH_VARARGS | METH_KEYWORDS, NULL},
    {"pack", rb_py_pack, METH_VARARGS, NULL},
    {"place", rb_py_place, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "builder._native", "Kernel calls and layer streams for rbuild.", 0, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__native(void) { return PyModule_Create(&module); }
