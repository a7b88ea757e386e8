/* The one way in which this extension says that the kernel refused something. */
#include "native.h"

#include <stdio.h>
#include <string.h>

PyObject *rb_raise(int error, const char *step, const char *path) {
    char text[256];
    snprintf(text, sizeof text, "%s: %s", step, strerror(error));
    PyObject *values = path ? Py_BuildValue("(isy)", error, text, path) : Py_BuildValue("(is)", error, text);
    if (values) PyErr_SetObject(PyExc_OSError, values);
    Py_XDECREF(values);
    return NULL;
}
