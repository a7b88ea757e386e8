/* unshare, mounts and umount for Python, which has them only from 3.12 on or not at all. */
#include "native.h"

#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "cleanup.h"

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

/* The numbers are the same everywhere; older C libraries lack the functions. */
static int mount_detached(const char *fstype) {
    RB_FD context = (int)syscall(430 /* fsopen */, fstype, 1 /* FSOPEN_CLOEXEC */);
    if (context < 0) return -1;
    if (syscall(431 /* fsconfig */, (int)context, 6 /* FSCONFIG_CMD_CREATE */, NULL, NULL, 0) < 0) return -1;
    return (int)syscall(432 /* fsmount */, (int)context, 1 /* FSMOUNT_CLOEXEC */, 0);
}

PyObject *rb_py_mount_detached(PyObject *self, PyObject *args) {
    (void)self;
    const char *fstype;
    int fd;
    if (!PyArg_ParseTuple(args, "y:mount_detached", &fstype)) return NULL;
    Py_BEGIN_ALLOW_THREADS;
    fd = mount_detached(fstype);
    Py_END_ALLOW_THREADS;
    if (fd < 0) return rb_raise(errno, "mount", fstype);
    return PyLong_FromLong(fd);
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
