/* A tree, or what it changes against others, as a tar stream.
 *
 * Depth first, the names of a directory by their bytes, whiteouts before all else in it. A directory that is
 * the same below is written only when something in it is: its level waits until then.
 * A file costs openat, fstat, flistxattr, read and close; a directory is kept open meanwhile. */
#include "layers.h"

#include <limits.h>

/* Of the directories above, this many stay open, in all trees; the others are opened again on the way back. */
#define MAX_OPEN 256
/* A file this large of which this little is allocated: writing its zeros would take minutes. */
#define SPARSE_SIZE (16LL << 30)
#define SPARSE_RATIO 100

struct level { /* a directory on the way to what is being packed */
    struct level *above;
    const char *path;
    struct head head;
    struct doors upper, lower;
    bool written, hidden; /* hidden: what is below it does not show, and gets whiteouts */
    uint32_t name;        /* in struct pack's `names`; 0: not there */
};
struct pack {
    struct view upper, lower;
    struct writer out;
    enum owners owners;
    int64_t clamp;
    bool layer;
    struct links counts; /* how many names an inode has in the upper tree, when that had to be found out */
    struct buffer names; /* of the trees' links: where its directory is (4 bytes), name, NUL */
    long long entries;
    int depth;
    struct fault fault;
};

struct item {
    struct tree *tree;
    const char *path, *name;
    int parent, fd; /* fd: the open file or directory, -1 for what is neither */
    struct stat st;
    struct head head;
};

static void pack_free(struct pack *pack) {
    links_free(&pack->counts);
    buffer_free(&pack->names);
    view_close(&pack->upper);
    view_close(&pack->lower);
    writer_close(&pack->out);
}

static int os_fault(struct pack *pack, const char *step, const char *path) {
    return fault_os(&pack->fault, step, path);
}

/* ---- levels ---- */

static void head_free(struct head *head) {
    xattrs_free(&head->xattrs);
    free(head->target);
}

static void level_free(struct level *level) {
    head_free(&level->head);
    doors_free(&level->upper);
    doors_free(&level->lower);
}

static int level_reopen(struct pack *pack, struct level *level) {
    return doors_reopen(&pack->upper, level->path, &level->upper) ||
           doors_reopen(&pack->lower, level->path, &level->lower) ? os_fault(pack, "open directory", level->path) : 0;
}

typedef int visit(struct pack *pack, struct level *level);

/* The directory `path` below `above`. */
static int level_enter(struct pack *pack, struct level *above, const char *path, const char *name, visit *visit) {
    CLEANUP(level_free) struct level level = {.above = above, .path = path, .hidden = above->hidden};
    if (doors_enter(&above->upper, name, &level.upper) || doors_enter(&above->lower, name, &level.lower))
        return os_fault(pack, "open directory", path);
    if (!level.upper.count) return fault_bad(&pack->fault, "it changed while it was read", path);
    if (++pack->depth > MAX_DEPTH) return fault_bad(&pack->fault, "directories too deep", path);
    bool shut = (size_t)pack->depth * (pack->upper.count + pack->lower.count) > MAX_OPEN;
    if (shut) doors_shut(&above->upper), doors_shut(&above->lower);
    int failed = visit(pack, &level);
    pack->depth--;
    return failed || (shut && level_reopen(pack, above)) ? -1 : 0;
}

/* ---- hard links ---- */

/* Paths are kept by name and directory: a million links must not take the memory of a million paths. */
static int add_name(struct pack *pack, uint32_t directory, const char *name, uint32_t *at) {
    struct buffer *names = &pack->names;
    if (!names->size && buffer_add(names, "", 1)) return -1; /* 0 is no name */
    if (names->size > UINT32_MAX) return errno = EOVERFLOW, -1;
    *at = (uint32_t)names->size;
    return buffer_add(names, &directory, sizeof directory) || buffer_add(names, name, strlen(name) + 1) ? -1 : 0;
}

static int name_level(struct pack *pack, struct level *level) {
    const char *slash = strrchr(level->path, '/');
    if (!level->above || level->name) return 0;
    if (name_level(pack, level->above)) return -1;
    return add_name(pack, level->above->name, slash ? slash + 1 : level->path, &level->name);
}

static int name_path(const struct pack *pack, uint32_t at, struct buffer *path) {
    uint32_t directory;
    memcpy(&directory, pack->names.bytes + at, sizeof directory);
    const char *name = pack->names.bytes + at + sizeof directory;
    if (directory && (name_path(pack, directory, path) || buffer_add(path, "/", 1))) return -1;
    return buffer_add(path, name, strlen(name));
}

/* The path that this inode was written by into `first`, which stays empty when this is its first name. */
static int link_seen(struct pack *pack, struct level *level, const struct item *item, struct buffer *first) {
    if (item->st.st_nlink < 2) return 0;
    struct link *slot = links_slot(&item->tree->links, &item->st);
    if (!slot) return -1;
    if (slot->number) return name_path(pack, slot->number, first);
    return name_level(pack, level) ? -1 : add_name(pack, level->name, item->name, &slot->number);
}

static int count_name(struct pack *pack, const struct level *level, const char *name, const char *path) {
    struct stat st;
    if (fstatat(level->upper.items[0].fd, name, &st, AT_SYMLINK_NOFOLLOW)) return os_fault(pack, "stat", path);
    struct link *slot = st.st_nlink > 1 ? links_slot(&pack->counts, &st) : NULL;
    if (slot) slot->number++;
    return slot || st.st_nlink < 2 ? 0 : os_fault(pack, "remember link", path);
}

static int count_level(struct pack *pack, struct level *level) {
    CLEANUP(names_free) struct names names = {0};
    if (doors_names(&level->upper, &names)) return os_fault(pack, "read directory", level->path);
    for (size_t i = 0; i < names.count; i++) {
        const char *name = name_at(&names, i);
        FREE char *path = path_join(level->path, name);
        if (!path) return os_fault(pack, "pack", level->path);
        bool directory = names.items[i].type == DT_DIR;
        if (directory ? level_enter(pack, level, path, name, count_level) : count_name(pack, level, name, path))
            return -1;
    }
    return 0;
}

/* Whether an inode has another name in the upper tree: 1, 0 or -1. st_nlink counts other trees' names too. */
static int has_sibling(struct pack *pack, const struct stat *st, const char *path) {
    CLEANUP(level_free) struct level top = {.path = ""};
    int depth = pack->depth;
    if (st->st_nlink < 2) return 0;
    if (!pack->counts.room) {
        pack->depth = 0;
        if (doors_root(&pack->upper, &top.upper)) return os_fault(pack, "open directory", "");
        if (count_level(pack, &top)) return -1;
        pack->depth = depth;
    }
    const struct link *slot = links_slot(&pack->counts, st);
    return slot ? slot->number > 1 : os_fault(pack, "remember link", path);
}

/* ---- entries ---- */

static void item_free(struct item *item) {
    rb_close_fd(&item->fd);
    head_free(&item->head);
}

static int64_t clamped(const struct pack *pack, const struct stat *st) {
    return st->st_mtim.tv_sec > pack->clamp ? pack->clamp : st->st_mtim.tv_sec;
}

static int read_target(const struct item *item, char **target) {
    char text[PATH_MAX];
    ssize_t size = readlinkat(item->parent, item->name, text, sizeof text - 1);
    if (size < 0) return -1;
    text[size] = 0;
    return (*target = strdup(text)) ? 0 : -1;
}

/* All that a header will say of an entry whose `st` and `fd` are known. */
static int head_read(struct pack *pack, struct item *item) {
    struct head *head = &item->head;
    *head = (struct head){.size = item->st.st_size, .mtime = clamped(pack, &item->st)};
    if (item->fd >= 0 && xattrs_read(item->fd, &head->xattrs)) {
        if (errno != EOPNOTSUPP) return os_fault(pack, "read xattrs", item->path);
        return fault_bad(&pack->fault, "overlay redirects are not supported", item->path);
    }
    int recorded = head->xattrs.recorded ? item->fd : -1;
    if (tree_effective(item->tree, item->path, &item->st, recorded, pack->owners, &head->meta, &pack->fault)) return -1;
    if (S_ISLNK(item->st.st_mode) && read_target(item, &head->target)) return os_fault(pack, "readlink", item->path);
    return 0;
}

/* What is `name` in a directory and of this type (DT_*), if not a directory itself. */
static int item_open(struct pack *pack, struct view *view, const struct door *door, unsigned char type,
                     struct item *item) {
    const int flags = O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC;
    item->tree = &view->trees[door->tree];
    item->parent = door->fd;
    if (type == DT_REG && (item->fd = openat(door->fd, item->name, flags)) < 0) return os_fault(pack, "open", item->path);
    if (item->fd < 0 ? fstatat(door->fd, item->name, &item->st, AT_SYMLINK_NOFOLLOW) : fstat(item->fd, &item->st))
        return os_fault(pack, "stat", item->path);
    if (IFTODT(item->st.st_mode) != type) return fault_bad(&pack->fault, "it changed while it was read", item->path);
    return head_read(pack, item);
}

/* The open directory of a level, or what is below it, which stays the level's. */
static int directory_read(struct pack *pack, struct view *view, const struct door *door, struct item *item) {
    item->tree = &view->trees[door->tree];
    item->fd = door->fd;
    if (fstat(door->fd, &item->st)) return os_fault(pack, "stat", item->path);
    return head_read(pack, item);
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

/* Whether the lower view has this entry already, the same in all that a tar says: 1, 0 or -1. */
static int same_below(struct pack *pack, const struct level *level, const struct item *item) {
    CLEANUP(item_free) struct item below = {.path = item->path, .name = item->name, .fd = -1};
    const struct door *door;
    int found = doors_find(&level->lower, item->name, &below.st, &door);
    if (found <= 0) return found ? os_fault(pack, "stat", item->path) : 0;
    if (IFTODT(below.st.st_mode) != IFTODT(item->st.st_mode) || clamped(pack, &below.st) != item->head.mtime) return 0;
    if (item_open(pack, &pack->lower, door, IFTODT(below.st.st_mode), &below)) return -1;
    if (!head_same(&item->head, &below.head)) return 0;
    int same = S_ISREG(item->st.st_mode) ? same_content(item->fd, below.fd) : 1;
    if (same <= 0) return same ? os_fault(pack, "compare", item->path) : 0;
    /* A name of several would lose its siblings: links are told within one layer only. */
    int sibling = has_sibling(pack, &item->st, item->path);
    return sibling < 0 ? -1 : !sibling;
}

static int same_directory(struct pack *pack, const struct level *level) {
    struct item below = {.path = level->path, .fd = -1};
    if (!level->lower.count) return 0;
    int failed = directory_read(pack, &pack->lower, level->lower.items, &below);
    bool same = !failed && head_same(&level->head, &below.head);
    head_free(&below.head);
    return failed ? -1 : same;
}

/* ---- writing ---- */

static int write_pending(struct pack *pack, struct level *level) {
    if (level->written) return 0;
    if (write_pending(pack, level->above)) return -1;
    level->written = true;
    pack->entries++;
    if (tar_header(&pack->out, level->path, &level->head, NULL)) return os_fault(pack, "write", level->path);
    return 0;
}

static int refuse(struct pack *pack, const char *path, const char *name, const struct stat *st) {
    if (pack->layer && !strncmp(name, ".wh.", 4))
        return fault_bad(&pack->fault, "a file whose name begins with .wh. cannot be in a layer", path);
    if (st && S_ISREG(st->st_mode) && st->st_size >= SPARSE_SIZE && st->st_size / SPARSE_RATIO > st->st_blocks * 512)
        return fault_bad(&pack->fault, "a sparse file of 16 GiB or more, nearly all holes, which a layer would "
                                       "store as zeros (from useradd with a high uid? give it --no-log-init)", path);
    return 0;
}

static int write_item(struct pack *pack, struct level *level, const struct item *item) {
    CLEANUP(buffer_free) struct buffer first = {0};
    if (write_pending(pack, level)) return -1;
    if (link_seen(pack, level, item, &first)) return os_fault(pack, "remember link", item->path);
    pack->entries++;
    if (tar_header(&pack->out, item->path, &item->head, first.bytes)) return os_fault(pack, "write", item->path);
    if (first.bytes || !S_ISREG(item->head.meta.mode)) return 0;
    int failed = tar_file(&pack->out, item->fd, &item->st);
    if (failed > 0) return fault_bad(&pack->fault, "file shrank while it was read", item->path);
    return failed ? os_fault(pack, "read", item->path) : 0;
}

static int pack_leaf(struct pack *pack, struct level *level, const struct name *found, const char *name,
                     const char *path) {
    CLEANUP(item_free) struct item item = {.path = path, .name = name, .fd = -1};
    if (item_open(pack, &pack->upper, &level->upper.items[found->door], found->type, &item)) return -1;
    if (refuse(pack, path, name, &item.st)) return -1;
    int same = same_below(pack, level, &item);
    return same ? (same < 0 ? -1 : 0) : write_item(pack, level, &item);
}

static int pack_names(struct pack *pack, struct level *level);

static int pack_directory(struct pack *pack, struct level *level) {
    struct item item = {.path = level->path, .fd = -1};
    int failed = directory_read(pack, &pack->upper, level->upper.items, &item);
    level->head = item.head;
    int same = failed ? -1 : same_directory(pack, level);
    if (same < 0 || (!same && write_pending(pack, level))) return -1;
    return pack_names(pack, level);
}

static int pack_name(struct pack *pack, struct level *level, const struct name *found, const char *name) {
    FREE char *path = path_join(level->path, name);
    if (!path) return os_fault(pack, "pack", level->path);
    if (found->type == DT_SOCK) return 0;
    if (found->type != DT_DIR) return pack_leaf(pack, level, found, name, path);
    if (refuse(pack, path, name, NULL)) return -1;
    return level_enter(pack, level, path, name, pack_directory);
}

static int pack_whiteout(struct pack *pack, struct level *level, const char *name) {
    struct stat st;
    const struct door *door;
    int found = doors_find(&level->lower, name, &st, &door);
    if (found <= 0) return found ? os_fault(pack, "stat", level->path) : 0;
    pack->entries++;
    if (write_pending(pack, level)) return -1;
    return tar_whiteout(&pack->out, level->path, name) ? os_fault(pack, "write whiteout", level->path) : 0;
}

/* An opaque directory hides every name below that it has not itself: each gets its whiteout. */
static int add_hidden(const struct level *level, struct names *names) {
    CLEANUP(names_free) struct names below = {0};
    if (doors_names(&level->lower, &below)) return -1;
    for (size_t i = 0; i < below.count; i++)
        if (below.items[i].type != DT_WHT && names_add(names, name_at(&below, i), UINT16_MAX, DT_WHT)) return -1;
    names_sort(names);
    return 0;
}

static int pack_names(struct pack *pack, struct level *level) {
    CLEANUP(names_free) struct names names = {0};
    level->hidden |= pack->layer && level->upper.opaque;
    if (doors_names(&level->upper, &names) || (level->hidden && add_hidden(level, &names)))
        return os_fault(pack, "read directory", level->path);
    for (size_t i = 0; pack->layer && i < names.count; i++)
        if (names.items[i].type == DT_WHT && pack_whiteout(pack, level, name_at(&names, i))) return -1;
    for (size_t i = 0; i < names.count; i++)
        if (names.items[i].type != DT_WHT && pack_name(pack, level, &names.items[i], name_at(&names, i))) return -1;
    return 0;
}

static int pack_all(struct pack *pack) {
    CLEANUP(level_free) struct level top = {.path = "", .written = true};
    if (doors_root(&pack->upper, &top.upper) || doors_root(&pack->lower, &top.lower))
        return os_fault(pack, "open directory", "");
    if (pack_names(pack, &top)) return -1;
    return tar_end(&pack->out) ? os_fault(pack, "write", NULL) : 0;
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
