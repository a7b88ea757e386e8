/* Creating one leaf under an open parent. What is in the way goes; nothing is ever followed. */
#include "layers.h"

#include <dirent.h>

static void close_dir(DIR **dir) {
    if (*dir) closedir(*dir);
}

/* Delete a directory and all below, within `parent`, whatever symlinks it holds. */
static int remove_directory(int parent, const char *name) {
    int fd = openat(parent, name, OPEN_DIR | O_NOFOLLOW);
    if (fd < 0) return -1;
    CLEANUP(close_dir) DIR *dir = fdopendir(fd);
    if (!dir) return close(fd), -1;
    for (struct dirent *entry; errno = 0, (entry = readdir(dir));) {
        struct stat st;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW)) return -1;
        int failed = S_ISDIR(st.st_mode) ? remove_directory(fd, entry->d_name) : unlinkat(fd, entry->d_name, 0);
        if (failed) return -1;
    }
    return errno ? -1 : unlinkat(parent, name, AT_REMOVEDIR);
}

static int clear_leaf(int parent, const char *name, bool recursive) {
    struct stat st;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW)) return errno == ENOENT ? 0 : -1;
    if (!S_ISDIR(st.st_mode)) return unlinkat(parent, name, 0);
    return recursive ? remove_directory(parent, name) : (errno = EISDIR, -1);
}

/* Try, and when the name is taken clear it and try once more. */
#define REPLACING(attempt)                                                                            \
    int result = (attempt);                                                                           \
    if (result >= 0 || errno != EEXIST) return result;                                                \
    return clear_leaf(parent, name, recursive) ? -1 : (attempt)

int make_file(int parent, const char *name, bool recursive) {
    const int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    REPLACING(openat(parent, name, flags, 0600));
}

int make_symlink(int parent, const char *name, const char *target, bool recursive) {
    REPLACING(symlinkat(target, parent, name));
}

int make_node(int parent, const char *name, mode_t mode, dev_t rdev, bool recursive) {
    REPLACING(mknodat(parent, name, mode, rdev));
}

int make_link(int from, const char *old, int parent, const char *name, bool recursive) {
    struct stat one, other;
    if (fstatat(from, old, &one, AT_SYMLINK_NOFOLLOW)) return -1;
    if (!fstatat(parent, name, &other, AT_SYMLINK_NOFOLLOW) && one.st_ino == other.st_ino &&
        one.st_dev == other.st_dev)
        return 0; /* clearing the name would clear the target */
    REPLACING(linkat(from, old, parent, name, 0));
}

int make_directory(int parent, const char *name) {
    bool replaced = false;
    struct stat st;
    if (mkdirat(parent, name, 0700)) {
        if (errno != EEXIST || fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW)) return -1;
        replaced = !S_ISDIR(st.st_mode);
        if (replaced && (unlinkat(parent, name, 0) || mkdirat(parent, name, 0700))) return -1;
    }
    RB_FD fd = openat(parent, name, OPEN_DIR | O_NOFOLLOW);
    /* What was here hid the lower directory of this name, and so must what comes in its place. */
    if (fd >= 0 && replaced && set_opaque(fd)) return -1;
    return rb_take_fd(&fd);
}

int set_mtime(int fd, struct timespec mtime) {
    struct timespec times[2] = {mtime, mtime};
    return mtime.tv_nsec == UTIME_OMIT ? 0 : futimens(fd, times);
}

int directories_add(struct directories *list, const char *path, const struct meta *meta, struct timespec mtime) {
    struct directory *items = array_grow(list->items, list->count, &list->room, sizeof *items);
    if (!items) return -1;
    list->items = items;
    items[list->count] = (struct directory){strdup(path), *meta, mtime};
    return items[list->count].path ? (list->count++, 0) : -1;
}

int directories_apply(const struct directories *list, int diff, enum owners owners, struct fault *fault) {
    for (size_t i = 0; i < list->count; i++) {
        const struct directory *item = &list->items[i];
        RB_FD fd = open_beneath(diff, item->path, OPEN_DIR, false);
        /* Replaced by something else since: then it has no metadata to get. */
        if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) continue;
        if (fd < 0) return fault_os(fault, "open directory", item->path);
        if (meta_write(fd, &item->meta, owners)) return fault_os(fault, "set metadata", item->path);
        if (set_mtime(fd, item->mtime)) return fault_os(fault, "set mtime", item->path);
    }
    return 0;
}

void directories_free(struct directories *list) {
    for (size_t i = 0; i < list->count; i++) free(list->items[i].path);
    free(list->items);
    *list = (struct directories){0};
}
