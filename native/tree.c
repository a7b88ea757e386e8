/* One tree as Python sees it: stat, list, readlink, open; and sealing one that a step has written. */
#include "layers.h"

#include <limits.h>

int tree_open(struct tree *tree, int tree_fd, struct fault *fault) {
    *tree = (struct tree){.diff = openat(tree_fd, "diff", OPEN_DIR | O_NOFOLLOW)};
    if (tree->diff < 0) return fault_os(fault, "open tree", "diff");
    if (journal_load(tree_fd, &tree->journal)) return fault_os(fault, "read journal", "journal");
    return 0;
}

void tree_close(struct tree *tree) {
    rb_close_fd(&tree->diff);
    tree->diff = -1;
    journal_free(&tree->journal);
}

int tree_meta(const struct tree *tree, const char *path, const struct stat *st, enum owners owners,
              struct meta *meta, int *fd, struct fault *fault) {
    if (S_ISREG(st->st_mode) || S_ISDIR(st->st_mode)) {
        *fd = open_beneath(tree->diff, path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY, false);
        if (*fd < 0) return fault_os(fault, "open", path);
    }
    if (meta_read(*fd, st, owners, meta)) return fault_os(fault, "read metadata", path);
    const struct meta *record = *fd < 0 ? journal_find(&tree->journal, path) : NULL;
    if (record && (record->mode & S_IFMT) == (st->st_mode & S_IFMT)) *meta = *record;
    return 0;
}

struct found {
    char *name;
    struct stat st;
    struct meta meta;
};

static int tree_find(const struct tree *tree, const char *path, enum owners owners, struct found *found,
                     struct fault *fault) {
    RB_FD at = open_beneath(tree->diff, path, O_PATH | O_NOFOLLOW, false), fd = -1;
    if (at < 0 || fstat(at, &found->st)) return fault_os(fault, "stat", path);
    return tree_meta(tree, path, &found->st, owners, &found->meta, &fd, fault);
}

static long long nanoseconds(struct timespec time) {
    long long found;
    if (__builtin_mul_overflow((long long)time.tv_sec, 1000000000LL, &found) ||
        __builtin_add_overflow(found, time.tv_nsec, &found))
        return time.tv_sec < 0 ? LLONG_MIN : LLONG_MAX; /* beyond the year 2262 */
    return found;
}

static PyObject *stat_tuple(const struct found *found) {
    const struct stat *st = &found->st;
    const struct meta *meta = &found->meta;
    return Py_BuildValue("(IIIKLLKK)", meta->mode, meta->uid, meta->gid, (unsigned long long)meta->rdev,
                         (long long)st->st_size, nanoseconds(st->st_mtim), (unsigned long long)st->st_ino,
                         (unsigned long long)st->st_nlink);
}

PyObject *rb_py_tree_stat(PyObject *self, PyObject *args) {
    const char *path, *name;
    int tree_fd, failed;
    enum owners owners;
    struct fault fault = {0};
    struct found found = {0};
    (void)self;
    if (!PyArg_ParseTuple(args, "iys", &tree_fd, &path, &name) || owners_parse(name, &owners)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    CLEANUP(tree_close) struct tree tree = {.diff = -1};
    failed = tree_open(&tree, tree_fd, &fault) || tree_find(&tree, path, owners, &found, &fault);
    Py_END_ALLOW_THREADS
    return failed ? fault_raise(&fault) : stat_tuple(&found);
}

struct names {
    struct found *items;
    size_t count, room;
    bool opaque;
};

static void names_free(struct names *names) {
    for (size_t i = 0; i < names->count; i++) free(names->items[i].name);
    free(names->items);
}

static int found_order(const void *one, const void *other) {
    return strcmp(((const struct found *)one)->name, ((const struct found *)other)->name);
}

static int names_add(void *into, const char *name) {
    struct names *names = into;
    struct found *items = array_grow(names->items, names->count, &names->room, sizeof *items);
    if (!items) return -1;
    names->items = items;
    items[names->count] = (struct found){.name = strdup(name)};
    return items[names->count].name ? (names->count++, 0) : -1;
}

int each_name(int fd, int (*add)(void *into, const char *name), void *into) {
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    CLEANUP(close_dir) DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir) return copy < 0 ? -1 : (close(copy), -1);
    for (struct dirent *item; errno = 0, (item = readdir(dir));) {
        if (!strcmp(item->d_name, ".") || !strcmp(item->d_name, "..")) continue;
        if (add(into, item->d_name)) return -1;
    }
    return errno ? -1 : 0;
}

/* The names in the directory `fd`, sorted. */
static int names_read(int fd, struct names *names) {
    if (each_name(fd, names_add, names)) return -1;
    if (names->count) qsort(names->items, names->count, sizeof *names->items, found_order);
    return 0;
}

static int list_directory(int tree_fd, const char *path, enum owners owners, struct names *names,
                          struct fault *fault) {
    CLEANUP(tree_close) struct tree tree = {.diff = -1};
    if (tree_open(&tree, tree_fd, fault)) return -1;
    RB_FD fd = open_beneath(tree.diff, path, OPEN_DIR, false);
    if (fd < 0) return fault_os(fault, "open directory", path);
    names->opaque = is_opaque(fd);
    if (names_read(fd, names)) return fault_os(fault, "read directory", path);
    for (size_t i = 0; i < names->count; i++) {
        FREE char *child = path_join(path, names->items[i].name);
        if (!child) return fault_os(fault, "list", path);
        if (tree_find(&tree, child, owners, &names->items[i], fault)) return -1;
    }
    return 0;
}

static PyObject *names_list(const struct names *names) {
    PyObject *list = PyList_New((Py_ssize_t)names->count);
    for (size_t i = 0; list && i < names->count; i++) {
        const struct found *found = &names->items[i];
        PyObject *stat = is_whiteout(&found->st) ? Py_NewRef(Py_None) : stat_tuple(found);
        PyObject *item = stat ? Py_BuildValue("(yN)", found->name, stat) : NULL;
        if (!item || PyList_SetItem(list, (Py_ssize_t)i, item)) Py_CLEAR(list);
    }
    return list ? Py_BuildValue("(NN)", PyBool_FromLong(names->opaque), list) : NULL;
}

PyObject *rb_py_tree_list(PyObject *self, PyObject *args) {
    const char *path, *name;
    int tree_fd, failed;
    enum owners owners;
    struct fault fault = {0};
    CLEANUP(names_free) struct names names = {0};
    (void)self;
    if (!PyArg_ParseTuple(args, "iys", &tree_fd, &path, &name) || owners_parse(name, &owners)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    failed = list_directory(tree_fd, path, owners, &names, &fault);
    Py_END_ALLOW_THREADS
    return failed ? fault_raise(&fault) : names_list(&names);
}

/* ---- a plain directory, packed: a build context may have a million files ---- */

struct packed {
    struct buffer names, stats;
};

static void packed_free(struct packed *packed) {
    buffer_free(&packed->names);
    buffer_free(&packed->stats);
}

static int pack_name(struct packed *packed, const char *name, const struct stat *st) {
    uint64_t words[] = {st->st_mode, st->st_nlink, st->st_rdev, st->st_dev, st->st_ino, (uint64_t)st->st_size,
                        (uint64_t)nanoseconds(st->st_mtim), (uint64_t)nanoseconds(st->st_ctim)};
    if (buffer_add(&packed->names, name, strlen(name) + 1)) return -1;
    return buffer_add(&packed->stats, words, sizeof words);
}

static int pack_directory(int root, const char *path, struct packed *directories, struct packed *others) {
    CLEANUP(names_free) struct names names = {0};
    RB_FD fd = open_beneath(root, path, OPEN_DIR, false);
    if (fd < 0 || names_read(fd, &names)) return -1;
    for (size_t i = 0; i < names.count; i++) {
        struct stat st;
        if (fstatat(fd, names.items[i].name, &st, AT_SYMLINK_NOFOLLOW)) {
            if (errno == ENOENT) continue; /* gone meanwhile */
            return -1;
        }
        if (pack_name(S_ISDIR(st.st_mode) ? directories : others, names.items[i].name, &st)) return -1;
    }
    return 0;
}

static PyObject *bytes_of(const struct buffer *buffer) {
    return PyBytes_FromStringAndSize(buffer->bytes, (Py_ssize_t)buffer->size);
}

PyObject *rb_py_list_directory(PyObject *self, PyObject *args) {
    const char *path;
    int root, failed;
    struct fault fault = {0};
    CLEANUP(packed_free) struct packed directories = {0}, others = {0};
    (void)self;
    if (!PyArg_ParseTuple(args, "iy", &root, &path)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    failed = pack_directory(root, path, &directories, &others);
    if (failed) fault_os(&fault, "read directory", path);
    Py_END_ALLOW_THREADS
    if (failed) return fault_raise(&fault);
    return Py_BuildValue("(NNNN)", bytes_of(&directories.names), bytes_of(&directories.stats),
                         bytes_of(&others.names), bytes_of(&others.stats));
}

static int open_leaf(int tree_fd, const char *path, int flags, const char *step, struct fault *fault) {
    RB_FD diff = openat(tree_fd, "diff", OPEN_DIR | O_NOFOLLOW);
    int fd = diff < 0 ? -1 : open_beneath(diff, path, flags, false);
    return fd < 0 ? fault_os(fault, step, path) : fd;
}

PyObject *rb_py_tree_readlink(PyObject *self, PyObject *args) {
    const char *path;
    int tree_fd;
    char target[PATH_MAX];
    ssize_t size = -1;
    struct fault fault = {0};
    (void)self;
    if (!PyArg_ParseTuple(args, "iy", &tree_fd, &path)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    RB_FD fd = open_leaf(tree_fd, path, O_PATH | O_NOFOLLOW, "readlink", &fault);
    if (fd >= 0 && (size = readlinkat(fd, "", target, sizeof target)) < 0) fault_os(&fault, "readlink", path);
    Py_END_ALLOW_THREADS
    return size < 0 ? fault_raise(&fault) : PyBytes_FromStringAndSize(target, size);
}

static int open_regular(int tree_fd, const char *path, struct fault *fault) {
    struct stat st;
    RB_FD fd = open_leaf(tree_fd, path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY, "open", fault);
    if (fd < 0) return -1;
    if (fstat(fd, &st)) return fault_os(fault, "stat", path);
    if (!S_ISREG(st.st_mode)) return fault_bad(fault, "not a regular file", path);
    return rb_take_fd(&fd);
}

PyObject *rb_py_tree_open(PyObject *self, PyObject *args) {
    const char *path;
    int tree_fd, fd;
    struct fault fault = {0};
    (void)self;
    if (!PyArg_ParseTuple(args, "iy", &tree_fd, &path)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    fd = open_regular(tree_fd, path, &fault);
    Py_END_ALLOW_THREADS
    return fd < 0 ? fault_raise(&fault) : PyLong_FromLong(fd);
}

/* ---- sealing: what a step chmodded away from its own user stays readable and deletable ---- */

static int seal_directory(const struct tree *tree, const char *path, struct fault *fault);

static int seal_entry(const struct tree *tree, int parent, const char *name, const char *path,
                      struct fault *fault) {
    struct stat st;
    struct meta meta;
    RB_FD fd = -1;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW)) return fault_os(fault, "stat", path);
    if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode)) return 0;
    mode_t needed = S_ISDIR(st.st_mode) ? 0700 : 0400;
    if ((st.st_mode & needed) != needed) {
        if (fchmodat(parent, name, (st.st_mode & 07777) | needed, 0)) return fault_os(fault, "chmod", path);
        if (tree_meta(tree, path, &st, OWNERS_RECORDED, &meta, &fd, fault)) return -1;
        if (meta_write(fd, &meta, OWNERS_RECORDED)) return fault_os(fault, "record metadata", path);
    }
    return S_ISDIR(st.st_mode) ? seal_directory(tree, path, fault) : 0;
}

static int seal_directory(const struct tree *tree, const char *path, struct fault *fault) {
    CLEANUP(names_free) struct names names = {0};
    RB_FD fd = open_beneath(tree->diff, path, OPEN_DIR, false);
    if (fd < 0 || names_read(fd, &names)) return fault_os(fault, "read directory", path);
    for (size_t i = 0; i < names.count; i++) {
        FREE char *child = path_join(path, names.items[i].name);
        if (!child) return fault_os(fault, "seal", path);
        if (seal_entry(tree, fd, names.items[i].name, child, fault)) return -1;
    }
    return 0;
}

PyObject *rb_py_tree_seal(PyObject *self, PyObject *args) {
    int tree_fd, failed;
    struct fault fault = {0};
    (void)self;
    if (!PyArg_ParseTuple(args, "i", &tree_fd)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    CLEANUP(tree_close) struct tree tree = {.diff = -1};
    failed = tree_open(&tree, tree_fd, &fault) || seal_directory(&tree, "", &fault);
    Py_END_ALLOW_THREADS
    return failed ? fault_raise(&fault) : Py_NewRef(Py_None);
}
