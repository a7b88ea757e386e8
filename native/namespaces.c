/* unshare, mount and umount for Python, which has them only from 3.12 on or not at all. */
#include "native.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

/* OSError(errno, "call: reason", path). */
static PyObject *refused(const char *call, int error, const char *path) {
    char text[128];
    snprintf(text, sizeof text, "%s: %s", call, strerror(error));
    PyObject *values = path ? Py_BuildValue("(isy)", error, text, path) : Py_BuildValue("(is)", error, text);
    if (values) PyErr_SetObject(PyExc_OSError, values);
    Py_XDECREF(values);
    return NULL;
}

PyObject *rb_py_unshare(PyObject *self, PyObject *args) {
    (void)self;
    int flags;
    if (!PyArg_ParseTuple(args, "i:unshare", &flags)) return NULL;
    if (unshare(flags) < 0) return refused("unshare", errno, NULL);
    Py_RETURN_NONE;
}

PyObject *rb_py_mount(PyObject *self, PyObject *args) {
    (void)self;
    const char *source, *target, *fstype, *options;
    unsigned long flags;
    int result;
    if (!PyArg_ParseTuple(args, "yyyky:mount", &source, &target, &fstype, &flags, &options)) return NULL;
    Py_BEGIN_ALLOW_THREADS;
    result = mount(source, target, fstype, flags, options);
    Py_END_ALLOW_THREADS;
    if (result < 0) return refused("mount", errno, target);
    Py_RETURN_NONE;
}

PyObject *rb_py_unmount(PyObject *self, PyObject *args) {
    (void)self;
    const char *target;
    int flags, result;
    if (!PyArg_ParseTuple(args, "yi:unmount", &target, &flags)) return NULL;
    Py_BEGIN_ALLOW_THREADS;
    result = umount2(target, flags);
    Py_END_ALLOW_THREADS;
    if (result < 0) return refused("umount", errno, target);
    Py_RETURN_NONE;
}
