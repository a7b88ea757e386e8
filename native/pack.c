/* A tree, or what it changes against others, as a tar stream.
 *
 * Depth first, the names of a directory by their bytes, whiteouts before all else in it. A directory that is
 * the same below is written only when something in it is: it waits in `pending` until then. */
#include "layers.h"

#include <limits.h>

#define MAX_DEPTH 4000
/* A file this large of which this little is allocated: writing its zeros would take minutes. */
#define SPARSE_SIZE (16LL << 30)
#define SPARSE_RATIO 100

struct pending {
    const char *path;
    struct head head;
    bool written;
    struct pending *parent;
};
struct pack {
    struct view upper, lower;
    struct writer out;
    enum owners owners;
    int64_t clamp;
    bool layer;
    struct links links, named;
    struct pending *pending;
    long long entries;
    int depth;
    struct fault fault;
};

static void pack_free(struct pack *pack) {
    view_close(&pack->upper);
    view_close(&pack->lower);
    writer_close(&pack->out);
    links_free(&pack->links);
    links_free(&pack->named);
}

/* ---- heads ---- */

static void head_free(struct head *head) {
    xattrs_free(&head->xattrs);
    free(head->target);
}

static int read_target(const struct tree *tree, const char *path, char **target) {
    char text[PATH_MAX];
    RB_FD fd = open_beneath(tree->diff, path, O_PATH | O_NOFOLLOW, false);
    ssize_t size = fd < 0 ? -1 : readlinkat(fd, "", text, sizeof text - 1);
    if (size < 0) return -1;
    text[size] = 0;
    return (*target = strdup(text)) ? 0 : -1;
}

/* All that a header will say of an entry; for regular files also the open file in `*fd`. */
static int head_read(struct pack *pack, const struct tree *tree, const char *path, const struct stat *st,
                     struct head *head, int *fd) {
    *head = (struct head){.size = st->st_size, .mtime = st->st_mtim.tv_sec};
    if (head->mtime > pack->clamp) head->mtime = pack->clamp;
    if (tree_meta(tree, path, st, pack->owners, &head->meta, fd, &pack->fault)) return -1;
    if (*fd >= 0 && xattrs_read(*fd, &head->xattrs)) {
        if (errno == EOPNOTSUPP) return fault_bad(&pack->fault, "overlay redirects are not supported", path);
        return fault_os(&pack->fault, "read xattrs", path);
    }
    if (S_ISLNK(st->st_mode) && read_target(tree, path, &head->target))
        return fault_os(&pack->fault, "readlink", path);
    return 0;
}

static bool head_same(const struct head *one, const struct head *other) {
    const struct meta *a = &one->meta, *b = &other->meta;
    if (a->mode != b->mode || a->uid != b->uid || a->gid != b->gid || one->mtime != other->mtime) return false;
    if ((S_ISCHR(a->mode) || S_ISBLK(a->mode)) && a->rdev != b->rdev) return false;
    if (S_ISREG(a->mode) && one->size != other->size) return false;
    if (S_ISLNK(a->mode) && strcmp(one->target, other->target)) return false;
    return xattrs_equal(&one->xattrs, &other->xattrs);
}

static ssize_t read_full(int fd, char *bytes, size_t size, off_t at) {
    size_t done = 0;
    for (ssize_t got; done < size; done += (size_t)got) {
        got = pread(fd, bytes + done, size - done, at + (off_t)done);
        if (got < 0) return -1;
        if (got == 0) break;
    }
    return (ssize_t)done;
}

/* 1 the same bytes, 0 not, -1 error */
static int same_content(int one, int other) {
    const size_t half = 64 * 1024;
    FREE char *bytes = malloc(half * 2);
    if (!bytes) return -1;
    for (off_t at = 0;;) {
        ssize_t a = read_full(one, bytes, half, at), b = read_full(other, bytes + half, half, at);
        if (a < 0 || b < 0) return -1;
        if (a != b || memcmp(bytes, bytes + half, (size_t)a)) return 0;
        if (a < (ssize_t)half) return 1;
        at += a;
    }
}

/* All that a tree itself has several names for, whatever other trees share with it. */
static int count_names(struct pack *pack, const char *path, const struct strata *at) {
    CLEANUP(listing_free) struct listing listing = {0};
    const char *first;
    if (view_list(&pack->upper, path, at, &listing, &pack->fault)) return -1;
    for (size_t i = 0; i < listing.count; i++) {
        const struct entry *entry = &listing.entries[i];
        FREE char *child = path_join(path, entry->name);
        bool inner = S_ISDIR(entry->st.st_mode);
        if (!child || (!inner && links_seen(&pack->named, entry->tree, &entry->st, child, &first)))
            return fault_os(&pack->fault, "remember link", path);
        if (inner && count_names(pack, child, &entry->strata)) return -1;
    }
    return 0;
}

/* Asked of few files: one that is as below and has several links, which may be those of another tree. */
static int has_siblings(struct pack *pack, const struct stat *st) {
    struct strata all;
    if (!pack->named.count) {
        if (strata_all(&pack->upper, &all)) return fault_os(&pack->fault, "allocate", NULL);
        FREE int *trees = all.trees;
        if (count_names(pack, "", &all)) return -1;
    }
    return links_again(&pack->named, 0, st);
}

/* Whether the lower view has this entry already, the same in all that a tar says: 1, 0 or -1. */
static int same_below(struct pack *pack, const char *path, const struct stat *st, const struct head *head, int fd,
                      const struct entry *below) {
    CLEANUP(head_free) struct head other = {0};
    RB_FD lower = -1;
    if (below->tree < 0 || (below->st.st_mode & S_IFMT) != (st->st_mode & S_IFMT)) return 0;
    /* A name of several would lose its siblings: links are told within one layer only. */
    int siblings = S_ISDIR(st->st_mode) || st->st_nlink < 2 ? 0 : has_siblings(pack, st);
    if (siblings) return siblings < 0 ? -1 : 0;
    if (head_read(pack, &pack->lower.trees[below->tree], path, &below->st, &other, &lower)) return -1;
    if (!head_same(head, &other)) return 0;
    if (!S_ISREG(st->st_mode)) return 1;
    int same = same_content(fd, lower);
    return same < 0 ? fault_os(&pack->fault, "compare", path) : same;
}

/* ---- writing ---- */

static int write_pending(struct pack *pack, struct pending *directory) {
    if (!directory || directory->written) return 0;
    if (write_pending(pack, directory->parent)) return -1;
    directory->written = true;
    pack->entries++;
    if (tar_header(&pack->out, directory->path, &directory->head, NULL))
        return fault_os(&pack->fault, "write", directory->path);
    return 0;
}

static int refuse(struct pack *pack, const char *path, const char *name, const struct stat *st) {
    if (pack->layer && !strncmp(name, ".wh.", 4))
        return fault_bad(&pack->fault, "a file whose name begins with .wh. cannot be in a layer", path);
    if (S_ISREG(st->st_mode) && st->st_size >= SPARSE_SIZE && st->st_size / SPARSE_RATIO > st->st_blocks * 512)
        return fault_bad(&pack->fault, "a sparse file of 16 GiB or more, nearly all holes, which a layer would "
                                       "store as zeros (from useradd with a high uid? give it --no-log-init)", path);
    return 0;
}

static int write_entry(struct pack *pack, const char *path, int tree, const struct stat *st, const struct head *head,
                       int fd) {
    const char *first;
    if (write_pending(pack, pack->pending)) return -1;
    if (links_seen(&pack->links, tree, st, path, &first)) return fault_os(&pack->fault, "remember link", path);
    pack->entries++;
    if (tar_header(&pack->out, path, head, first)) return fault_os(&pack->fault, "write", path);
    if (first || !S_ISREG(head->meta.mode)) return 0;
    int failed = tar_file(&pack->out, fd, st);
    if (failed > 0) return fault_bad(&pack->fault, "file shrank while it was read", path);
    return failed ? fault_os(&pack->fault, "copy to the archive", path) : 0;
}

static int pack_directory(struct pack *pack, const char *path, const struct strata *upper,
                          const struct strata *lower, bool hidden);

static int pack_subdirectory(struct pack *pack, const char *path, const struct entry *entry,
                             const struct entry *below, const struct head *head, bool hidden) {
    struct pending pending = {.path = path, .head = *head, .parent = pack->pending};
    int same = pack->layer ? same_below(pack, path, &entry->st, head, -1, below) : 0;
    if (same < 0 || (!same && write_pending(pack, &pending))) return -1;
    if (++pack->depth > MAX_DEPTH) return fault_bad(&pack->fault, "directories too deep", path);
    pack->pending = &pending;
    int failed = pack_directory(pack, path, &entry->strata, &below->strata, hidden);
    pack->pending = pending.parent;
    pack->depth--;
    return failed;
}

static int pack_entry(struct pack *pack, const char *path, const struct entry *entry, const struct entry *below,
                      bool hidden) {
    CLEANUP(head_free) struct head head = {0};
    RB_FD fd = -1;
    if (S_ISSOCK(entry->st.st_mode)) return 0;
    if (refuse(pack, path, entry->name, &entry->st)) return -1;
    if (head_read(pack, &pack->upper.trees[entry->tree], path, &entry->st, &head, &fd)) return -1;
    if (S_ISDIR(entry->st.st_mode)) {
        int directory = rb_take_fd(&fd);
        close(directory); /* not one descriptor a level: directories may be deep */
        return pack_subdirectory(pack, path, entry, below, &head, hidden);
    }
    int same = pack->layer ? same_below(pack, path, &entry->st, &head, fd, below) : 0;
    if (same) return same < 0 ? -1 : 0;
    return write_entry(pack, path, entry->tree, &entry->st, &head, fd);
}

static int write_whiteout(struct pack *pack, const char *path, const char *name) {
    pack->entries++;
    if (write_pending(pack, pack->pending)) return -1;
    return tar_whiteout(&pack->out, path, name) ? fault_os(&pack->fault, "write whiteout", path) : 0;
}

static int name_order(const void *one, const void *other) {
    return strcmp(((const struct entry *)one)->name, ((const struct entry *)other)->name);
}

static bool listed(const struct listing *listing, const struct entry *entry, size_t count) {
    return count && bsearch(entry, listing->entries, count, sizeof *entry, name_order);
}

/* An opaque directory hides every name below that it has not itself: each gets its whiteout. */
static int add_hidden(struct pack *pack, const char *path, const struct strata *lower, struct listing *listing) {
    CLEANUP(listing_free) struct listing below = {0};
    size_t count = listing->count;
    if (view_list(&pack->lower, path, lower, &below, &pack->fault)) return -1;
    for (size_t i = 0; i < below.count; i++) {
        struct entry *entry = &below.entries[i], *grown;
        if (entry->whiteout || listed(listing, entry, count)) continue;
        grown = array_grow(listing->entries, listing->count, &listing->room, sizeof *grown);
        if (!grown) return fault_os(&pack->fault, "list", path);
        listing->entries = grown;
        grown[listing->count++] = (struct entry){.name = entry->name, .whiteout = true, .tree = -1};
        entry->name = NULL;
    }
    if (listing->count) qsort(listing->entries, listing->count, sizeof *listing->entries, name_order);
    return 0;
}

struct founds {
    struct entry *entries;
    size_t count;
};

static void founds_free(struct founds *founds) {
    for (size_t i = 0; founds->entries && i < founds->count; i++) free(founds->entries[i].strata.trees);
    free(founds->entries);
}

static int pack_names(struct pack *pack, const char *path, const struct listing *listing, struct entry *found,
                      bool hidden) {
    for (size_t i = 0; pack->layer && i < listing->count; i++) {
        const struct entry *entry = &listing->entries[i];
        if (entry->whiteout && found[i].tree >= 0 && write_whiteout(pack, path, entry->name)) return -1;
    }
    for (size_t i = 0; i < listing->count; i++) {
        if (listing->entries[i].whiteout) continue;
        FREE char *child = path_join(path, listing->entries[i].name);
        if (!child) return fault_os(&pack->fault, "pack", path);
        if (pack_entry(pack, child, &listing->entries[i], &found[i], hidden)) return -1;
    }
    return 0;
}

static int pack_directory(struct pack *pack, const char *path, const struct strata *upper,
                          const struct strata *lower, bool hidden) {
    CLEANUP(listing_free) struct listing listing = {0};
    CLEANUP(founds_free) struct founds founds = {0};
    if (view_list(&pack->upper, path, upper, &listing, &pack->fault)) return -1;
    hidden = pack->layer && (hidden || listing.opaque);
    if (hidden && add_hidden(pack, path, lower, &listing)) return -1;
    founds = (struct founds){calloc(listing.count + 1, sizeof *founds.entries), listing.count};
    if (!founds.entries) return fault_os(&pack->fault, "list", path);
    if (view_find(&pack->lower, path, lower, &listing, founds.entries, &pack->fault)) return -1;
    return pack_names(pack, path, &listing, founds.entries, hidden);
}

static int pack_all(struct pack *pack) {
    FREE int *upper_trees = NULL, *lower_trees = NULL;
    struct strata upper, lower;
    if (strata_all(&pack->upper, &upper)) return fault_os(&pack->fault, "allocate", NULL);
    upper_trees = upper.trees;
    if (strata_all(&pack->lower, &lower)) return fault_os(&pack->fault, "allocate", NULL);
    lower_trees = lower.trees;
    if (pack_directory(pack, "", &upper, &lower, false)) return -1;
    return tar_end(&pack->out) ? fault_os(&pack->fault, "write", NULL) : 0;
}

PyObject *rb_py_pack(PyObject *self, PyObject *args) {
    CLEANUP(pack_free) struct pack pack = {0};
    PyObject *uppers, *lowers, *write;
    const char *owners;
    long long clamp;
    int layer, failed;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOOsLp", &uppers, &lowers, &write, &owners, &clamp, &layer)) return NULL;
    if (owners_parse(owners, &pack.owners)) return NULL;
    pack.clamp = clamp;
    pack.layer = layer;
    if (view_open(&pack.upper, uppers, &pack.fault) || view_open(&pack.lower, lowers, &pack.fault) ||
        writer_open(&pack.out, write))
        return fault_raise(&pack.fault);
    pack.out.thread = PyEval_SaveThread();
    failed = pack_all(&pack);
    PyEval_RestoreThread(pack.out.thread);
    if (failed) return fault_raise(&pack.fault);
    return writer_finish(&pack.out) ? NULL : PyLong_FromLongLong(pack.entries);
}
