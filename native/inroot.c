/* Opening for use what resolve.c resolves, and opening where no symlink may be at all. */
#include "layers.h"

#include <linux/openat2.h>
#include <sys/syscall.h>

#include "resolve.h"

/* The next component of *path, NUL-terminated in place; NULL at the end. */
static char *next_component(char **path) {
    char *start = *path + strspn(*path, "/");
    if (!*start) return NULL;
    char *end = start + strcspn(start, "/");
    *path = *end ? end + 1 : end;
    *end = 0;
    return start;
}

static int walk_beneath(int root, const char *path, int flags) {
    FREE char *copy = strdup(path);
    RB_FD current = openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (!copy || current < 0) return -1;
    char *rest = copy, *name = next_component(&rest);
    for (char *next; name; name = next) {
        if (!strcmp(name, "..")) return errno = EXDEV, -1;
        if (!(next = next_component(&rest))) return openat(current, name, flags | O_NOFOLLOW | O_CLOEXEC);
        int child = openat(current, name, O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC);
        if (child < 0) return -1;
        close(current);
        current = child;
    }
    return openat(current, ".", flags | O_CLOEXEC);
}

int open_beneath(int root, const char *path, int flags, bool force_walk) {
    struct open_how how = {
        .flags = (uint64_t)flags | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    if (!*path) return openat(root, ".", flags | O_CLOEXEC);
    if (!force_walk) {
        int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how);
        /* Missing, filtered, or a path of many pages, which only a walk can take. */
        if (fd >= 0 || (errno != ENOSYS && errno != EPERM && errno != ENAMETOOLONG)) return fd;
    }
    return walk_beneath(root, path, flags);
}

int open_in_root(int root, const char *path, int flags, bool force_walk) {
    char name[FD_PATH_SIZE];
    struct stat st;
    if (flags & O_CREAT) return errno = EINVAL, -1;
    bool nofollow = flags & O_NOFOLLOW;
    RB_FD fd = force_walk ? rb_walk(root, path, nofollow) : rb_resolve(root, *path ? path : ".", nofollow);
    if (fd < 0 || flags & O_PATH) return rb_take_fd(&fd);
    if (fstat(fd, &st)) return -1;
    if (S_ISLNK(st.st_mode)) return errno = ELOOP, -1;
    if (S_ISDIR(st.st_mode)) return openat(fd, ".", flags | O_CLOEXEC);
    /* This file, whatever its name leads to by now. */
    return open(rb_fd_path(name, fd), (flags & ~O_NOFOLLOW) | O_CLOEXEC);
}

PyObject *rb_py_open_in_root(PyObject *self, PyObject *args, PyObject *kwargs) {
    char *names[] = {"root_fd", "path", "flags", "force_walk", "beneath", NULL};
    int root, flags, force = 0, beneath = 0, fd;
    const char *path;
    struct fault fault = {0};
    (void)self;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "iyi|pp", names, &root, &path, &flags, &force, &beneath)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    fd = beneath ? open_beneath(root, path, flags, force) : open_in_root(root, path, flags, force);
    if (fd < 0) fault_os(&fault, beneath ? "open" : "open in root", path);
    Py_END_ALLOW_THREADS
    return fd < 0 ? fault_raise(&fault) : PyLong_FromLong(fd);
}
