/* What the files of the extension share. One file a job; module.c is the table. */
#ifndef RBUILD_NATIVE_H
#define RBUILD_NATIVE_H

#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030b0000
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* fault.c: raises OSError(error, "step: reason", path) and returns NULL. No path: NULL. */
PyObject *rb_raise(int error, const char *step, const char *path);

/* namespaces.c */
PyObject *rb_py_unshare(PyObject *self, PyObject *args);
PyObject *rb_py_mount(PyObject *self, PyObject *args);
PyObject *rb_py_unmount(PyObject *self, PyObject *args);
PyObject *rb_py_mount_detached(PyObject *self, PyObject *args);

/* spawn.c */
PyObject *rb_py_spawn(PyObject *self, PyObject *args, PyObject *kwargs);

/* inroot.c */
PyObject *rb_py_open_in_root(PyObject *self, PyObject *args, PyObject *kwargs);

/* tree.c */
PyObject *rb_py_tree_stat(PyObject *self, PyObject *args);
PyObject *rb_py_tree_seal(PyObject *self, PyObject *args);
PyObject *rb_py_list_directory(PyObject *self, PyObject *args);

/* unpack.c, pack.c, place.c */
PyObject *rb_py_unpack(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *rb_py_pack(PyObject *self, PyObject *args);
PyObject *rb_py_place(PyObject *self, PyObject *args);

#endif
