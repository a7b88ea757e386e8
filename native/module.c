/* builder._native: the method table and nothing else. The typed contract is builder/_native.pyi. */
#include "native.h"

static PyMethodDef methods[] = {
    {"unshare", rb_py_unshare, METH_VARARGS, NULL},
    {"mount", rb_py_mount, METH_VARARGS, NULL},
    {"unmount", rb_py_unmount, METH_VARARGS, NULL},
    {"resolve", rb_py_resolve, METH_VARARGS, NULL},
    {"spawn", (PyCFunction)(void (*)(void))rb_py_spawn, METH_VARARGS | METH_KEYWORDS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "builder._native", "Kernel calls and layer streams for rbuild.", 0, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__native(void) { return PyModule_Create(&module); }
