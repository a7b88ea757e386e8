/* Opening a path as if a directory were "/": the only way into an image's or archive's files.
 *
 * openat2(2) does it in the kernel. Where it is missing (before 5.6) or filtered, the components are walked
 * with O_PATH|O_NOFOLLOW and symlinks are expanded here. `..` is answered by walking again from the root
 * over the names already proven to be directories, never by opening ".." of a directory that may have moved. */
#include "layers.h"

#include <linux/openat2.h>
#include <sys/syscall.h>

#define MAX_LINKS 40 /* as the kernel */

static int openat2_retry(int root, const char *path, int flags, uint64_t resolve) {
    struct open_how how = {.flags = (uint64_t)flags | O_CLOEXEC, .resolve = resolve};
    int fd = -1;
    /* EAGAIN: something was renamed while ".." was resolved. */
    for (int attempt = 0; attempt < 64; attempt++) {
        fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how);
        if (fd >= 0 || errno != EAGAIN) break;
    }
    return fd;
}

static bool must_walk(int error) { return error == ENOSYS || error == EPERM || error == ENAMETOOLONG; }

/* The next component of *path, NUL-terminated in place; NULL at the end. */
static char *next_component(char **path) {
    char *start = *path + strspn(*path, "/");
    if (!*start) return NULL;
    char *end = start + strcspn(start, "/");
    *path = *end ? end + 1 : end;
    if (*end) *end = 0;
    return start;
}

static int walk_beneath(int root, const char *path, int flags) {
    FREE char *copy = strdup(path);
    FD current = openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (!copy || current < 0) return -1;
    char *rest = copy, *name = next_component(&rest);
    if (!name) return openat(current, ".", flags | O_CLOEXEC);
    for (char *next; (next = next_component(&rest)); name = next) {
        if (!strcmp(name, "..")) return errno = EXDEV, -1;
        int child = openat(current, name, O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC);
        if (child < 0) return -1;
        close(current);
        current = child;
    }
    if (!strcmp(name, "..")) return errno = EXDEV, -1;
    return openat(current, name, flags | O_NOFOLLOW | O_CLOEXEC);
}

int open_beneath(int root, const char *path, int flags, bool force_walk) {
    if (!*path) return openat(root, ".", flags | O_CLOEXEC);
    if (!force_walk) {
        int fd = openat2_retry(root, path, flags, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
        if (fd >= 0 || !must_walk(errno)) return fd;
    }
    return walk_beneath(root, path, flags);
}

struct walk {
    int root, current;
    char *done, *todo, *rest; /* done: names proven to be directories; rest points into todo */
    int links;
};

static void walk_free(struct walk *walk) {
    cleanup_fd(&walk->current);
    free(walk->done);
    free(walk->todo);
}

static int walk_to(struct walk *walk, const char *done) {
    int fd = walk_beneath(walk->root, done, O_PATH | O_DIRECTORY);
    if (fd < 0) return -1;
    cleanup_fd(&walk->current);
    walk->current = fd;
    return 0;
}

static int walk_up(struct walk *walk) {
    char *slash = strrchr(walk->done, '/');
    *(slash ? slash : walk->done) = 0;
    return walk_to(walk, walk->done);
}

static int walk_into(struct walk *walk, const char *name, int *child) {
    char *done = path_join(walk->done, name);
    if (!done) return -1;
    free(walk->done);
    walk->done = done;
    close(walk->current);
    walk->current = take_fd(child);
    return 0;
}

static int walk_link(struct walk *walk, int link) {
    char target[PATH_MAX];
    ssize_t size = readlinkat(link, "", target, sizeof target - 1);
    if (size < 0) return -1;
    target[size] = 0;
    if (++walk->links > MAX_LINKS) return errno = ELOOP, -1;
    if ((size_t)size + strlen(walk->rest) + 2 > PATH_MAX) return errno = ENAMETOOLONG, -1;
    if (target[0] == '/') *walk->done = 0;
    if (target[0] == '/' && walk_to(walk, "")) return -1;
    char *todo = path_join(target, walk->rest);
    if (!todo) return -1;
    free(walk->todo);
    walk->todo = walk->rest = todo;
    return 0;
}

static int walk_in_root(int root, const char *path, int flags) {
    CLEANUP(walk_free) struct walk walk = {root, -1, strdup(""), strdup(path), NULL, 0};
    walk.rest = walk.todo;
    if (!walk.done || !walk.todo || walk_to(&walk, "")) return -1;
    for (char *name; (name = next_component(&walk.rest));) {
        struct stat st;
        if (!strcmp(name, ".")) continue;
        if (!strcmp(name, "..")) {
            if (walk_up(&walk)) return -1;
            continue;
        }
        bool last = !*walk.rest && path[strlen(path) - 1] != '/';
        FD child = openat(walk.current, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (child < 0 || fstat(child, &st)) return -1;
        if (S_ISLNK(st.st_mode) && !(last && flags & O_NOFOLLOW)) {
            if (walk_link(&walk, child)) return -1;
        } else if (last) {
            return openat(walk.current, name, flags | O_NOFOLLOW | O_CLOEXEC);
        } else if (!S_ISDIR(st.st_mode)) {
            return errno = ENOTDIR, -1;
        } else if (walk_into(&walk, name, &child)) {
            return -1;
        }
    }
    return openat(walk.current, ".", flags | O_CLOEXEC);
}

int open_in_root(int root, const char *path, int flags, bool force_walk) {
    if (flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) return errno = EINVAL, -1;
    if (!*path) return openat(root, ".", flags | O_CLOEXEC);
    if (!force_walk) {
        int fd = openat2_retry(root, path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
        if (fd >= 0 || !must_walk(errno)) return fd;
    }
    return walk_in_root(root, path, flags);
}

PyObject *native_open_in_root(PyObject *self, PyObject *args, PyObject *keywords) {
    char *names[] = {"root_fd", "path", "flags", "force_walk", NULL};
    int root, flags, force = 0, fd;
    const char *path;
    struct fault fault = {0};
    (void)self;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "iyi|p", names, &root, &path, &flags, &force)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    fd = open_in_root(root, path, flags, force);
    if (fd < 0) fault_os(&fault, "open in root", path);
    Py_END_ALLOW_THREADS
    return fd < 0 ? fault_raise(&fault) : PyLong_FromLong(fd);
}
