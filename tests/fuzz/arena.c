#include "arena.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TOP "/dev/shm"
/* entries, bytes, header, path, name, depth: small, so that no run is slow */
#define LIMITS 200LL, 1LL << 20, 1LL << 16, 4095LL, 255LL, 64LL

PyMODINIT_FUNC PyInit__native(void);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static PyObject *module;
static struct stat top_before, file_before;

static void give_up(const char *what) {
    perror(what);
    exit(2);
}

static void must(bool done, const char *what) {
    if (done) return;
    fprintf(stderr, "WRONG: %s\n", what);
    if (PyErr_Occurred()) PyErr_Print();
    abort();
}

/* ---- the place ---- */

static void write_text(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0) give_up(path);
    close(fd);
}

static void set_writable(const char *path, unsigned flags, bool writable) {
    struct mount_attr attr = {.attr_set = writable ? 0 : MOUNT_ATTR_RDONLY,
                              .attr_clr = writable ? MOUNT_ATTR_RDONLY : 0};
    if (syscall(SYS_mount_setattr, AT_FDCWD, path, flags, &attr, sizeof attr)) give_up("mount_setattr");
}

/* Nothing of this machine but the current directory, for the fuzzer's files, can be written from here on. */
static void enter_namespaces(void) {
    char uids[64], gids[64], *here = realpath(".", NULL);
    snprintf(uids, sizeof uids, "0 %u 1", geteuid());
    snprintf(gids, sizeof gids, "0 %u 1", getegid());
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS)) give_up("unshare (fuzzing needs user namespaces)");
    write_text("/proc/self/setgroups", "deny");
    write_text("/proc/self/uid_map", uids);
    write_text("/proc/self/gid_map", gids);
    if (!here || mount(here, here, NULL, MS_BIND | MS_REC, NULL)) give_up("bind");
    set_writable("/", AT_RECURSIVE, false);
    set_writable(here, 0, true);
    if (chdir(here) || mount("tmpfs", TOP, "tmpfs", MS_NODEV | MS_NOSUID, "size=64m")) give_up("mount tmpfs");
    free(here);
}

static void make_canary(void) {
    if (mkdir(TOP "/canary", 0755)) give_up("mkdir");
    int fd = open(TOP "/canary/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, "alive", 5) != 5) give_up("canary");
    close(fd);
    if (stat(TOP "/canary", &top_before) || stat(TOP "/canary/file", &file_before)) give_up("stat");
}

static bool unchanged(const char *path, const struct stat *before) {
    struct stat now;
    return !lstat(path, &now) && now.st_ino == before->st_ino && now.st_mode == before->st_mode &&
           now.st_nlink == before->st_nlink && now.st_size == before->st_size &&
           !memcmp(&now.st_ctim, &before->st_ctim, sizeof now.st_ctim);
}

void arena_check(void) {
    bool same = unchanged(TOP "/canary", &top_before) && unchanged(TOP "/canary/file", &file_before);
    must(same, "something was written beside the tree");
}

static void remove_below(int fd) {
    DIR *dir = fdopendir(fd);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (!unlinkat(fd, entry->d_name, 0)) continue;
        fchmodat(fd, entry->d_name, 0700, 0);
        remove_below(openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        must(!unlinkat(fd, entry->d_name, AT_REMOVEDIR), "a tree cannot be removed");
    }
    closedir(dir);
}

static int descriptor_of(const char *tree) {
    char path[64];
    snprintf(path, sizeof path, TOP "/%s", tree);
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

void arena_empty(const char *tree) {
    char path[64];
    snprintf(path, sizeof path, TOP "/%s", tree);
    if (mkdir(path, 0700)) remove_below(descriptor_of(tree));
    snprintf(path, sizeof path, TOP "/%s/diff", tree);
    if (mkdir(path, 0755)) give_up("mkdir");
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    Py_InitializeEx(0);
    if (!(module = PyInit__native())) give_up("the extension");
    /* its table may be a definition that is to be executed first */
    if (!PyModule_Check(module)) give_up("the extension is no module");
    enter_namespaces();
    make_canary();
    return 0;
}

/* ---- calls ---- */

struct way way_of(const uint8_t *input, size_t size) {
    static const size_t pieces[] = {1 << 20, 512, 100, 10240};
    unsigned bits = size ? input[size - 1] : 0;
    return (struct way){bits & 1 ? "real" : "recorded", !(bits & 2), bits & 4, bits & 32, pieces[bits >> 3 & 3]};
}

struct feed {
    const uint8_t *bytes;
    size_t left, piece;
    bool fails;
};

static PyObject *feed_read(PyObject *self, PyObject *unused) {
    struct feed *feed = PyCapsule_GetPointer(self, NULL);
    (void)unused;
    size_t size = feed->left < feed->piece ? feed->left : feed->piece;
    if (!size && feed->fails) return PyErr_SetFromErrno((errno = EIO, PyExc_OSError));
    PyObject *piece = PyBytes_FromStringAndSize((const char *)feed->bytes, (Py_ssize_t)size);
    feed->bytes += size;
    feed->left -= size;
    return piece;
}

/* A refusal is OSError(errno, "step: reason", path) or ValueError(reason, path); nothing else may come out. */
static void check_refusal(void) {
    PyObject *type, *value, *trace, *args;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    args = PyObject_GetAttrString(value, "args");
    bool os = PyErr_GivenExceptionMatches(type, PyExc_OSError);
    bool bad = PyErr_GivenExceptionMatches(type, PyExc_ValueError) && PyTuple_Size(args) == 2;
    Py_XDECREF(args);
    if (!os && !bad) PyErr_Restore(type, value, trace);
    must(os || bad, "neither OSError nor ValueError(reason, path)");
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
}

bool arena_unpack(const char *tree, const uint8_t *tar, size_t size, struct way way) {
    static PyMethodDef read_method = {"read", feed_read, METH_NOARGS, NULL};
    struct feed feed = {tar, size, way.piece, way.read_fails};
    int fd = descriptor_of(tree);
    PyObject *capsule = PyCapsule_New(&feed, NULL, NULL), *read = PyCFunction_New(&read_method, capsule);
    PyObject *unpack = PyObject_GetAttrString(module, "unpack");
    PyObject *made = PyObject_CallFunction(unpack, "Oisi(LLLLLL)i", read, fd, way.owners, (int)way.layer, LIMITS,
                                           (int)way.force_walk);
    if (!made) check_refusal();
    close(fd);
    Py_XDECREF(unpack);
    Py_XDECREF(read);
    Py_XDECREF(capsule);
    bool done = made != NULL;
    Py_XDECREF(made);
    arena_check();
    return done;
}

static PyObject *open_trees(const char *const *trees, size_t count) {
    PyObject *fds = PyList_New(0);
    for (size_t i = 0; i < count; i++) {
        PyObject *fd = PyLong_FromLong(descriptor_of(trees[i]));
        PyList_Append(fds, fd);
        Py_DECREF(fd);
    }
    return fds;
}

static void close_trees(PyObject *fds) {
    for (Py_ssize_t i = 0; i < PyList_Size(fds); i++) close((int)PyLong_AsLong(PyList_GetItem(fds, i)));
    Py_DECREF(fds);
}

PyObject *arena_pack(const char *const *trees, size_t count, size_t above, struct way way, bool layer) {
    PyObject *uppers = open_trees(trees, above), *lowers = open_trees(trees + above, count - above);
    PyObject *pieces = PyList_New(0), *write = PyObject_GetAttrString(pieces, "append"), *tar = NULL;
    PyObject *done = PyObject_CallMethod(module, "pack", "OOOsLi", uppers, lowers, write, way.owners,
                                         1LL << 40, (int)layer);
    if (done) {
        PyObject *empty = PyBytes_FromStringAndSize("", 0);
        must((tar = PyObject_CallMethod(empty, "join", "O", pieces)) != NULL, "join");
        Py_DECREF(empty);
    } else {
        check_refusal();
    }
    Py_XDECREF(done);
    Py_DECREF(write);
    Py_DECREF(pieces);
    close_trees(uppers);
    close_trees(lowers);
    arena_check();
    return tar;
}
