/* A batch of entries made in T/diff: what COPY, ADD and WORKDIR come down to.
 *
 * The caller has resolved every path: a symlink in the middle of one is an error here. The batch is read from
 * Python first and worked through without the GIL. */
#include "layers.h"

#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>

struct item {
    const char *kind, *path, *src, *extra;
    Py_ssize_t extra_size;
    int mode, src_fd;
    long long uid, gid;
    struct timespec mtime; /* UTIME_OMIT: the source's, or now */
    dev_t rdev;
};
struct source {
    int fd;
    struct tree tree;
};
struct place {
    struct item *items;
    size_t count;
    struct tree tree;
    enum owners owners;
    bool from_trees;
    struct source *sources;
    size_t sources_count, sources_room;
    int parent;
    char *parent_path;
    struct directories directories;
    struct journal changes;
    struct fault fault;
};
struct origin { /* what the source says of an entry */
    struct stat st;
    struct meta meta;
    struct xattrs xattrs;
    int fd;
    struct tree *tree;
};

static void place_free(struct place *place) {
    for (size_t i = 0; i < place->sources_count; i++) tree_close(&place->sources[i].tree);
    free(place->sources);
    free(place->items);
    tree_close(&place->tree);
    rb_close_fd(&place->parent);
    free(place->parent_path);
    directories_free(&place->directories);
    journal_free(&place->changes);
}

static void origin_free(struct origin *origin) {
    rb_close_fd(&origin->fd);
    xattrs_free(&origin->xattrs);
}

static int os_fault(struct place *place, const char *step, const struct item *item) {
    return fault_os(&place->fault, step, item->path);
}

/* ---- sources ---- */

static bool is_tree(const struct place *place, const struct item *item) {
    return place->from_trees || !strcmp(item->kind, "copyup");
}

static struct tree *source_tree(struct place *place, const struct item *item) {
    for (size_t i = 0; i < place->sources_count; i++)
        if (place->sources[i].fd == item->src_fd) return &place->sources[i].tree;
    struct source *sources = array_grow(place->sources, place->sources_count, &place->sources_room, sizeof *sources);
    if (!sources) return os_fault(place, "allocate", item), NULL;
    place->sources = sources;
    struct source *source = &sources[place->sources_count++];
    *source = (struct source){.fd = item->src_fd, .tree = {.diff = -1}};
    if (is_tree(place, item)) return tree_open(&source->tree, item->src_fd, &place->fault) ? NULL : &source->tree;
    source->tree.diff = fcntl(item->src_fd, F_DUPFD_CLOEXEC, 0);
    return source->tree.diff < 0 ? (os_fault(place, "open source", item), NULL) : &source->tree;
}

static int origin_stat(struct place *place, const struct item *item, struct origin *origin) {
    RB_FD at = open_beneath(origin->tree->diff, item->src, O_PATH | O_NOFOLLOW, false);
    if (at < 0 || fstat(at, &origin->st)) return fault_os(&place->fault, "stat source", item->src);
    origin->meta = (struct meta){origin->st.st_mode, origin->st.st_uid, origin->st.st_gid, origin->st.st_rdev};
    return 0;
}

static int origin_read(struct place *place, const struct item *item, struct origin *origin) {
    if (!(origin->tree = source_tree(place, item)) || origin_stat(place, item, origin)) return -1;
    mode_t mode = origin->st.st_mode;
    if (is_tree(place, item)) {
        if (tree_meta(origin->tree, item->src, &origin->st, place->owners, &origin->meta, &origin->fd, &place->fault))
            return -1;
    } else if (S_ISREG(mode) || S_ISDIR(mode)) {
        origin->fd = open_beneath(origin->tree->diff, item->src, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, false);
        if (origin->fd < 0) return fault_os(&place->fault, "open source", item->src);
    }
    if (origin->fd >= 0 && xattrs_read(origin->fd, &origin->xattrs))
        return fault_os(&place->fault, "read xattrs", item->src);
    return 0;
}

/* ---- what an entry shall be ---- */

static struct meta wanted(const struct item *item, const struct origin *origin, mode_t type) {
    const struct meta *from = &origin->meta;
    return (struct meta){
        .mode = type | ((item->mode < 0 ? from->mode : (mode_t)item->mode) & 07777),
        .uid = item->uid < 0 ? from->uid : (uid_t)item->uid,
        .gid = item->gid < 0 ? from->gid : (gid_t)item->gid,
        .rdev = item->rdev,
    };
}

static struct timespec wanted_mtime(const struct item *item, const struct origin *origin) {
    bool as_source = item->mtime.tv_nsec == UTIME_OMIT && item->src_fd >= 0;
    return as_source ? origin->st.st_mtim : item->mtime;
}

/* ---- parents ---- */

static const char *enter_parent(struct place *place, const struct item *item) {
    const char *slash = strrchr(item->path, '/');
    FREE char *parent = strndup(item->path, slash ? (size_t)(slash - item->path) : 0);
    if (!parent) return os_fault(place, "allocate", item), NULL;
    if (place->parent < 0 || strcmp(place->parent_path, parent)) {
        rb_close_fd(&place->parent);
        place->parent = open_beneath(place->tree.diff, parent, OPEN_DIR, false);
        if (place->parent < 0) return os_fault(place, "open the parent directory", item), NULL;
        free(place->parent_path);
        place->parent_path = parent;
        parent = NULL;
    }
    return slash ? slash + 1 : item->path;
}

/* ---- data ---- */

static int copy_by_hand(int from, int to, int64_t size) {
    char piece[65536];
    while (size > 0) {
        ssize_t got = read(from, piece, size < (int64_t)sizeof piece ? (size_t)size : sizeof piece);
        if (got <= 0) return (int)got;
        if (write_full(to, piece, (size_t)got)) return -1;
        size -= got;
    }
    return 0;
}

static int copy_range(int from, int to, int64_t size) {
    while (size > 0) {
        ssize_t done = copy_file_range(from, NULL, to, NULL, (size_t)size, 0);
        if (done < 0 && errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP && errno != EPERM)
            return -1;
        if (done <= 0) return copy_by_hand(from, to, size);
        size -= done;
    }
    return 0;
}

static int copy_extents(int from, int to, int64_t size) {
    for (int64_t data = 0, hole = 0; hole < size;) {
        data = lseek(from, hole, SEEK_DATA);
        if (data < 0) return errno == ENXIO ? 0 : -1;
        hole = lseek(from, data, SEEK_HOLE);
        if (hole < 0 || lseek(from, data, SEEK_SET) < 0 || lseek(to, data, SEEK_SET) < 0) return -1;
        if (copy_range(from, to, hole - data)) return -1;
    }
    return 0;
}

static int copy_data(int from, int to, const struct stat *st) {
    if (!ioctl(to, FICLONE, from)) return 0;
    bool sparse = (int64_t)st->st_blocks * 512 < st->st_size;
    if (sparse ? copy_extents(from, to, st->st_size) : copy_range(from, to, st->st_size)) return -1;
    return sparse ? ftruncate(to, st->st_size) : 0;
}

/* ---- one entry each ---- */

static int finish_file(struct place *place, const struct item *item, const struct origin *origin, int fd,
                       mode_t type) {
    struct meta meta = wanted(item, origin, type);
    if (meta_write(fd, &meta, place->owners)) return os_fault(place, "set metadata", item);
    if (xattrs_write(fd, &origin->xattrs)) return os_fault(place, "set xattrs", item);
    return set_mtime(fd, wanted_mtime(item, origin)) ? os_fault(place, "set mtime", item) : 0;
}

static int place_file(struct place *place, const struct item *item, const struct origin *origin, const char *leaf) {
    if (!item->extra && !S_ISREG(origin->st.st_mode))
        return fault_bad(&place->fault, "the source is not a regular file", item->src);
    RB_FD fd = make_file(place->parent, leaf, false);
    if (fd < 0) return os_fault(place, "create file", item);
    int failed = item->extra ? write_full(fd, item->extra, (size_t)item->extra_size)
                             : copy_data(origin->fd, fd, &origin->st);
    if (failed) return os_fault(place, "copy", item);
    return finish_file(place, item, origin, fd, S_IFREG);
}

static int record_change(struct place *place, const struct item *item, const struct meta *meta) {
    return journal_add(&place->changes, item->path, meta) ? os_fault(place, "allocate", item) : 0;
}

static int finish_node(struct place *place, const struct item *item, const struct origin *origin, const char *leaf,
                       mode_t type) {
    const struct timespec mtime = wanted_mtime(item, origin), times[2] = {mtime, mtime};
    struct meta meta = wanted(item, origin, type);
    bool record;
    if (S_ISLNK(type)) meta.mode = S_IFLNK | 0777;
    if (meta_write_node(place->parent, leaf, &meta, place->owners, &record))
        return os_fault(place, "set metadata", item);
    if (!record) meta.mode = 0;
    if (record_change(place, item, &meta)) return -1;
    if (mtime.tv_nsec != UTIME_OMIT && utimensat(place->parent, leaf, times, AT_SYMLINK_NOFOLLOW))
        return os_fault(place, "set mtime", item);
    return 0;
}

static int place_symlink(struct place *place, const struct item *item, const struct origin *origin,
                         const char *leaf) {
    char text[PATH_MAX];
    const char *target = item->extra;
    if (!target) {
        RB_FD at = open_beneath(origin->tree->diff, item->src, O_PATH | O_NOFOLLOW, false);
        ssize_t size = at < 0 ? -1 : readlinkat(at, "", text, sizeof text - 1);
        if (size < 0) return fault_os(&place->fault, "readlink", item->src);
        text[size] = 0;
        target = text;
    }
    if (make_symlink(place->parent, leaf, target, false)) return os_fault(place, "create symlink", item);
    return finish_node(place, item, origin, leaf, S_IFLNK);
}

static int place_fifo(struct place *place, const struct item *item, const struct origin *origin, const char *leaf) {
    if (make_node(place->parent, leaf, S_IFIFO | 0600, 0, false)) return os_fault(place, "create FIFO", item);
    return finish_node(place, item, origin, leaf, S_IFIFO);
}

static int place_device(struct place *place, const struct item *item, const struct origin *origin,
                        const char *leaf) {
    mode_t type = (item->mode < 0 ? origin->meta.mode : (mode_t)item->mode) & S_IFMT;
    if ((!S_ISCHR(type) && !S_ISBLK(type)) || (S_ISCHR(type) && item->rdev == 0))
        return fault_bad(&place->fault, "not a device node", item->path);
    if (place->owners == OWNERS_REAL && !make_node(place->parent, leaf, type | 0600, item->rdev, false))
        return finish_node(place, item, origin, leaf, type);
    if (place->owners == OWNERS_REAL && errno != EPERM) return os_fault(place, "create device node", item);
    RB_FD fd = make_file(place->parent, leaf, false);
    return fd < 0 ? os_fault(place, "create device record", item) : finish_file(place, item, origin, fd, type);
}

static const struct meta *known_record(const struct place *place, const char *path) {
    const struct meta *record = journal_find(&place->changes, path);
    return record ? record : journal_find(&place->tree.journal, path);
}

static int place_hardlink(struct place *place, const struct item *item, const char *leaf) {
    const char *slash = item->extra ? strrchr(item->extra, '/') : NULL, *old = slash ? slash + 1 : item->extra;
    FREE char *parent = item->extra ? strndup(item->extra, slash ? (size_t)(slash - item->extra) : 0) : NULL;
    const struct meta none = {0}, *meta;
    struct stat st;
    RB_FD from = parent ? open_beneath(place->tree.diff, parent, OPEN_DIR, false) : -1;
    if (from < 0 || make_link(from, old, place->parent, leaf, false)) return os_fault(place, "create hard link", item);
    if (fstatat(from, old, &st, AT_SYMLINK_NOFOLLOW)) return os_fault(place, "stat", item);
    if (S_ISREG(st.st_mode)) return 0;
    meta = known_record(place, item->extra);
    struct meta copy = meta ? *meta : none; /* to add may move the records */
    return record_change(place, item, &copy);
}

static int place_directory(struct place *place, const struct item *item, const struct origin *origin,
                           const char *leaf) {
    struct meta meta = wanted(item, origin, S_IFDIR);
    RB_FD fd = *leaf ? make_directory(place->parent, leaf) : openat(place->tree.diff, ".", OPEN_DIR);
    if (fd < 0) return os_fault(place, "create directory", item);
    if (xattrs_write(fd, &origin->xattrs)) return os_fault(place, "set xattrs", item);
    if (directories_add(&place->directories, item->path, &meta, wanted_mtime(item, origin)))
        return os_fault(place, "allocate", item);
    return 0;
}

static int place_copyup(struct place *place, const struct item *item, const struct origin *origin,
                        const char *leaf) {
    struct stat st;
    if (!*leaf || (!fstatat(place->parent, leaf, &st, AT_SYMLINK_NOFOLLOW) && S_ISDIR(st.st_mode))) return 0;
    if (!S_ISDIR(origin->st.st_mode)) return errno = ENOTDIR, os_fault(place, "copy up", item);
    struct item like = *item;
    like.mode = -1;
    like.uid = like.gid = -1;
    like.mtime.tv_nsec = UTIME_OMIT;
    return place_directory(place, &like, origin, leaf);
}

static int place_item(struct place *place, const struct item *item) {
    CLEANUP(origin_free) struct origin origin = {.fd = -1};
    const char *kind = item->kind, *leaf = enter_parent(place, item);
    if (!leaf || (item->src_fd >= 0 && origin_read(place, item, &origin))) return -1;
    if (!strcmp(kind, "dir")) return place_directory(place, item, &origin, leaf);
    if (!strcmp(kind, "copyup")) return place_copyup(place, item, &origin, leaf);
    if (!*leaf) return fault_bad(&place->fault, "the root may only be a directory", item->path);
    if (!strcmp(kind, "file")) return place_file(place, item, &origin, leaf);
    if (!strcmp(kind, "symlink")) return place_symlink(place, item, &origin, leaf);
    if (!strcmp(kind, "hardlink")) return place_hardlink(place, item, leaf);
    if (!strcmp(kind, "fifo")) return place_fifo(place, item, &origin, leaf);
    if (!strcmp(kind, "device")) return place_device(place, item, &origin, leaf);
    if (strcmp(kind, "whiteout")) return fault_bad(&place->fault, "an unknown kind of entry", item->path);
    return make_node(place->parent, leaf, S_IFCHR, 0, false) ? os_fault(place, "create whiteout", item) : 0;
}

static int place_all(struct place *place, int tree_fd) {
    if (tree_open(&place->tree, tree_fd, &place->fault) || !tree_journal(&place->tree, &place->fault)) return -1;
    for (size_t i = 0; i < place->count; i++)
        if (place_item(place, &place->items[i])) return -1;
    return directories_apply(&place->directories, place->tree.diff, place->owners, &place->fault);
}

/* ---- Python ---- */

/* Of a kind that needs one, a source or the extra that stands for it. */
static int check_item(const struct item *item) {
    bool inline_or_source = !strcmp(item->kind, "file") || !strcmp(item->kind, "symlink");
    bool as_source = item->mode == -1 || item->uid == -1 || item->gid == -1;
    if (item->src_fd >= 0 || (inline_or_source && item->extra && !as_source)) return 0;
    if (!as_source && !inline_or_source && strcmp(item->kind, "copyup")) return 0;
    if (!strcmp(item->kind, "hardlink") || !strcmp(item->kind, "whiteout")) return 0;
    if (!strcmp(item->kind, "symlink") && item->extra && item->uid >= 0 && item->gid >= 0) return 0;
    PyErr_Format(PyExc_ValueError, "an entry of kind %s needs a source here", item->kind);
    return -1;
}

static int parse_item(PyObject *tuple, struct item *item) {
    PyObject *mtime, *extra;
    char *bytes;
    if (!PyTuple_Check(tuple)) return PyErr_SetString(PyExc_TypeError, "an entry is a tuple"), -1;
    if (!PyArg_ParseTuple(tuple, "syiLLOiyO", &item->kind, &item->path, &item->mode, &item->uid, &item->gid, &mtime,
                          &item->src_fd, &item->src, &extra))
        return -1;
    item->mtime.tv_nsec = UTIME_OMIT;
    if (mtime != Py_None) {
        long long time = PyLong_AsLongLong(mtime), rest = time % 1000000000;
        rest += rest < 0 ? 1000000000 : 0;
        item->mtime = (struct timespec){(time - rest) / 1000000000, rest};
    }
    if (PyLong_Check(extra)) item->rdev = (dev_t)PyLong_AsUnsignedLongLong(extra);
    if (PyBytes_Check(extra)) {
        if (PyBytes_AsStringAndSize(extra, &bytes, &item->extra_size)) return -1;
        item->extra = bytes;
    }
    return PyErr_Occurred() ? -1 : check_item(item);
}

static int parse_items(PyObject *entries, struct place *place) {
    place->count = (size_t)PyTuple_Size(entries);
    place->items = calloc(place->count + 1, sizeof *place->items);
    if (!place->items) return PyErr_NoMemory(), -1;
    for (size_t i = 0; i < place->count; i++)
        if (parse_item(PyTuple_GetItem(entries, (Py_ssize_t)i), &place->items[i])) return -1;
    return 0;
}

static PyObject *changes_list(const struct journal *changes) {
    PyObject *list = PyList_New((Py_ssize_t)changes->count);
    for (size_t i = 0; list && i < changes->count; i++) {
        const struct meta *meta = &changes->records[i].meta;
        PyObject *item = Py_BuildValue("(yIIIII)", changes->paths.bytes + changes->records[i].path, meta->mode, meta->uid, meta->gid,
                                       major(meta->rdev), minor(meta->rdev));
        if (!item || PyList_SetItem(list, (Py_ssize_t)i, item)) Py_CLEAR(list);
    }
    return list;
}

/* `entries` is a tuple of tuples: nothing in it can change while the GIL is released. */
static PyObject *place_entries(PyObject *entries, int tree_fd, const char *owners, const char *source) {
    CLEANUP(place_free) struct place place = {.parent = -1, .tree = {.diff = -1}};
    int failed;
    place.from_trees = !strcmp(source, "tree");
    if (!place.from_trees && strcmp(source, "context"))
        return PyErr_Format(PyExc_ValueError, "source must be context or tree, not %s", source);
    if (owners_parse(owners, &place.owners) || parse_items(entries, &place)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    failed = place_all(&place, tree_fd);
    Py_END_ALLOW_THREADS
    return failed ? fault_raise(&place.fault) : changes_list(&place.changes);
}

PyObject *rb_py_place(PyObject *self, PyObject *args) {
    PyObject *sequence;
    int tree_fd;
    const char *owners, *source;
    (void)self;
    if (!PyArg_ParseTuple(args, "Oiss", &sequence, &tree_fd, &owners, &source)) return NULL;
    PyObject *entries = PySequence_Tuple(sequence);
    PyObject *result = entries ? place_entries(entries, tree_fd, owners, source) : NULL;
    Py_XDECREF(entries);
    return result;
}
