/* What the files of the extension share. One file a job; module.c is the table. */
#ifndef RBUILD_NATIVE_H
#define RBUILD_NATIVE_H

#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030b0000
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#endif
