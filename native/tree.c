/* One tree as Python sees it: what the image says of entries; and sealing one that a step has written. */
#include "layers.h"

#include <limits.h>

int tree_open(struct tree *tree, int tree_fd, struct fault *fault) {
    *tree = (struct tree){.fd = tree_fd, .diff = openat(tree_fd, "diff", OPEN_DIR | O_NOFOLLOW)};
    return tree->diff < 0 ? fault_os(fault, "open tree", "diff") : 0;
}

void tree_close(struct tree *tree) {
    rb_close_fd(&tree->diff);
    tree->diff = -1;
    journal_free(&tree->journal);
    links_free(&tree->links);
}

const struct journal *tree_journal(struct tree *tree, struct fault *fault) {
    if (!tree->journal_loaded && journal_load(tree->fd, &tree->journal))
        return fault_os(fault, "read journal", "journal"), NULL;
    tree->journal_loaded = true;
    return &tree->journal;
}

static bool holds_record(const struct stat *st) { return S_ISREG(st->st_mode) || S_ISDIR(st->st_mode); }

int tree_effective(struct tree *tree, const char *path, const struct stat *st, int fd, enum owners owners,
                   struct meta *meta, struct fault *fault) {
    if (meta_read(fd, st, owners, meta)) return fault_os(fault, "read metadata", path);
    if (holds_record(st)) return 0;
    const struct journal *journal = tree_journal(tree, fault);
    if (!journal) return -1;
    const struct meta *record = journal_find(journal, path);
    if (record && (record->mode & S_IFMT) == (st->st_mode & S_IFMT)) *meta = *record;
    return 0;
}

int tree_meta(struct tree *tree, const char *path, const struct stat *st, enum owners owners, struct meta *meta,
              int *fd, struct fault *fault) {
    if (holds_record(st)) {
        *fd = open_beneath(tree->diff, path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY, false);
        if (*fd < 0) return fault_os(fault, "open", path);
    }
    return tree_effective(tree, path, st, *fd, owners, meta, fault);
}

struct found {
    struct stat st;
    struct meta meta;
};

static int tree_find(struct tree *tree, const char *path, enum owners owners, struct found *found,
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

static PyObject *stat_one(struct tree *tree, const char *path, enum owners owners) {
    struct found found = {0};
    struct fault fault = {0};
    int failed;
    Py_BEGIN_ALLOW_THREADS
    failed = tree_find(tree, path, owners, &found, &fault);
    Py_END_ALLOW_THREADS
    return failed ? fault_raise(&fault) : stat_tuple(&found);
}

PyObject *rb_py_tree_stat(PyObject *self, PyObject *args) {
    CLEANUP(tree_close) struct tree tree = {.diff = -1};
    struct fault fault = {0};
    enum owners owners;
    const char *name;
    PyObject *paths;
    int tree_fd;
    (void)self;
    if (!PyArg_ParseTuple(args, "iO!s", &tree_fd, &PyTuple_Type, &paths, &name)) return NULL;
    if (owners_parse(name, &owners)) return NULL;
    if (tree_open(&tree, tree_fd, &fault)) return fault_raise(&fault);
    PyObject *stats = PyList_New(0);
    for (Py_ssize_t i = 0; stats && i < PyTuple_Size(paths); i++) {
        const char *path = PyBytes_AsString(PyTuple_GetItem(paths, i));
        PyObject *stat = path ? stat_one(&tree, path, owners) : NULL;
        if (!stat || PyList_Append(stats, stat)) Py_CLEAR(stats);
        Py_XDECREF(stat);
    }
    return stats;
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
    if (fd < 0 || names_read(fd, 0, &names)) return -1;
    names_sort(&names);
    for (size_t i = 0; i < names.count; i++) {
        struct stat st;
        if (fstatat(fd, name_at(&names, i), &st, AT_SYMLINK_NOFOLLOW)) {
            if (errno == ENOENT) continue; /* gone meanwhile */
            return -1;
        }
        if (pack_name(S_ISDIR(st.st_mode) ? directories : others, name_at(&names, i), &st)) return -1;
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

/* ---- sealing: what a step chmodded away from its own user stays readable and deletable ---- */

static int seal_directory(struct tree *tree, const char *path, int depth, struct fault *fault);

static int seal_entry(struct tree *tree, int parent, const char *name, const char *path, int depth,
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
    return S_ISDIR(st.st_mode) ? seal_directory(tree, path, depth + 1, fault) : 0;
}

static int seal_directory(struct tree *tree, const char *path, int depth, struct fault *fault) {
    CLEANUP(names_free) struct names names = {0};
    if (depth > MAX_DEPTH) return fault_bad(fault, "directories too deep", path);
    RB_FD fd = open_beneath(tree->diff, path, OPEN_DIR, false);
    if (fd < 0 || names_read(fd, 0, &names)) return fault_os(fault, "read directory", path);
    for (size_t i = 0; i < names.count; i++) {
        FREE char *child = path_join(path, name_at(&names, i));
        if (!child) return fault_os(fault, "seal", path);
        if (seal_entry(tree, fd, name_at(&names, i), child, depth, fault)) return -1;
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
    failed = tree_open(&tree, tree_fd, &fault) || seal_directory(&tree, "", 0, &fault);
    Py_END_ALLOW_THREADS
    return failed ? fault_raise(&fault) : Py_NewRef(Py_None);
}
