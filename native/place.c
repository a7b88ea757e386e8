/* A batch of entries made in T/diff: what COPY, ADD and WORKDIR come down to.
 *
 * The caller has resolved every path: a symlink in the middle of one is an error here. The batch is read from
 * Python first and worked through without the GIL. */
#include "layers.h"

#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>

#define OPEN_DEPTH 64 /* directories of so many levels stay open; those further up are opened again */
#define MOST_NAMES 1000 /* of a file that is linked instead of copied */

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
    struct sink sink;
    bool from_trees, no_clone;
    struct source *sources;
    size_t sources_count, sources_room;
    /* the directory of the last source: files of one follow each other */
    int door;
    struct tree *door_tree;
    char *door_path;
    struct view view; /* what subtrees are read from */
    const char *lent; /* for each of its trees, whether its files may be linked */
    struct links shared;  /* inodes that were linked, of any tree */
    struct buffer linked; /* paths of those in the trees' links, by where they are, from 1 */
    int depth;
    struct fault fault;
};
struct origin { /* what the source says of an entry */
    int door; /* the open directory that it is in */
    const char *name, *path;
    struct stat st; /* mode 0: not asked for yet */
    struct meta meta;
    struct xattrs xattrs;
    int fd; /* of a regular file or directory */
};

static void enter_door(struct place *place, int fd, struct tree *tree, char *path) {
    rb_close_fd(&place->door);
    free(place->door_path);
    place->door = fd;
    place->door_tree = tree;
    place->door_path = path;
}

static void place_free(struct place *place) {
    for (size_t i = 0; i < place->sources_count; i++) tree_close(&place->sources[i].tree);
    free(place->sources);
    free(place->items);
    sink_free(&place->sink);
    enter_door(place, -1, NULL, NULL);
    view_close(&place->view);
    links_free(&place->shared);
    buffer_free(&place->linked);
}

static void origin_free(struct origin *origin) {
    rb_close_fd(&origin->fd);
    xattrs_free(&origin->xattrs);
}

static int os_fault(struct place *place, const char *step, const char *path) {
    return fault_os(&place->fault, step, path);
}

/* ---- sources ---- */

static bool is_tree(const struct place *place, const struct item *item) {
    return place->from_trees || !strcmp(item->kind, "copyup");
}

static struct tree *source_tree(struct place *place, const struct item *item) {
    for (size_t i = 0; i < place->sources_count; i++)
        if (place->sources[i].fd == item->src_fd) return &place->sources[i].tree;
    struct source *sources = array_grow(place->sources, place->sources_count, &place->sources_room, sizeof *sources);
    if (!sources) return os_fault(place, "allocate", item->path), NULL;
    enter_door(place, -1, NULL, NULL); /* the trees may have moved */
    place->sources = sources;
    struct source *source = &sources[place->sources_count++];
    *source = (struct source){.fd = item->src_fd, .tree = {.diff = -1}};
    if (is_tree(place, item)) return tree_open(&source->tree, item->src_fd, &place->fault) ? NULL : &source->tree;
    source->tree.diff = fcntl(item->src_fd, F_DUPFD_CLOEXEC, 0);
    return source->tree.diff < 0 ? (os_fault(place, "open source", item->path), NULL) : &source->tree;
}

static int open_door(struct place *place, struct tree *tree, struct origin *origin) {
    FREE char *parent = NULL;
    origin->name = path_split(origin->path, &parent);
    if (!parent) return os_fault(place, "allocate", origin->path);
    if (place->door_tree != tree || strcmp(place->door_path, parent)) {
        int fd = open_beneath(tree->diff, parent, O_PATH | O_DIRECTORY, false);
        if (fd < 0) return os_fault(place, "stat source", origin->path);
        enter_door(place, fd, tree, parent);
        parent = NULL;
    }
    origin->door = place->door;
    return 0;
}

/* The file itself where it is one whose bytes and xattrs are read; a name that became a symlink fails to open. */
static int origin_open(struct place *place, struct origin *origin) {
    const int flags = O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC;
    if (!origin->st.st_mode && fstatat(origin->door, origin->name, &origin->st, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return os_fault(place, "stat source", origin->path);
    if (!S_ISREG(origin->st.st_mode) && !S_ISDIR(origin->st.st_mode)) return 0;
    origin->fd = openat(origin->door, *origin->name ? origin->name : ".", O_RDONLY | flags);
    if (origin->fd < 0 || fstat(origin->fd, &origin->st)) return os_fault(place, "open source", origin->path);
    return xattrs_read(origin->fd, &origin->xattrs) ? os_fault(place, "read xattrs", origin->path) : 0;
}

/* With `tree`, of a tree and its records; without, of a context as stat has it. */
static int origin_read(struct place *place, struct tree *tree, struct origin *origin) {
    const struct stat *st = &origin->st;
    if (origin_open(place, origin)) return -1;
    origin->meta = (struct meta){st->st_mode, st->st_uid, st->st_gid, st->st_rdev};
    if (!tree) return 0;
    return tree_effective(tree, origin->path, st, origin->fd, place->sink.owners, &origin->meta, &place->fault);
}

/* ---- what an entry shall be ---- */

static struct attributes wanted(const struct item *item, const struct origin *origin, mode_t type) {
    const struct meta *from = &origin->meta;
    bool as_source = item->mtime.tv_nsec == UTIME_OMIT && origin->path;
    return (struct attributes){
        .meta = {
            .mode = type | ((item->mode < 0 ? from->mode : (mode_t)item->mode) & 07777),
            .uid = item->uid < 0 ? from->uid : (uid_t)item->uid,
            .gid = item->gid < 0 ? from->gid : (gid_t)item->gid,
            .rdev = S_ISCHR(type) || S_ISBLK(type) ? item->rdev : 0,
        },
        .mtime = as_source ? origin->st.st_mtim : item->mtime,
        .xattrs = &origin->xattrs,
    };
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
        if (done < 0 && errno == EINTR) continue;
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

static int copy_data(struct place *place, int from, int to, const struct stat *st) {
    if (!st->st_size) return 0;
    if (!place->no_clone && !ioctl(to, FICLONE, from)) return 0;
    /* One that has said no will say it of each of thousands. */
    place->no_clone |= errno == EOPNOTSUPP || errno == ENOTTY || errno == ENOSYS;
    bool sparse = (int64_t)st->st_blocks * 512 < st->st_size;
    if (sparse ? copy_extents(from, to, st->st_size) : copy_range(from, to, st->st_size)) return -1;
    return sparse ? ftruncate(to, st->st_size) : 0;
}

/* ---- one entry each ---- */

static int put_file(struct place *place, const struct origin *origin, const char *leaf, const struct attributes *look) {
    RB_FD fd = sink_file(&place->sink, leaf);
    if (fd < 0) return -1;
    if (copy_data(place, origin->fd, fd, &origin->st)) return sink_fault(&place->sink, "copy");
    return sink_finish(&place->sink, fd, look);
}

static int put_inline(struct place *place, const struct item *item, const char *leaf, const struct attributes *look) {
    RB_FD fd = sink_file(&place->sink, leaf);
    if (fd < 0) return -1;
    if (write_full(fd, item->extra, (size_t)item->extra_size)) return sink_fault(&place->sink, "write");
    return sink_finish(&place->sink, fd, look);
}

static int put_symlink(struct place *place, const struct origin *origin, const char *leaf,
                       const struct attributes *look) {
    char text[PATH_MAX];
    ssize_t size = readlinkat(origin->door, origin->name, text, sizeof text - 1);
    if (size < 0) return os_fault(place, "readlink", origin->path);
    text[size] = 0;
    return sink_symlink(&place->sink, leaf, text, look);
}

static int put_link(struct place *place, const char *old_path, const char *leaf) {
    FREE char *parent = NULL;
    const char *old = path_split(old_path, &parent);
    RB_FD from = parent ? open_beneath(place->sink.diff, parent, OPEN_DIR, false) : -1;
    if (from < 0) return sink_fault(&place->sink, "create hard link");
    return sink_link(&place->sink, from, parent, old, leaf);
}

static int place_copyup(struct place *place, const struct item *item, const struct origin *origin,
                        const char *leaf) {
    const struct item like = {.mode = -1, .uid = -1, .gid = -1, .mtime.tv_nsec = UTIME_OMIT};
    struct attributes look = wanted(&like, origin, S_IFDIR);
    struct stat st;
    if (!*leaf || (!fstatat(place->sink.parent, leaf, &st, AT_SYMLINK_NOFOLLOW) && S_ISDIR(st.st_mode))) return 0;
    if (!S_ISDIR(origin->st.st_mode)) return errno = ENOTDIR, os_fault(place, "copy up", item->path);
    return sink_directory(&place->sink, leaf, &look);
}

static int place_device(struct place *place, const struct item *item, const struct origin *origin,
                        const char *leaf) {
    mode_t type = (item->mode < 0 ? origin->meta.mode : (mode_t)item->mode) & S_IFMT;
    struct attributes look = wanted(item, origin, type);
    if ((!S_ISCHR(type) && !S_ISBLK(type)) || (S_ISCHR(type) && item->rdev == 0))
        return fault_bad(&place->fault, "not a device node", item->path);
    return sink_node(&place->sink, leaf, &look);
}

/* ---- a directory of the merged view, with all that is below ---- */

static int copy_below(struct place *place, const struct item *item, const char *from, struct doors *doors,
                      const char *to);

/* 1: it was linked. Only where the file is in all what a copy would be, and nowhere twice: two trees that share an
 * inode have two files, which one tree would show as hard links of each other. */
static int share_file(struct place *place, const struct origin *origin, const char *leaf, const struct meta *want) {
    const struct meta *have = &origin->meta;
    /* All its names here would be names of that file too, and ext4 gives one 65,000. */
    if (origin->st.st_nlink > MOST_NAMES) return 0;
    bool several = origin->st.st_nlink > 1;
    struct link *before = several ? links_slot(&place->shared, &origin->st) : NULL;
    if (several && !before) return sink_fault(&place->sink, "remember link");
    if (before && before->number++) return 0;
    if (origin->xattrs.others || want->mode != have->mode || want->uid != have->uid || want->gid != have->gid) return 0;
    if (!linkat(origin->door, origin->name, place->sink.parent, leaf, 0)) return 1;
    /* Too many names, another file system, a kernel that lets only owners link: then a copy. */
    return errno == EMLINK || errno == EXDEV || errno == EPERM || errno == EOPNOTSUPP ? 0 : sink_fault(&place->sink, "link");
}

/* By what the tree says that it is: a device may be a record on an empty file. */
static int copy_origin(struct place *place, const struct item *item, const struct origin *origin, const char *leaf,
                       bool lent) {
    mode_t type = origin->meta.mode & S_IFMT;
    struct attributes look = wanted(item, origin, type);
    look.meta.rdev = origin->meta.rdev;
    int shared = lent && S_ISREG(type) ? share_file(place, origin, leaf, &look.meta) : 0;
    if (shared) return shared < 0 ? -1 : 0;
    switch (type) {
    case S_IFDIR: return sink_directory(&place->sink, leaf, &look);
    case S_IFREG: return put_file(place, origin, leaf, &look);
    case S_IFLNK: return put_symlink(place, origin, leaf, &look);
    case S_IFSOCK: { /* arrives as an empty file, made now */
        const struct item empty = {.extra = ""};
        look.meta.mode = S_IFREG | (look.meta.mode & 07777);
        look.mtime.tv_nsec = UTIME_OMIT;
        return put_inline(place, &empty, leaf, &look);
    }
    default: return sink_node(&place->sink, leaf, &look);
    }
}

/* The first path that this inode got in `*first`, until the next is added; NULL when this is it. */
static int link_seen(struct place *place, struct tree *tree, const struct stat *st, const char *path,
                     const char **first) {
    struct link *slot = st->st_nlink < 2 ? NULL : links_slot(&tree->links, st);
    if (!slot) return st->st_nlink < 2 ? 0 : -1;
    if (slot->number) return *first = place->linked.bytes + slot->number - 1, 0;
    if (place->linked.size >= UINT32_MAX) return errno = EOVERFLOW, -1;
    slot->number = (uint32_t)place->linked.size + 1;
    return buffer_add(&place->linked, path, strlen(path) + 1);
}

static int copy_entry(struct place *place, const struct item *item, const char *from, const struct door *door,
                      const char *name, const char *to) {
    CLEANUP(origin_free) struct origin origin = {.door = door->fd, .name = name, .path = from, .fd = -1};
    struct tree *tree = &place->view.trees[door->tree];
    const char *first = NULL;
    place->sink.name = to;
    if (origin_read(place, tree, &origin)) return -1;
    if (S_ISREG(origin.meta.mode) && link_seen(place, tree, &origin.st, to, &first))
        return os_fault(place, "remember link", from);
    return first ? put_link(place, first, name) : copy_origin(place, item, &origin, name, place->lent[door->tree]);
}

static int copy_inner(struct place *place, const struct item *item, const char *from, struct doors *doors,
                      const char *name, const char *to) {
    CLEANUP(doors_free) struct doors inner = {0};
    FREE char *source = path_join(from, name);
    if (!source || doors_enter(doors, name, &inner)) return os_fault(place, "open directory", from);
    bool deep = place->depth > OPEN_DEPTH;
    if (deep) doors_shut(doors);
    if (copy_below(place, item, source, &inner, to)) return -1;
    return deep && doors_reopen(&place->view, from, doors) ? os_fault(place, "open directory", from) : 0;
}

/* All of one directory is made first, as only one of the new tree is open. */
static int copy_names(struct place *place, const struct item *item, const char *from, struct doors *doors,
                      const struct names *names, const char *to, bool inner) {
    for (size_t i = 0; i < names->count; i++) {
        const struct name *name = &names->items[i];
        if (name->type == DT_WHT || (inner && name->type != DT_DIR)) continue;
        const char *text = name_at(names, i);
        FREE char *source = path_join(from, text), *target = path_join(to, text);
        if (!source || !target) return os_fault(place, "allocate", from);
        if (inner ? copy_inner(place, item, from, doors, text, target)
                  : copy_entry(place, item, source, &doors->items[name->door], text, target)) return -1;
    }
    return 0;
}

static int copy_below(struct place *place, const struct item *item, const char *from, struct doors *doors,
                      const char *to) {
    CLEANUP(names_free) struct names names = {0};
    if (++place->depth > MAX_DEPTH) return fault_bad(&place->fault, "directories too deep", from);
    if (doors_names(doors, &names)) return os_fault(place, "read directory", from);
    int fd = open_beneath(place->sink.diff, to, OPEN_DIR, false);
    if (fd < 0) return os_fault(place, "open the parent directory", to);
    sink_enter(&place->sink, fd, strdup(to));
    if (!place->sink.parent_path) return os_fault(place, "allocate", to);
    if (copy_names(place, item, from, doors, &names, to, false)) return -1;
    if (copy_names(place, item, from, doors, &names, to, true)) return -1;
    place->depth--;
    return 0;
}

/* Each of the trees has the directory. */
static int place_subtree(struct place *place, const struct item *item) {
    CLEANUP(doors_free) struct doors doors = {calloc(place->view.count + 1, sizeof *doors.items), 0, false};
    for (size_t i = 0; i < place->view.count; i++) links_free(&place->view.trees[i].links);
    links_free(&place->shared);
    place->linked.size = 0;
    if (!doors.items) return os_fault(place, "allocate", item->path);
    for (size_t i = 0; i < place->view.count; i++) doors.items[doors.count++] = (struct door){(int)i, -1};
    if (doors_reopen(&place->view, item->src, &doors)) return os_fault(place, "open directory", item->src);
    return copy_below(place, item, item->src, &doors, item->path);
}

/* ---- the batch ---- */

static const char *enter_parent(struct place *place, const struct item *item) {
    FREE char *parent = NULL;
    const char *leaf = path_split(item->path, &parent);
    if (!parent) return os_fault(place, "allocate", item->path), NULL;
    if (place->sink.parent < 0 || strcmp(place->sink.parent_path, parent)) {
        int fd = open_beneath(place->sink.diff, parent, OPEN_DIR, false);
        if (fd < 0) return os_fault(place, "open the parent directory", item->path), NULL;
        sink_enter(&place->sink, fd, parent);
        parent = NULL;
    }
    return leaf;
}

static int place_leaf(struct place *place, const struct item *item, const struct origin *origin, const char *leaf) {
    const char *kind = item->kind;
    struct attributes file = wanted(item, origin, S_IFREG), link = wanted(item, origin, S_IFLNK);
    struct attributes fifo = wanted(item, origin, S_IFIFO);
    if (!strcmp(kind, "file") && item->extra) return put_inline(place, item, leaf, &file);
    if (!strcmp(kind, "file") && !S_ISREG(origin->st.st_mode))
        return fault_bad(&place->fault, "the source is not a regular file", item->src);
    if (!strcmp(kind, "file")) return put_file(place, origin, leaf, &file);
    if (!strcmp(kind, "symlink") && item->extra) return sink_symlink(&place->sink, leaf, item->extra, &link);
    if (!strcmp(kind, "symlink")) return put_symlink(place, origin, leaf, &link);
    if (!strcmp(kind, "hardlink")) return put_link(place, item->extra ? item->extra : "", leaf);
    if (!strcmp(kind, "fifo")) return sink_node(&place->sink, leaf, &fifo);
    if (!strcmp(kind, "device")) return place_device(place, item, origin, leaf);
    if (!strcmp(kind, "whiteout")) return sink_whiteout(&place->sink, leaf);
    return fault_bad(&place->fault, "an unknown kind of entry", item->path);
}

static int read_source(struct place *place, const struct item *item, struct origin *origin) {
    struct tree *tree = source_tree(place, item);
    origin->path = item->src;
    if (!tree || open_door(place, tree, origin)) return -1;
    return origin_read(place, is_tree(place, item) ? tree : NULL, origin);
}

static int place_item(struct place *place, const struct item *item) {
    CLEANUP(origin_free) struct origin origin = {.fd = -1};
    place->sink.name = item->path;
    if (!strcmp(item->kind, "subtree")) return place_subtree(place, item);
    const char *leaf = enter_parent(place, item);
    if (!leaf || (item->src_fd >= 0 && read_source(place, item, &origin))) return -1;
    struct attributes directory = wanted(item, &origin, S_IFDIR);
    if (!strcmp(item->kind, "dir")) return sink_directory(&place->sink, leaf, &directory);
    if (!strcmp(item->kind, "copyup")) return place_copyup(place, item, &origin, leaf);
    if (!*leaf) return fault_bad(&place->fault, "the root may only be a directory", item->path);
    return place_leaf(place, item, &origin, leaf);
}

static int place_all(struct place *place, int tree_fd) {
    if (sink_open(&place->sink, tree_fd)) return -1;
    for (size_t i = 0; i < place->count; i++)
        if (place_item(place, &place->items[i])) return -1;
    return sink_settle(&place->sink, tree_fd);
}

/* ---- Python ---- */

/* Of a kind that needs one, a source or the extra that stands for it. */
static int check_item(const struct item *item) {
    bool inline_or_source = !strcmp(item->kind, "file") || !strcmp(item->kind, "symlink");
    bool as_source = item->mode == -1 || item->uid == -1 || item->gid == -1;
    if (item->src_fd >= 0 || (inline_or_source && item->extra && !as_source)) return 0;
    if (!as_source && !inline_or_source && strcmp(item->kind, "copyup")) return 0;
    if (!strcmp(item->kind, "hardlink") || !strcmp(item->kind, "whiteout") || !strcmp(item->kind, "subtree")) return 0;
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

/* `entries` is a tuple of tuples: nothing in it can change while the GIL is released. */
static PyObject *place_entries(PyObject *entries, int tree_fd, const char *owners, const char *source,
                               PyObject *trees, PyObject *lent) {
    CLEANUP(place_free) struct place place = {.door = -1, .sink = {.diff = -1, .parent = -1}};
    int failed;
    place.from_trees = !strcmp(source, "tree");
    place.lent = PyBytes_AsString(lent);
    if (PyBytes_Size(lent) != PySequence_Size(trees))
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_ValueError, "lent has a byte for each tree");
    place.sink.fault = &place.fault;
    if (!place.from_trees && strcmp(source, "context"))
        return PyErr_Format(PyExc_ValueError, "source must be context or tree, not %s", source);
    if (owners_parse(owners, &place.sink.owners) || parse_items(entries, &place)) return NULL;
    if (view_open(&place.view, trees, &place.fault)) return PyErr_Occurred() ? NULL : fault_raise(&place.fault);
    Py_BEGIN_ALLOW_THREADS
    failed = place_all(&place, tree_fd);
    Py_END_ALLOW_THREADS
    return failed ? fault_raise(&place.fault) : Py_NewRef(Py_None);
}

PyObject *rb_py_place(PyObject *self, PyObject *args) {
    PyObject *sequence, *trees, *lent;
    int tree_fd;
    const char *owners, *source;
    (void)self;
    if (!PyArg_ParseTuple(args, "OissOS", &sequence, &tree_fd, &owners, &source, &trees, &lent)) return NULL;
    PyObject *entries = PySequence_Tuple(sequence);
    PyObject *result = entries ? place_entries(entries, tree_fd, owners, source, trees, lent) : NULL;
    Py_XDECREF(entries);
    return result;
}
