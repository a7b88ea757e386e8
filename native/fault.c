/* What went wrong, as an exception; in `struct fault` it waits for the GIL, without which none can be made. */
#include "layers.h"

static int fault_set(struct fault *fault, int error, const char *step, const char *path) {
    free(fault->path);
    *fault = (struct fault){.error = error, .step = step, .path = path ? strdup(path) : NULL};
    return -1;
}

int fault_os(struct fault *fault, const char *step, const char *path) {
    return fault_set(fault, errno ? errno : EIO, step, path);
}

int fault_bad(struct fault *fault, const char *reason, const char *path) {
    return fault_set(fault, 0, reason, path);
}

PyObject *rb_raise(int error, const char *step, const char *path) {
    PyObject *text = PyUnicode_FromFormat("%s: %s", step, strerror(error));
    PyObject *values = path ? Py_BuildValue("(iNy)", error, text, path) : Py_BuildValue("(iN)", error, text);
    if (values) PyErr_SetObject(PyExc_OSError, values);
    Py_XDECREF(values);
    return NULL;
}

PyObject *fault_raise(struct fault *fault) {
    if (PyErr_Occurred()) { /* what a callable of the caller's raised says it better */
    } else if (fault->error) {
        rb_raise(fault->error, fault->step, fault->path);
    } else {
        PyObject *values = Py_BuildValue("(sy)", fault->step, fault->path);
        if (values) PyErr_SetObject(PyExc_ValueError, values);
        Py_XDECREF(values);
    }
    free(fault->path);
    fault->path = NULL;
    return NULL;
}
