/* A tar stream becomes T/diff, whatever the archive says: every name is resolved inside T/diff.
 *
 * Names are cleaned first (leading slashes go, ".." may not climb out), their parents are opened in-root,
 * and the leaf is made under the open parent without following anything. The metadata of directories waits
 * until the end, because what is made in them would change it. */
#include "layers.h"

#include <limits.h>
#include <stdio.h>

enum { IMPLIED_NSEC = 1 };

struct unpack {
    struct reader reader;
    struct member member;
    enum owners owners;
    bool layer, force_walk;
    int diff;
    char root[PATH_MAX]; /* where T/diff is, to tell where a symlinked parent really is */
    /* the parent of the last member, by its name in the archive and in the tree */
    int parent;
    char *parent_name, *parent_path;
    struct directories directories;
    struct journal journal;
    long long entries, bytes;
    struct buffer text;
    struct fault fault;
};

static void forget_parent(struct unpack *unpack) {
    rb_close_fd(&unpack->parent);
    unpack->parent = -1;
    free(unpack->parent_name);
    free(unpack->parent_path);
    unpack->parent_name = unpack->parent_path = NULL;
}

static void unpack_free(struct unpack *unpack) {
    forget_parent(unpack);
    reader_close(&unpack->reader);
    member_free(&unpack->member);
    rb_close_fd(&unpack->diff);
    directories_free(&unpack->directories);
    journal_free(&unpack->journal);
    buffer_free(&unpack->text);
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
    if ((long long)size > unpack->reader.limits.name) return bad(unpack, "a name that is too long");
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

/* Cut at the last slash: the leaf, and in `*parent` what is before it. */
static char *split_leaf(char *path, const char **parent) {
    char *slash = strrchr(path, '/');
    *parent = slash ? path : "";
    if (slash) *slash = 0;
    return slash ? slash + 1 : path;
}

/* ---- parents ---- */

static char *path_of(struct unpack *unpack, int fd) {
    char link[40], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return NULL;
    path[size] = 0;
    size_t root = strlen(unpack->root);
    if (strncmp(path, unpack->root, root) || (path[root] && path[root] != '/')) return errno = EXDEV, NULL;
    return strdup(path + root + (path[root] == '/'));
}

/* An existing directory, and in `*path` where it is in the tree. */
static int open_directory(struct unpack *unpack, const char *name, char **path) {
    RB_FD fd = open_beneath(unpack->diff, name, OPEN_DIR, unpack->force_walk);
    bool plain = fd >= 0;
    if (!plain && errno != ELOOP && errno != ENOTDIR) return -1;
    if (!plain) fd = open_in_root(unpack->diff, name, OPEN_DIR, unpack->force_walk);
    if (fd < 0 || !(*path = plain ? strdup(name) : path_of(unpack, fd))) return -1;
    return rb_take_fd(&fd);
}

/* Make what is missing at `name` under an open directory; a whiteout there counts as missing. The time says that the
 * archive has no entry for it: no archive has nanoseconds there, and no layer shows them. */
static int make_parent(struct unpack *unpack, int above, const char *above_path, const char *name) {
    struct meta meta = {S_IFDIR | 0755, 0, 0, 0};
    struct stat st;
    FREE char *path = path_join(above_path, name);
    if (!path) return -1;
    bool there = !fstatat(above, name, &st, AT_SYMLINK_NOFOLLOW);
    if (there && !is_whiteout(&st)) return errno = S_ISLNK(st.st_mode) ? ENOENT : ENOTDIR, -1;
    RB_FD fd = make_directory(above, name);
    return fd < 0 ? -1 : directories_add(&unpack->directories, path, &meta, (struct timespec){0, IMPLIED_NSEC});
}

static int make_parents(struct unpack *unpack, const char *name) {
    FREE char *copy = strdup(name), *above_path = strdup("");
    RB_FD above = dup(unpack->diff);
    if (!copy || !above_path || above < 0) return -1;
    for (char *at = copy; at; ) {
        char *slash = strchr(at, '/'), *path = NULL;
        if (slash) *slash = 0;
        int fd = open_directory(unpack, copy, &path);
        if (fd < 0 && (errno != ENOENT && errno != ENOTDIR)) return -1;
        if (fd < 0 && make_parent(unpack, above, above_path, at)) return -1;
        if (fd < 0 && (fd = open_directory(unpack, copy, &path)) < 0) return -1;
        close(above);
        free(above_path);
        above = fd;
        above_path = path;
        if (slash) *slash = '/';
        at = slash ? slash + 1 : NULL;
    }
    return 0;
}

static int enter_parent(struct unpack *unpack, const char *name) {
    if (unpack->parent >= 0 && !strcmp(unpack->parent_name, name)) return 0;
    forget_parent(unpack);
    int fd = open_directory(unpack, name, &unpack->parent_path);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR) && !make_parents(unpack, name))
        fd = open_directory(unpack, name, &unpack->parent_path);
    if (fd < 0) return os_fault(unpack, "open the parent directory");
    unpack->parent = fd;
    return (unpack->parent_name = strdup(name)) ? 0 : os_fault(unpack, "allocate");
}

/* ---- one member each ---- */

static int remember_directory(struct unpack *unpack, const char *leaf) {
    const struct member *member = &unpack->member;
    FREE char *path = path_join(unpack->parent_path, leaf);
    if (!path || directories_add(&unpack->directories, path, &member->meta, member->mtime))
        return os_fault(unpack, "allocate");
    return 0;
}

static int unpack_root(struct unpack *unpack) {
    const struct member *member = &unpack->member;
    if (member->type != '5') return bad(unpack, "the root may only be a directory");
    if (xattrs_write(unpack->diff, &member->xattrs)) return os_fault(unpack, "set xattrs");
    if (directories_add(&unpack->directories, "", &member->meta, member->mtime)) return os_fault(unpack, "allocate");
    return 0;
}

static int unpack_directory(struct unpack *unpack, const char *leaf) {
    RB_FD fd = make_directory(unpack->parent, leaf);
    if (fd < 0) return os_fault(unpack, "create directory");
    if (xattrs_write(fd, &unpack->member.xattrs)) return os_fault(unpack, "set xattrs");
    return remember_directory(unpack, leaf);
}

static bool all_zero(const char *bytes, size_t size) { return !bytes[0] && !memcmp(bytes, bytes + 1, size - 1); }

static int write_full(int fd, const char *bytes, size_t size) {
    while (size) {
        ssize_t done = write(fd, bytes, size);
        if (done < 0 && errno != EINTR) return -1;
        if (done > 0) bytes += done, size -= (size_t)done;
    }
    return 0;
}

/* Runs of zeros become holes: layers carry no sparse files, disks should. */
static int write_sparse(int fd, const char *bytes, size_t size) {
    for (size_t piece; size; bytes += piece, size -= piece) {
        piece = size < 4096 ? size : 4096;
        if (piece == 4096 && all_zero(bytes, piece)) {
            if (lseek(fd, 4096, SEEK_CUR) < 0) return -1;
            continue;
        }
        while (piece < size && !(size - piece >= 4096 && all_zero(bytes + piece, 4096)))
            piece += size - piece < 4096 ? size - piece : 4096;
        if (write_full(fd, bytes, piece)) return -1;
    }
    return 0;
}

static int copy_data(struct unpack *unpack, int fd) {
    char *bytes;
    ssize_t got;
    while ((got = tar_data(&unpack->reader, &bytes, &unpack->fault)) > 0)
        if (write_sparse(fd, bytes, (size_t)got)) return os_fault(unpack, "write");
    if (got < 0) return -1;
    return ftruncate(fd, unpack->member.size) ? os_fault(unpack, "truncate") : 0;
}

static int finish_file(struct unpack *unpack, int fd) {
    const struct member *member = &unpack->member;
    if (meta_write(fd, &member->meta, unpack->owners)) return os_fault(unpack, "set metadata");
    if (xattrs_write(fd, &member->xattrs)) return os_fault(unpack, "set xattrs");
    return set_mtime(fd, member->mtime) ? os_fault(unpack, "set mtime") : 0;
}

static int unpack_file(struct unpack *unpack, const char *leaf) {
    RB_FD fd = make_file(unpack->parent, leaf, true);
    if (fd < 0) return os_fault(unpack, "create file");
    return copy_data(unpack, fd) ? -1 : finish_file(unpack, fd);
}

static int journal_node(struct unpack *unpack, const char *leaf, const struct meta *meta) {
    FREE char *path = path_join(unpack->parent_path, leaf);
    return path ? journal_add(&unpack->journal, path, meta) : -1;
}

static int finish_node(struct unpack *unpack, const char *leaf) {
    const struct member *member = &unpack->member;
    const struct timespec times[2] = {member->mtime, member->mtime};
    const struct meta none = {0};
    bool record;
    if (meta_write_node(unpack->parent, leaf, &member->meta, unpack->owners, &record))
        return os_fault(unpack, "set metadata");
    if (journal_node(unpack, leaf, record ? &member->meta : &none)) return os_fault(unpack, "allocate");
    if (utimensat(unpack->parent, leaf, times, AT_SYMLINK_NOFOLLOW)) return os_fault(unpack, "set mtime");
    return 0;
}

static int unpack_symlink(struct unpack *unpack, const char *leaf) {
    if (!*unpack->member.link) return bad(unpack, "a symlink without a target");
    unpack->member.meta.mode = S_IFLNK | 0777;
    if (make_symlink(unpack->parent, leaf, unpack->member.link, true)) return os_fault(unpack, "create symlink");
    return finish_node(unpack, leaf);
}

static int unpack_fifo(struct unpack *unpack, const char *leaf) {
    if (make_node(unpack->parent, leaf, S_IFIFO | 0600, 0, true)) return os_fault(unpack, "create FIFO");
    return finish_node(unpack, leaf);
}

/* For real where owners are real and the kernel lets us, else an empty file with a record. */
static int unpack_device(struct unpack *unpack, const char *leaf) {
    const struct member *member = &unpack->member;
    const struct meta *meta = &member->meta;
    if (S_ISCHR(meta->mode) && meta->rdev == 0)
        return bad(unpack, "a character device 0:0, which is overlayfs's whiteout");
    if (unpack->owners == OWNERS_REAL && !make_node(unpack->parent, leaf, meta->mode & (S_IFMT | 0600), meta->rdev, true))
        return finish_node(unpack, leaf);
    if (unpack->owners == OWNERS_REAL && errno != EPERM) return os_fault(unpack, "create device node");
    RB_FD fd = make_file(unpack->parent, leaf, true);
    return fd < 0 ? os_fault(unpack, "create device record") : finish_file(unpack, fd);
}

/* The last record of a path, by walking back: the journal is not sorted yet. */
static const struct meta *journal_last(const struct journal *journal, const char *path) {
    for (size_t i = journal->count; i-- > 0;)
        if (!strcmp(journal->records[i].path, path)) return &journal->records[i].meta;
    return NULL;
}

static int link_record(struct unpack *unpack, const char *from_path, const char *old, const char *leaf) {
    FREE char *path = path_join(from_path, old);
    const struct meta none = {0}, *meta = path ? journal_last(&unpack->journal, path) : NULL;
    return path ? journal_node(unpack, leaf, meta ? meta : &none) : -1;
}

static int unpack_hardlink(struct unpack *unpack, const char *leaf) {
    FREE char *target = clean_name(unpack, unpack->member.link), *from_path = NULL;
    const char *parent;
    struct stat st;
    if (!target) return -1;
    const char *old = split_leaf(target, &parent);
    RB_FD from = open_directory(unpack, parent, &from_path);
    if (!*old || from < 0 || fstatat(from, old, &st, AT_SYMLINK_NOFOLLOW) || is_whiteout(&st))
        return bad(unpack, "a hard link to a file that is not there");
    if (S_ISDIR(st.st_mode)) return bad(unpack, "a hard link to a directory");
    if (make_link(from, old, unpack->parent, leaf, true)) return os_fault(unpack, "create hard link");
    if (S_ISREG(st.st_mode)) return 0;
    return link_record(unpack, from_path, old, leaf) ? os_fault(unpack, "allocate") : 0;
}

/* ---- whiteouts ---- */

/* It hides what is below, never what this layer has itself: a directory made here is then opaque. */
static int unpack_whiteout(struct unpack *unpack, const char *name) {
    struct stat st;
    if (!*name || !strcmp(name, ".") || !strcmp(name, "..")) return bad(unpack, "a whiteout of no file");
    if (!mknodat(unpack->parent, name, S_IFCHR, 0)) return 0;
    if (errno != EEXIST || fstatat(unpack->parent, name, &st, AT_SYMLINK_NOFOLLOW))
        return os_fault(unpack, "create whiteout");
    if (!S_ISDIR(st.st_mode)) return 0;
    RB_FD fd = openat(unpack->parent, name, OPEN_DIR | O_NOFOLLOW);
    return fd < 0 || set_opaque(fd) ? os_fault(unpack, "mark opaque") : 0;
}

static int unpack_mark(struct unpack *unpack, const char *leaf) {
    if (!unpack->layer) return bad(unpack, "a name that begins with .wh., which no layer could carry");
    if (strcmp(leaf, ".wh..wh..opq")) return unpack_whiteout(unpack, leaf + 4);
    return set_opaque(unpack->parent) ? os_fault(unpack, "mark opaque") : 0;
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

static int unpack_leaf(struct unpack *unpack, const char *leaf) {
    if (!strncmp(leaf, ".wh.", 4)) return unpack_mark(unpack, leaf);
    switch (unpack->member.type) {
    case '0': return unpack_file(unpack, leaf);
    case '1': return unpack_hardlink(unpack, leaf);
    case '2': return unpack_symlink(unpack, leaf);
    case '5': return unpack_directory(unpack, leaf);
    case '6': return unpack_fifo(unpack, leaf);
    default: return unpack_device(unpack, leaf);
    }
}

static int unpack_member(struct unpack *unpack) {
    FREE char *path = clean_name(unpack, unpack->member.path);
    const char *parent;
    if (!path) return -1;
    if (unpack->member.size > unpack->reader.limits.bytes - unpack->bytes)
        return bad(unpack, "more data than the limit");
    unpack->bytes += unpack->member.size;
    if (!*path) return unpack_root(unpack);
    int marked = check_marks(unpack, path);
    if (marked) return marked < 0 ? -1 : 0;
    char *leaf = split_leaf(path, &parent);
    if (enter_parent(unpack, parent) || unpack_leaf(unpack, leaf)) return -1;
    /* Any name but a regular file's may have changed where names lead. */
    if (unpack->member.type != '0') forget_parent(unpack);
    return 0;
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

static int unpack_open(struct unpack *unpack, int tree_fd, int in_fd, const struct limits *limits) {
    char link[40];
    unpack->diff = openat(tree_fd, "diff", OPEN_DIR | O_NOFOLLOW);
    if (unpack->diff < 0) return fault_os(&unpack->fault, "open tree", "diff");
    snprintf(link, sizeof link, "/proc/self/fd/%d", unpack->diff);
    if (readlink(link, unpack->root, sizeof unpack->root - 1) < 0) return fault_os(&unpack->fault, "readlink", link);
    if (journal_load(tree_fd, &unpack->journal)) return fault_os(&unpack->fault, "read journal", "journal");
    return reader_open(&unpack->reader, in_fd, limits) ? fault_os(&unpack->fault, "allocate", NULL) : 0;
}

static int unpack_all(struct unpack *unpack, int tree_fd, int in_fd, const struct limits *limits) {
    if (unpack_open(unpack, tree_fd, in_fd, limits)) return -1;
    if (unpack_members(unpack)) {
        /* The reader does not know whose data it was. */
        if (!unpack->fault.path && unpack->member.path) unpack->fault.path = strdup(unpack->member.path);
        return -1;
    }
    if (directories_apply(&unpack->directories, unpack->diff, unpack->owners, &unpack->fault)) return -1;
    if (journal_settle(&unpack->journal) || journal_encode(&unpack->journal, unpack->diff, &unpack->text))
        return fault_os(&unpack->fault, "write journal", "journal");
    return 0;
}

PyObject *rb_py_unpack(PyObject *self, PyObject *args, PyObject *keywords) {
    char *names[] = {"in_fd", "tree_fd", "owners", "layer", "limits", "force_walk", NULL};
    CLEANUP(unpack_free) struct unpack unpack = {.parent = -1, .diff = -1};
    int in_fd, tree_fd, layer, force = 0, failed;
    struct limits limits;
    const char *owners;
    (void)self;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "iisp(LLLLLL)|p", names, &in_fd, &tree_fd, &owners, &layer,
                                     &limits.entries, &limits.bytes, &limits.header, &limits.path, &limits.name,
                                     &limits.depth, &force) ||
        owners_parse(owners, &unpack.owners))
        return NULL;
    unpack.layer = layer;
    unpack.force_walk = force;
    Py_BEGIN_ALLOW_THREADS
    failed = unpack_all(&unpack, tree_fd, in_fd, &limits);
    Py_END_ALLOW_THREADS
    if (failed) return fault_raise(&unpack.fault);
    return Py_BuildValue("(LLy#)", unpack.entries, unpack.bytes, unpack.text.bytes ? unpack.text.bytes : "",
                         (Py_ssize_t)unpack.text.size);
}
