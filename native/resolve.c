/* Resolves a path inside an untrusted tree to a descriptor; nothing is ever checked by name and then used. */
#include "native.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "cleanup.h"
#include "resolve.h"

enum { MAX_LINKS = 40, MAX_DEPTH = 256, MAX_RETRIES = 8 };

/* snprintf is not async-signal-safe. */
const char *rb_fd_path(char buffer[FD_PATH_SIZE], int fd) {
    char *end = buffer + FD_PATH_SIZE - 1;
    const char *prefix = "/proc/self/fd/";
    *end = '\0';
    do *--end = (char)('0' + fd % 10);
    while (fd /= 10);
    end -= strlen(prefix);
    memcpy(end, prefix, strlen(prefix));
    return end;
}

/* A walk in progress: descriptors of the directories from the root down, and the text still to come. */
struct walk {
    int depth;
    int links;
    int fds[MAX_DEPTH];
    char rest[2 * PATH_MAX];
};

static void ascend(struct walk *walk) {
    if (walk->depth > 0) close(walk->fds[--walk->depth]);
}

static void ascend_all(struct walk *walk) {
    int saved = errno;
    while (walk->depth > 0) ascend(walk);
    errno = saved;
}

static int descend(struct walk *walk, int fd) {
    if (walk->depth == MAX_DEPTH) return errno = ENAMETOOLONG, -1;
    walk->fds[walk->depth++] = fd;
    return 0;
}

/* Moves the next component of `rest` to `name`; 0 when there is none left. */
static int next_component(struct walk *walk, char name[NAME_MAX + 1]) {
    const char *start = walk->rest + strspn(walk->rest, "/");
    size_t length = strcspn(start, "/");
    if (length > NAME_MAX) return errno = ENAMETOOLONG, -1;
    memcpy(name, start, length);
    name[length] = '\0';
    memmove(walk->rest, start + length, strlen(start + length) + 1);
    return length > 0;
}

/* Puts the text of a symlink in front of what is still to come. */
static int follow(struct walk *walk, int link) {
    char text[PATH_MAX];
    ssize_t length = readlinkat(link, "", text, sizeof text - 1);
    if (length < 0) return -1;
    if (++walk->links > MAX_LINKS) return errno = ELOOP, -1;
    size_t rest = strlen(walk->rest);
    if ((size_t)length + rest + 2 > sizeof walk->rest) return errno = ENAMETOOLONG, -1;
    memmove(walk->rest + length, walk->rest, rest + 1);
    memcpy(walk->rest, text, (size_t)length);
    if (text[0] == '/') ascend_all(walk);
    return 0;
}

static int enter_component(struct walk *walk, int root, const char *name, int nofollow) {
    int here = walk->depth ? walk->fds[walk->depth - 1] : root;
    RB_FD fd = openat(here, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) return -1;
    if (S_ISLNK(st.st_mode) && !(nofollow && walk->rest[0] == '\0')) return follow(walk, fd);
    if (descend(walk, fd) < 0) return -1;
    rb_take_fd(&fd);
    return 0;
}

static int walk_components(struct walk *walk, int root, int nofollow) {
    char name[NAME_MAX + 1];
    int more;
    while ((more = next_component(walk, name)) > 0) {
        if (strcmp(name, ".") == 0) continue;
        if (strcmp(name, "..") == 0)
            ascend(walk);
        else if (enter_component(walk, root, name, nofollow) < 0)
            return -1;
    }
    return more;
}

int rb_walk(int root, const char *path, int nofollow) {
    struct walk walk = {.depth = 0, .links = 0};
    size_t length = strlen(path);
    if (length >= PATH_MAX) return errno = ENAMETOOLONG, -1;
    memcpy(walk.rest, path, length + 1);
    int fd = -1;
    if (walk_components(&walk, root, nofollow) == 0)
        fd = walk.depth ? walk.fds[--walk.depth] : fcntl(root, F_DUPFD_CLOEXEC, 3);
    ascend_all(&walk);
    return fd;
}

int rb_resolve(int root, const char *path, int nofollow) {
    struct open_how how = {
        .flags = O_PATH | O_CLOEXEC | (nofollow ? O_NOFOLLOW : 0),
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    for (int tries = 0; tries < MAX_RETRIES; tries++) {
        int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how);
        if (fd >= 0) return fd;
        if (errno == ENOSYS || errno == EPERM) return rb_walk(root, path, nofollow);
        if (errno != EAGAIN) return -1; /* EAGAIN: a rename or mount elsewhere raced with a ".." */
    }
    return rb_walk(root, path, nofollow); /* a busy host, which never lets it through: a walk cannot be raced so */
}

int rb_resolve_parent(int root, const char *path, const char **name) {
    const char *slash = strrchr(path, '/');
    char parent[PATH_MAX];
    size_t length = slash ? (size_t)(slash - path) : 0;
    if (length >= sizeof parent - 1) return errno = ENAMETOOLONG, -1;
    memcpy(parent, path, length);
    memcpy(parent + length, "/", 2);
    *name = slash ? slash + 1 : path;
    return rb_resolve(root, parent, 0);
}
