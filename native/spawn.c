/* spawn: one call from Python values to a process in its own namespaces, or an OSError that names the step. */
#include "native.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "cleanup.h"
#include "spawn.h"

/* What the child sends when it fails. Both pointers and numbers mean the same on the two sides of a fork. */
struct failure {
    const char *what;
    int step;
    int error;
};

struct child {
    int pid, pidfd, out, err;
};

/* ---- conversion, before the fork ------------------------------------------------------------------------ */

static void free_plan(struct plan *plan) {
    PyMem_Free(plan->steps);
    PyMem_Free(plan->argv);
    PyMem_Free(plan->env);
    PyMem_Free(plan->programs);
    PyMem_Free(plan->groups);
    PyMem_Free(plan->limits);
}

/* A zeroed array with one more element than asked for, which ends a list of strings. */
static void *new_array(Py_ssize_t count, size_t size) {
    void *array = PyMem_Calloc((size_t)count + 1, size);
    if (!array) PyErr_NoMemory();
    return array;
}

/* The strings stay owned by the tuple, which the caller's arguments keep alive. */
static char **strings(PyObject *tuple) {
    Py_ssize_t count = PyTuple_Size(tuple);
    char **array = new_array(count, sizeof *array);
    for (Py_ssize_t i = 0; array && i < count; i++)
        if (PyBytes_AsStringAndSize(PyTuple_GetItem(tuple, i), &array[i], NULL) < 0) return PyMem_Free(array), NULL;
    return array;
}

static int convert_step(PyObject *tuple, struct step *step) {
    const char *op;
    if (!PyArg_ParseTuple(tuple, "ssyyyy#kp", &op, &step->name, &step->target, &step->source, &step->fstype,
                          &step->data, &step->size, &step->flags, &step->optional))
        return -1;
    step->perform = rb_step_named(op);
    if (!step->perform) PyErr_Format(PyExc_ValueError, "no step is called %s", op);
    return step->perform ? 0 : -1;
}

static int convert_steps(PyObject *tuple, struct plan *plan) {
    Py_ssize_t count = PyTuple_Size(tuple);
    plan->steps = new_array(count, sizeof *plan->steps);
    for (Py_ssize_t i = 0; plan->steps && i < count; i++)
        if (convert_step(PyTuple_GetItem(tuple, i), &plan->steps[i]) < 0) return -1;
    plan->step_count = (size_t)count;
    return plan->steps ? 0 : -1;
}

static int convert_groups(PyObject *groups, struct plan *plan) {
    if (groups == Py_None) return 0;
    Py_ssize_t count = PyTuple_Size(groups);
    if (count < 0) return -1;
    plan->groups = new_array(count, sizeof *plan->groups);
    for (Py_ssize_t i = 0; plan->groups && i < count; i++)
        plan->groups[i] = (gid_t)PyLong_AsUnsignedLong(PyTuple_GetItem(groups, i));
    plan->group_count = (size_t)count;
    return plan->groups && !PyErr_Occurred() ? 0 : -1;
}

static int convert_limits(PyObject *limits, struct plan *plan) {
    Py_ssize_t count = PyTuple_Size(limits);
    plan->limits = new_array(count, sizeof *plan->limits);
    for (Py_ssize_t i = 0; plan->limits && i < count; i++) {
        unsigned long long soft, hard;
        if (!PyArg_ParseTuple(PyTuple_GetItem(limits, i), "iKK", &plan->limits[i].resource, &soft, &hard)) return -1;
        plan->limits[i].value = (struct rlimit){.rlim_cur = (rlim_t)soft, .rlim_max = (rlim_t)hard};
    }
    plan->limit_count = (size_t)count;
    return plan->limits ? 0 : -1;
}

static int convert(PyObject *args, PyObject *kwargs, struct plan *plan) {
    char *names[] = {"steps", "argv",   "programs",   "env",    "cwd",      "hostname",  "namespaces", "uid",
                     "gid",   "groups", "bounding",   "effective", "umask", "limits",    "no_new_privs", NULL};
    PyObject *steps, *argv, *programs, *env, *groups, *limits;
    unsigned long long bounding, effective;
    PyObject *tuple = (PyObject *)&PyTuple_Type;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$O!O!O!O!yykIIOKKIO!p:spawn", names, tuple, &steps, tuple, &argv,
                                     tuple, &programs, tuple, &env, &plan->cwd, &plan->hostname, &plan->namespaces,
                                     &plan->uid, &plan->gid, &groups, &bounding, &effective, &plan->umask, tuple,
                                     &limits, &plan->no_new_privs))
        return -1;
    plan->bounding = bounding;
    plan->effective = effective;
    if (!(plan->argv = strings(argv)) || !(plan->env = strings(env)) || !(plan->programs = strings(programs)))
        return -1;
    if (convert_steps(steps, plan) < 0 || convert_groups(groups, plan) < 0) return -1;
    return convert_limits(limits, plan);
}

/* ---- the fork ------------------------------------------------------------------------------------------- */

static void report_failure(struct plan *plan) {
    struct failure failure = {.what = plan->failed, .step = plan->failed_step, .error = errno};
    (void)!write(plan->report, &failure, sizeof failure);
    _exit(127);
}

/* The system call itself: glibc's fork takes locks that another thread may hold, and knows no namespaces. */
static int fork_into(struct plan *plan, int *pidfd) {
    unsigned long flags = plan->namespaces | CLONE_PIDFD | SIGCHLD;
    long pid = syscall(SYS_clone, flags, NULL, pidfd, NULL, 0);
    if (pid == 0) {
        rb_become_command(plan);
        report_failure(plan);
    }
    return (int)pid;
}

/* With all signals blocked, no handler of the builder can run in the child. */
static int fork_quietly(struct plan *plan, int *pidfd) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int pid = fork_into(plan, pidfd);
    int saved = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = saved;
    return pid;
}

/* 1 when the child told why it failed, 0 when the pipe ended because exec closed it. */
static int read_report(int fd, struct failure *failure) {
    ssize_t size;
    do size = read(fd, failure, sizeof *failure);
    while (size < 0 && errno == EINTR);
    return size == (ssize_t)sizeof *failure;
}

static void reap(int pid) {
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
}

static int fail_with(struct failure *failure, const char *what) {
    *failure = (struct failure){.what = what, .step = -1, .error = errno};
    return -1;
}

static int spawn(struct plan *plan, struct child *child, struct failure *failure) {
    int out[2] = {-1, -1}, err[2] = {-1, -1}, report[2] = {-1, -1}, pidfd = -1;
    if (pipe2(out, O_CLOEXEC) < 0) return fail_with(failure, "pipe");
    RB_FD out_read = out[0], out_write = out[1];
    if (pipe2(err, O_CLOEXEC) < 0) return fail_with(failure, "pipe");
    RB_FD err_read = err[0], err_write = err[1];
    if (pipe2(report, O_CLOEXEC) < 0) return fail_with(failure, "pipe");
    RB_FD report_read = report[0], report_write = report[1];
    RB_FD null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null < 0) return fail_with(failure, "open /dev/null");
    RB_FD builder = (int)syscall(434 /* pidfd_open */, getpid(), 0);

    plan->builder = builder;
    plan->report = report_write;
    memcpy(plan->stdio, (int[]){null, out_write, err_write}, sizeof plan->stdio);
    int pid = fork_quietly(plan, &pidfd);
    if (pid < 0) return fail_with(failure, "clone");
    close(rb_take_fd(&report_write));
    if (read_report(report_read, failure)) {
        close(pidfd);
        reap(pid);
        return -1;
    }
    *child = (struct child){pid, pidfd, rb_take_fd(&out_read), rb_take_fd(&err_read)};
    return 0;
}

/* ---- the face ------------------------------------------------------------------------------------------- */

static const char *failed_path(const struct plan *plan, const struct failure *failure) {
    if (failure->step >= 0) return plan->steps[failure->step].target;
    if (strcmp(failure->what, "cwd") == 0) return plan->cwd;
    return strcmp(failure->what, "exec") == 0 ? plan->argv[0] : "";
}

PyObject *rb_py_spawn(PyObject *self, PyObject *args, PyObject *kwargs) {
    (void)self;
    __attribute__((cleanup(free_plan))) struct plan plan = {.root = -1, .builder = -1, .failed_step = -1};
    struct child child;
    struct failure failure;
    int result;
    if (convert(args, kwargs, &plan) < 0) return NULL;
    Py_BEGIN_ALLOW_THREADS;
    result = spawn(&plan, &child, &failure);
    Py_END_ALLOW_THREADS;
    if (result < 0) return rb_raise(failure.error, failure.what, failed_path(&plan, &failure));
    return Py_BuildValue("(iiii)", child.pid, child.pidfd, child.out, child.err);
}
