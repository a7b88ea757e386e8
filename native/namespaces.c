/* unshare, mount and umount for Python, which has them only from 3.12 on or not at all. */
#include "native.h"

#include <errno.h>
#include <sched.h>
#include <sys/mount.h>

PyObject *rb_py_unshare(PyObject *self, PyObject *args) {
    (void)self;
    int flags;
    if (!PyArg_ParseTuple(args, "i:unshare", &flags)) return NULL;
    if (unshare(flags) < 0) return rb_raise(errno, "unshare", NULL);
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
    if (result < 0) return rb_raise(errno, "mount", target);
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
    if (result < 0) return rb_raise(errno, "umount", target);
    Py_RETURN_NONE;
}
