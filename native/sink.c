/* One way to make an entry in T/diff, for whatever brings entries: an archive, a context, another tree.
 *
 * What is in the way goes; nothing is ever followed. An entry gets its data, then chown, chmod, xattrs and last its
 * times, as each of them changes what comes after it; the metadata of directories waits until all is made. */
#include "layers.h"

#include <stdio.h>

/* ---- clearing a name ---- */

/* Delete all in `from`; what directories it has that are not empty, move to `top` or, of `top` itself, empty. */
static int empty_directory(int from, int top, unsigned *moved) {
    int copy = openat(from, ".", OPEN_DIR);
    CLEANUP(close_dir) DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir) return rb_close_fd(&copy), -1;
    for (struct dirent *entry; errno = 0, (entry = readdir(dir));) {
        const char *name = entry->d_name;
        if (!strcmp(name, ".") || !strcmp(name, "..") || !unlinkat(from, name, 0)) continue;
        if (errno != EISDIR) return -1;
        if (!unlinkat(from, name, AT_REMOVEDIR)) continue;
        if (errno != ENOTEMPTY) return -1;
        if (from == top) {
            RB_FD fd = openat(from, name, OPEN_DIR | O_NOFOLLOW);
            if (fd < 0 || empty_directory(fd, top, moved) || unlinkat(from, name, AT_REMOVEDIR)) return -1;
            continue;
        }
        for (char fresh[16]; snprintf(fresh, sizeof fresh, "%u", (*moved)++), renameat(from, name, top, fresh);)
            if (errno != ENOTEMPTY && errno != ENOTDIR) return -1;
    }
    return errno ? -1 : 0;
}

/* A directory and all below go, whatever symlinks they hold. What is deep is moved up first: an archive can make
 * chains of directories for which neither a stack nor descriptors would last. */
static int remove_directory(int parent, const char *name) {
    unsigned moved = 0;
    RB_FD top = openat(parent, name, OPEN_DIR | O_NOFOLLOW);
    while (top >= 0 && unlinkat(parent, name, AT_REMOVEDIR))
        if (errno != ENOTEMPTY || empty_directory(top, top, &moved)) return -1;
    return top < 0 ? -1 : 0;
}

/* Whether to try again: the name was taken, and what had it is gone. */
static bool cleared(const struct sink *sink, const char *leaf) {
    struct stat st;
    if (errno != EEXIST) return false;
    if (fstatat(sink->parent, leaf, &st, AT_SYMLINK_NOFOLLOW)) return errno == ENOENT;
    if (!S_ISDIR(st.st_mode)) return !unlinkat(sink->parent, leaf, 0);
    return sink->replaces ? !remove_directory(sink->parent, leaf) : (errno = EISDIR, false);
}

/* ---- the sink ---- */

void sink_enter(struct sink *sink, int parent, char *path) {
    rb_close_fd(&sink->parent);
    free(sink->parent_path);
    sink->parent = parent;
    sink->parent_path = path;
}

void sink_free(struct sink *sink) {
    sink_enter(sink, -1, NULL);
    rb_close_fd(&sink->diff);
    buffer_free(&sink->waiting);
    buffer_free(&sink->last_waiting);
    journal_free(&sink->journal);
}

int sink_fault(struct sink *sink, const char *step) { return fault_os(sink->fault, step, sink->name); }

int sink_open(struct sink *sink, int tree_fd) {
    sink->diff = openat(tree_fd, "diff", OPEN_DIR | O_NOFOLLOW);
    if (sink->diff < 0) return fault_os(sink->fault, "open tree", "diff");
    return journal_load(tree_fd, &sink->journal) ? fault_os(sink->fault, "read journal", "journal") : 0;
}

/* `mode` 0: there is no record, which need be said only where there may be an older one. */
static int note(struct sink *sink, const char *leaf, const struct meta *meta) {
    FREE char *path = path_join(sink->parent_path, leaf);
    if (path && !meta->mode && !journal_find(&sink->journal, path)) return 0;
    return path && !journal_add(&sink->journal, path, meta) ? 0 : sink_fault(sink, "allocate");
}

static int set_mtime(int fd, struct timespec mtime) {
    struct timespec times[2] = {mtime, mtime};
    return mtime.tv_nsec == UTIME_OMIT ? 0 : futimens(fd, times);
}

/* ---- directories, which wait for their metadata ---- */

/* One after the other in a buffer, each followed by what its path does not share with the path before it. */
struct waiting {
    struct meta meta;
    struct timespec mtime;
    uint32_t shared, size;
};

static int postpone(struct sink *sink, const char *path, const struct attributes *look) {
    struct waiting item = {look->meta, look->mtime, 0, 0};
    const char *last = sink->last_waiting.bytes ? sink->last_waiting.bytes : "";
    while (path[item.shared] && path[item.shared] == last[item.shared]) item.shared++;
    item.size = (uint32_t)strlen(path + item.shared);
    sink->last_waiting.size = item.shared;
    if (buffer_add(&sink->last_waiting, path + item.shared, item.size)) return -1;
    if (buffer_add(&sink->waiting, &item, sizeof item)) return -1;
    return buffer_add(&sink->waiting, path + item.shared, item.size);
}

/* A descriptor. What comes in the place of a non-directory must hide the lower directory of this name, as that did. */
static int make_directory(int parent, const char *name) {
    bool replaced = false;
    struct stat st;
    if (mkdirat(parent, name, 0700)) {
        if (errno != EEXIST || fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW)) return -1;
        replaced = !S_ISDIR(st.st_mode);
        if (replaced && (unlinkat(parent, name, 0) || mkdirat(parent, name, 0700))) return -1;
    }
    RB_FD fd = openat(parent, name, OPEN_DIR | O_NOFOLLOW);
    if (fd >= 0 && replaced && set_opaque(fd)) return -1;
    return rb_take_fd(&fd);
}

int sink_directory(struct sink *sink, const char *leaf, const struct attributes *look) {
    FREE char *path = path_join(sink->parent_path, leaf);
    RB_FD fd = *leaf ? make_directory(sink->parent, leaf) : openat(sink->diff, ".", OPEN_DIR);
    if (fd < 0) return sink_fault(sink, "create directory");
    if (xattrs_write(fd, look->xattrs)) return sink_fault(sink, "set xattrs");
    return path && !postpone(sink, path, look) ? 0 : sink_fault(sink, "allocate");
}

static int apply_waiting(struct sink *sink, const char *path, const struct waiting *item) {
    RB_FD fd = open_beneath(sink->diff, path, OPEN_DIR, false);
    /* Replaced by something else since: then it has no metadata to get. */
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) return 0;
    if (fd < 0) return fault_os(sink->fault, "open directory", path);
    if (meta_write(fd, &item->meta, sink->owners)) return fault_os(sink->fault, "set metadata", path);
    return set_mtime(fd, item->mtime) ? fault_os(sink->fault, "set mtime", path) : 0;
}

int sink_settle(struct sink *sink, int tree_fd) {
    CLEANUP(buffer_free) struct buffer path = {0};
    struct waiting item;
    for (size_t at = 0; at < sink->waiting.size; at += sizeof item + item.size) {
        memcpy(&item, sink->waiting.bytes + at, sizeof item);
        path.size = item.shared;
        const char *rest = sink->waiting.bytes + at + sizeof item;
        if (buffer_add(&path, rest, item.size)) return fault_os(sink->fault, "allocate", NULL);
        if (apply_waiting(sink, path.bytes, &item)) return -1;
    }
    bool written = !journal_write(&sink->journal, tree_fd, sink->diff);
    return written ? 0 : fault_os(sink->fault, "write journal", "journal");
}

/* ---- all else ---- */

int sink_file(struct sink *sink, const char *leaf) {
    const int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int fd;
    while ((fd = openat(sink->parent, leaf, flags, 0600)) < 0)
        if (!cleared(sink, leaf)) return sink_fault(sink, "create file");
    return fd;
}

int sink_finish(struct sink *sink, int fd, const struct attributes *look) {
    if (meta_write(fd, &look->meta, sink->owners)) return sink_fault(sink, "set metadata");
    if (xattrs_write(fd, look->xattrs)) return sink_fault(sink, "set xattrs");
    return set_mtime(fd, look->mtime) ? sink_fault(sink, "set mtime") : 0;
}

static int finish_node(struct sink *sink, const char *leaf, const struct attributes *look) {
    const struct timespec times[2] = {look->mtime, look->mtime};
    const struct meta none = {0};
    bool record;
    if (meta_write_node(sink->parent, leaf, &look->meta, sink->owners, &record)) return sink_fault(sink, "set metadata");
    if (note(sink, leaf, record ? &look->meta : &none)) return -1;
    if (look->mtime.tv_nsec != UTIME_OMIT && utimensat(sink->parent, leaf, times, AT_SYMLINK_NOFOLLOW))
        return sink_fault(sink, "set mtime");
    return 0;
}

int sink_symlink(struct sink *sink, const char *leaf, const char *target, const struct attributes *look) {
    struct attributes link = *look;
    link.meta.mode = S_IFLNK | 0777;
    while (symlinkat(target, sink->parent, leaf))
        if (!cleared(sink, leaf)) return sink_fault(sink, "create symlink");
    return finish_node(sink, leaf, &link);
}

static int make_node(struct sink *sink, const char *leaf, mode_t mode, dev_t rdev) {
    while (mknodat(sink->parent, leaf, mode, rdev))
        if (!cleared(sink, leaf)) return -1;
    return 0;
}

int sink_node(struct sink *sink, const char *leaf, const struct attributes *look) {
    mode_t mode = look->meta.mode;
    bool fifo = S_ISFIFO(mode), real = fifo || sink->owners == OWNERS_REAL;
    if (S_ISCHR(mode) && look->meta.rdev == 0)
        return fault_bad(sink->fault, "a character device 0:0, which is overlayfs's whiteout", sink->name);
    if (real && !make_node(sink, leaf, mode & (S_IFMT | 0600), look->meta.rdev))
        return finish_node(sink, leaf, look);
    if (real && (fifo || errno != EPERM)) return sink_fault(sink, fifo ? "create FIFO" : "create device node");
    RB_FD fd = sink_file(sink, leaf);
    return fd < 0 ? -1 : sink_finish(sink, fd, look);
}

static bool same_file(int one, const char *name, int other, const char *other_name) {
    struct stat a, b;
    return !fstatat(one, name, &a, AT_SYMLINK_NOFOLLOW) && !fstatat(other, other_name, &b, AT_SYMLINK_NOFOLLOW) &&
           a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

int sink_link(struct sink *sink, int from, const char *from_path, const char *old, const char *leaf) {
    const struct meta none = {0};
    struct stat st;
    while (linkat(from, old, sink->parent, leaf, 0)) {
        if (errno == EEXIST && same_file(from, old, sink->parent, leaf)) break; /* clearing the name would clear both */
        if (!cleared(sink, leaf)) return sink_fault(sink, "create hard link");
    }
    if (fstatat(from, old, &st, AT_SYMLINK_NOFOLLOW)) return sink_fault(sink, "create hard link");
    if (S_ISREG(st.st_mode)) return 0;
    FREE char *path = path_join(from_path, old);
    if (!path) return sink_fault(sink, "allocate");
    const struct meta *record = journal_find(&sink->journal, path);
    struct meta meta = record ? *record : none; /* to add may move the records */
    return note(sink, leaf, &meta);
}

int sink_whiteout(struct sink *sink, const char *leaf) {
    return make_node(sink, leaf, S_IFCHR, 0) ? sink_fault(sink, "create whiteout") : 0;
}

/* ---- data ---- */

bool all_zero(const void *bytes, size_t size) {
    return !*(const char *)bytes && !memcmp(bytes, (const char *)bytes + 1, size - 1);
}

int write_full(int fd, const char *bytes, size_t size) {
    while (size) {
        ssize_t done = write(fd, bytes, size);
        if (done < 0 && errno != EINTR) return -1;
        if (done > 0) bytes += done, size -= (size_t)done;
    }
    return 0;
}

int write_sparse(int fd, const char *bytes, size_t size, bool *hole) {
    for (size_t piece; size; bytes += piece, size -= piece) {
        piece = size < 4096 ? size : 4096;
        *hole = piece == 4096 && all_zero(bytes, piece);
        if (*hole && lseek(fd, 4096, SEEK_CUR) < 0) return -1;
        if (*hole) continue;
        while (piece < size && !(size - piece >= 4096 && all_zero(bytes + piece, 4096)))
            piece += size - piece < 4096 ? size - piece : 4096;
        if (write_full(fd, bytes, piece)) return -1;
    }
    return 0;
}
