/* A tar stream becomes T/diff, whatever the archive says: every name is resolved inside T/diff.
 *
 * Names are cleaned first (leading slashes go, ".." may not climb out), their parents are opened in-root,
 * and the leaf is made under the open parent without following anything. The metadata of directories waits
 * until the end, because what is made in them would change it. */
#include "layers.h"

#include <limits.h>

#include "resolve.h"

enum { IMPLIED_NSEC = 1 };

struct unpack {
    struct sink sink;
    struct reader reader;
    struct member member;
    bool layer, force_walk;
    char root[PATH_MAX]; /* where T/diff is, to tell where a symlinked parent really is */
    char *parent_name;   /* of the sink's parent, in the archive */
    bool made_parent;    /* for the member at hand */
    struct buffer implied;
    long long entries, bytes;
    struct fault fault;
    PyObject *read;
    Py_buffer piece;
};

static void forget_parent(struct unpack *unpack) {
    free(unpack->parent_name);
    unpack->parent_name = NULL;
}

static void unpack_free(struct unpack *unpack) {
    forget_parent(unpack);
    member_free(&unpack->member);
    sink_free(&unpack->sink);
    buffer_free(&unpack->implied);
    free(unpack->fault.path);
}

static int os_fault(struct unpack *unpack, const char *step) {
    return fault_os(&unpack->fault, step, unpack->member.path);
}

static int bad(struct unpack *unpack, const char *reason) {
    return fault_bad(&unpack->fault, reason, unpack->member.path);
}

/* ---- names ---- */

static int add_component(struct unpack *unpack, char *clean, const char *name, size_t size, int *depth) {
    size_t end = strlen(clean);
    if (size == 2 && !memcmp(name, "..", 2)) {
        if ((*depth)-- == 0) return bad(unpack, "a name that climbs out of the root");
        char *slash = strrchr(clean, '/');
        *(slash ? slash : clean) = 0;
        return 0;
    }
    size_t mark = size > 4 && !memcmp(name, ".wh.", 4) ? 4 : 0; /* before a name that may have all that is allowed */
    if ((long long)(size - mark) > unpack->reader.limits.name) return bad(unpack, "a name that is too long");
    if (++*depth > unpack->reader.limits.depth) return bad(unpack, "directories too deep");
    if (end) clean[end++] = '/';
    memcpy(clean + end, name, size);
    clean[end + size] = 0;
    return 0;
}

/* A fresh string without leading or double slashes, "." and ".."; NULL on a fault. */
static char *clean_name(struct unpack *unpack, const char *name) {
    char *clean = calloc(1, strlen(name) + 1);
    int depth = 0;
    if (!clean) return os_fault(unpack, "allocate"), NULL;
    if ((long long)strlen(name) > unpack->reader.limits.path) {
        bad(unpack, "a path that is too long");
        return free(clean), NULL;
    }
    for (size_t size; *name; name += size) {
        name += strspn(name, "/");
        size = strcspn(name, "/");
        if (size == 0 || (size == 1 && *name == '.')) continue;
        if (add_component(unpack, clean, name, size, &depth)) return free(clean), NULL;
    }
    return clean;
}

/* ---- parents ---- */

static char *path_of(struct unpack *unpack, int fd) {
    char link[FD_PATH_SIZE], path[PATH_MAX];
    ssize_t size = readlink(rb_fd_path(link, fd), path, sizeof path - 1);
    if (size < 0) return NULL;
    path[size] = 0;
    size_t root = strlen(unpack->root);
    if (strncmp(path, unpack->root, root) || (path[root] && path[root] != '/')) return errno = EXDEV, NULL;
    return strdup(path + root + (path[root] == '/'));
}

/* An existing directory, and in `*path` where it is in the tree: at `name`, unless a symlink leads there. */
static int open_directory(struct unpack *unpack, const char *name, char **path) {
    RB_FD fd = open_beneath(unpack->sink.diff, name, OPEN_DIR, unpack->force_walk);
    bool plain = fd >= 0;
    if (!plain && errno != ELOOP && errno != ENOTDIR) return -1;
    if (!plain) fd = open_in_root(unpack->sink.diff, name, OPEN_DIR, unpack->force_walk);
    if (fd < 0 || !(*path = plain ? strdup(name) : path_of(unpack, fd))) return -1;
    return rb_take_fd(&fd);
}

/* The parent stays open for the members after it, unless a symlink led there, which one of them may replace. */
static int open_parent(struct unpack *unpack, const char *name) {
    char *path = NULL;
    if (unpack->parent_name && !strcmp(unpack->parent_name, name)) return 0;
    forget_parent(unpack);
    int fd = open_directory(unpack, name, &path);
    if (fd < 0) return -1;
    sink_enter(&unpack->sink, fd, path);
    if (strcmp(path, name)) return 0;
    return (unpack->parent_name = strdup(name)) ? 0 : -1;
}

/* Make a directory that no member speaks of; a whiteout there counts as missing. The time of those that may be like
 * a directory of a lower layer says so: no archive has that nanosecond, and no layer shows it. */
static int make_parent(struct unpack *unpack, const char *name) {
    const struct xattrs none = {0};
    FREE char *parent = NULL;
    const char *leaf = path_split(name, &parent);
    struct stat st;
    if (!parent) return os_fault(unpack, "allocate");
    if (open_parent(unpack, parent)) return os_fault(unpack, "open the parent directory");
    bool there = !fstatat(unpack->sink.parent, leaf, &st, AT_SYMLINK_NOFOLLOW);
    const struct attributes look = {{S_IFDIR | 0755, 0, 0, 0}, {0, there ? 0 : IMPLIED_NSEC}, &none};
    unpack->made_parent |= !there;
    if (!there || is_whiteout(&st)) return sink_directory(&unpack->sink, leaf, &look);
    errno = S_ISLNK(st.st_mode) ? ENOENT : ENOTDIR;
    return os_fault(unpack, "open the parent directory");
}

/* What is there is looked for from the end; what is missing below it is made. No recursion: names may be long. */
static int make_parents(struct unpack *unpack, const char *name) {
    FREE char *path = strdup(name);
    if (!path) return os_fault(unpack, "allocate");
    do {
        char *slash = strrchr(path, '/');
        *(slash ? slash : path) = 0;
    } while (*path && open_parent(unpack, path));
    for (size_t at = strlen(path), size = strlen(name); at < size; at = strlen(path)) {
        path[at] = name[at];
        if (make_parent(unpack, path)) return -1;
    }
    return 0;
}

static int enter_parent(struct unpack *unpack, const char *name) {
    if (!open_parent(unpack, name)) return 0;
    if (*name && (errno == ENOENT || errno == ENOTDIR)) {
        if (make_parents(unpack, name)) return -1;
        forget_parent(unpack);
        if (!open_parent(unpack, name)) return 0;
    }
    return os_fault(unpack, "open the parent directory");
}

/* ---- one member each ---- */

static int unpack_file(struct unpack *unpack, const char *leaf, const struct attributes *look) {
    const char *bytes;
    bool hole = false;
    ssize_t got;
    RB_FD fd = sink_file(&unpack->sink, leaf);
    if (fd < 0) return -1;
    while ((got = tar_data(&unpack->reader, &bytes, &unpack->fault)) > 0)
        if (write_sparse(fd, bytes, (size_t)got, &hole)) return os_fault(unpack, "write");
    if (got < 0) return -1;
    if (hole && ftruncate(fd, unpack->member.size)) return os_fault(unpack, "truncate");
    return sink_finish(&unpack->sink, fd, look);
}

static int unpack_symlink(struct unpack *unpack, const char *leaf, const struct attributes *look) {
    if (!*unpack->member.link) return bad(unpack, "a symlink without a target");
    return sink_symlink(&unpack->sink, leaf, unpack->member.link, look);
}

static int unpack_hardlink(struct unpack *unpack, const char *leaf) {
    FREE char *target = clean_name(unpack, unpack->member.link), *from_path = NULL, *parent = NULL;
    struct stat st;
    const char *old = target ? path_split(target, &parent) : NULL;
    if (!target || !parent) return target ? os_fault(unpack, "allocate") : -1;
    RB_FD from = open_directory(unpack, parent, &from_path);
    if (!*old || from < 0 || fstatat(from, old, &st, AT_SYMLINK_NOFOLLOW) || is_whiteout(&st))
        return bad(unpack, "a hard link to a file that is not there");
    if (S_ISDIR(st.st_mode)) return bad(unpack, "a hard link to a directory");
    return sink_link(&unpack->sink, from, from_path, old, leaf);
}

/* ---- whiteouts ---- */

/* It hides what is below, never what this layer has itself: a directory made here is then opaque. */
static int unpack_whiteout(struct unpack *unpack, const char *name) {
    struct stat st;
    if (!*name || !strcmp(name, ".") || !strcmp(name, "..")) return bad(unpack, "a whiteout of no file");
    if (!mknodat(unpack->sink.parent, name, S_IFCHR, 0)) return 0;
    if (errno != EEXIST || fstatat(unpack->sink.parent, name, &st, AT_SYMLINK_NOFOLLOW))
        return os_fault(unpack, "create whiteout");
    if (!S_ISDIR(st.st_mode)) return 0;
    RB_FD fd = openat(unpack->sink.parent, name, OPEN_DIR | O_NOFOLLOW);
    return fd < 0 || set_opaque(fd) ? os_fault(unpack, "mark opaque") : 0;
}

static int unpack_mark(struct unpack *unpack, const char *leaf) {
    if (!unpack->layer) return bad(unpack, "a name that begins with .wh., which no layer could carry");
    if (strcmp(leaf, ".wh..wh..opq")) return unpack_whiteout(unpack, leaf + 4);
    return set_opaque(unpack->sink.parent) ? os_fault(unpack, "mark opaque") : 0;
}

/* A directory of that name in the path: AUFS's own are to be skipped (1), others are wrong (-1). */
static int check_marks(struct unpack *unpack, const char *path) {
    for (const char *name = path; name; name = strchr(name, '/')) {
        name += *name == '/';
        if (strncmp(name, ".wh.", 4)) continue;
        bool last = !strchr(name, '/');
        if (!unpack->layer) return bad(unpack, "a name that begins with .wh., which no layer could carry");
        if (!strncmp(name, ".wh..wh.", 8) && !(last && !strcmp(name, ".wh..wh..opq"))) return 1;
        if (!last) return bad(unpack, "a whiteout with something below it");
    }
    return 0;
}

/* ---- the archive ---- */

static int unpack_leaf(struct unpack *unpack, const char *leaf, const struct attributes *look) {
    if (!strncmp(leaf, ".wh.", 4)) return unpack_mark(unpack, leaf);
    switch (unpack->member.type) {
    case '0': return unpack_file(unpack, leaf, look);
    case '1': return unpack_hardlink(unpack, leaf);
    case '2': return unpack_symlink(unpack, leaf, look);
    case '5': return sink_directory(&unpack->sink, leaf, look);
    default: return sink_node(&unpack->sink, leaf, look);
    }
}

/* umoci writes a whiteout also for each name in a directory that the same layer replaces by a file or link. */
static bool hides_nothing(const struct unpack *unpack, const char *leaf) {
    int error = unpack->fault.error;
    return !strncmp(leaf, ".wh.", 4) && (error == ENOTDIR || error == ENOENT || error == ELOOP);
}

/* Only the innermost: what is above it and implied too, its time says. */
static int note_implied(struct unpack *unpack) {
    const char *path = unpack->sink.parent_path;
    if (!unpack->made_parent) return 0;
    unpack->made_parent = false;
    return buffer_add(&unpack->implied, path, strlen(path) + 1) ? os_fault(unpack, "allocate") : 0;
}

static int unpack_member(struct unpack *unpack) {
    struct member *member = &unpack->member;
    const struct attributes look = {member->meta, member->mtime, &member->xattrs};
    FREE char *path = clean_name(unpack, member->path), *parent = NULL;
    if (!path) return -1;
    if (member->size > unpack->reader.limits.bytes - unpack->bytes) return bad(unpack, "more data than the limit");
    unpack->bytes += member->size;
    unpack->sink.name = member->path;
    int marked = check_marks(unpack, path);
    if (marked) return marked < 0 ? -1 : 0;
    if (!*path && member->type != '5') return bad(unpack, "the root may only be a directory");
    const char *leaf = path_split(path, &parent);
    if (!parent) return os_fault(unpack, "allocate");
    if (enter_parent(unpack, parent)) return hides_nothing(unpack, leaf) ? 0 : -1;
    if (note_implied(unpack)) return -1;
    return unpack_leaf(unpack, leaf, &look);
}

static int unpack_members(struct unpack *unpack) {
    int more;
    while ((more = tar_next(&unpack->reader, &unpack->member, &unpack->fault)) > 0) {
        unpack->entries++;
        if (unpack_member(unpack)) return -1;
        member_free(&unpack->member);
    }
    return more < 0 ? -1 : reader_drain(&unpack->reader, &unpack->fault);
}

static int unpack_open(struct unpack *unpack, int tree_fd) {
    char link[FD_PATH_SIZE];
    if (sink_open(&unpack->sink, tree_fd)) return -1;
    bool found = readlink(rb_fd_path(link, unpack->sink.diff), unpack->root, sizeof unpack->root - 1) >= 0;
    return found ? 0 : fault_os(&unpack->fault, "readlink", "diff");
}

static int unpack_all(struct unpack *unpack, int tree_fd) {
    if (unpack_open(unpack, tree_fd)) return -1;
    if (unpack_members(unpack)) {
        /* The reader does not know whose data it was. */
        if (!unpack->fault.path && unpack->member.path) unpack->fault.path = strdup(unpack->member.path);
        return -1;
    }
    return sink_settle(&unpack->sink, tree_fd);
}

/* ---- Python ---- */

/* The bytes stay where they are until the next are asked for: nothing is copied. */
static int next_piece(void *source, const char **bytes, size_t *size, struct fault *fault) {
    struct unpack *unpack = source;
    PyGILState_STATE gil = PyGILState_Ensure();
    PyBuffer_Release(&unpack->piece);
    PyObject *piece = PyObject_CallNoArgs(unpack->read);
    int failed = !piece || PyObject_GetBuffer(piece, &unpack->piece, PyBUF_SIMPLE);
    Py_XDECREF(piece);
    PyGILState_Release(gil);
    if (failed) return fault_bad(fault, "the archive cannot be read", NULL);
    *bytes = unpack->piece.buf;
    *size = (size_t)unpack->piece.len;
    return *size > 0;
}

PyObject *rb_py_unpack(PyObject *self, PyObject *args, PyObject *keywords) {
    char *names[] = {"read", "tree_fd", "owners", "layer", "limits", "force_walk", NULL};
    CLEANUP(unpack_free) struct unpack unpack = {.sink = {.diff = -1, .parent = -1, .replaces = true}};
    int tree_fd, layer, force = 0, failed;
    struct limits *limits = &unpack.reader.limits;
    const char *owners;
    (void)self;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "Oisp(LLLLLL)|p", names, &unpack.read, &tree_fd, &owners, &layer,
                                     &limits->entries, &limits->bytes, &limits->header, &limits->path, &limits->name,
                                     &limits->depth, &force) ||
        owners_parse(owners, &unpack.sink.owners))
        return NULL;
    unpack.layer = layer;
    unpack.force_walk = force;
    unpack.sink.fault = &unpack.fault;
    unpack.reader.more = next_piece;
    unpack.reader.source = &unpack;
    Py_BEGIN_ALLOW_THREADS
    failed = unpack_all(&unpack, tree_fd);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&unpack.piece);
    if (failed) return PyErr_Occurred() ? NULL : fault_raise(&unpack.fault);
    const char *implied = unpack.implied.size ? unpack.implied.bytes : "";
    return Py_BuildValue("(LLy#)", unpack.entries, unpack.bytes, implied, (Py_ssize_t)unpack.implied.size);
}
