/* What went wrong, carried from where the GIL is released to where an exception can be made. */
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

PyObject *fault_raise(struct fault *fault) {
    PyObject *arguments = NULL, *type = fault->error ? PyExc_OSError : PyExc_ValueError;
    if (PyErr_Occurred()) { /* what a callable of the caller's raised says it better */
    } else if (fault->error) {
        PyObject *text = PyUnicode_FromFormat("%s: %s", fault->step, strerror(fault->error));
        arguments = Py_BuildValue("(iNy)", fault->error, text, fault->path);
    } else {
        arguments = Py_BuildValue("(sy)", fault->step, fault->path);
    }
    if (arguments) PyErr_SetObject(type, arguments);
    Py_XDECREF(arguments);
    free(fault->path);
    fault->path = NULL;
    return NULL;
}
