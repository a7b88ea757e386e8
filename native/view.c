/* Several trees as one, as overlayfs would show them: whiteouts hide, opaque directories cut, directories merge. */
#include "layers.h"

int view_open(struct view *view, PyObject *tree_fds, struct fault *fault) {
    Py_ssize_t count = PySequence_Size(tree_fds);
    if (count < 0) return -1;
    *view = (struct view){calloc((size_t)count + 1, sizeof *view->trees), 0};
    if (!view->trees) return fault_os(fault, "open trees", NULL);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PySequence_GetItem(tree_fds, i);
        long fd = item ? PyLong_AsLong(item) : -1;
        Py_XDECREF(item);
        if (PyErr_Occurred()) return -1;
        view->count++;
        if (tree_open(&view->trees[i], (int)fd, fault)) return -1;
    }
    return 0;
}

void view_close(struct view *view) {
    for (size_t i = 0; i < view->count; i++) tree_close(&view->trees[i]);
    free(view->trees);
}

int strata_all(const struct view *view, struct strata *strata) {
    *strata = (struct strata){calloc(view->count + 1, sizeof *strata->trees), view->count};
    for (size_t i = 0; strata->trees && i < view->count; i++) strata->trees[i] = (int)i;
    return strata->trees ? 0 : -1;
}

static int strata_add(struct strata *strata, int tree) {
    int *trees = reallocarray(strata->trees, strata->count + 1, sizeof *trees);
    if (!trees) return -1;
    strata->trees = trees;
    trees[strata->count++] = tree;
    return 0;
}

void entry_free(struct entry *entry) {
    free(entry->name);
    free(entry->strata.trees);
}

void listing_free(struct listing *listing) {
    for (size_t i = 0; i < listing->count; i++) entry_free(&listing->entries[i]);
    free(listing->entries);
    *listing = (struct listing){0};
}

/* The directories of a path in the trees of `at`, down to the first opaque one. */
struct doors {
    int *fds;
    size_t count;
    bool opaque;
};

static void doors_close(struct doors *doors) {
    for (size_t i = 0; i < doors->count; i++) close(doors->fds[i]);
    free(doors->fds);
}

static int doors_open(const struct view *view, const char *path, const struct strata *at, struct doors *doors,
                      struct fault *fault) {
    doors->fds = calloc(at->count + 1, sizeof *doors->fds);
    if (!doors->fds) return fault_os(fault, "open directory", path);
    for (size_t i = 0; i < at->count && !doors->opaque; i++) {
        int fd = open_beneath(view->trees[at->trees[i]].diff, path, OPEN_DIR, false);
        if (fd < 0) return fault_os(fault, "open directory", path);
        doors->fds[doors->count++] = fd;
        doors->opaque = is_opaque(fd);
    }
    return 0;
}

struct reading {
    struct listing *listing;
    int fd, tree;
};

static int listing_add(void *into, const char *name) {
    const struct reading *at = into;
    struct listing *listing = at->listing;
    struct entry *entries = array_grow(listing->entries, listing->count, &listing->room, sizeof *entries);
    if (!entries) return -1;
    listing->entries = entries;
    struct entry *entry = &entries[listing->count];
    *entry = (struct entry){.name = strdup(name), .tree = at->tree};
    if (!entry->name) return -1;
    listing->count++;
    if (fstatat(at->fd, name, &entry->st, AT_SYMLINK_NOFOLLOW)) return -1;
    entry->whiteout = is_whiteout(&entry->st);
    return 0;
}

static int entry_order(const void *one, const void *other) {
    const struct entry *a = one, *b = other;
    int order = strcmp(a->name, b->name);
    return order ? order : a->tree - b->tree;
}

/* Sorted entries of one name: the topmost decides; directories under a directory join its strata. */
static int merge_names(struct listing *listing) {
    size_t kept = 0;
    bool joining = false;
    for (size_t i = 0; i < listing->count; i++) {
        struct entry *entry = &listing->entries[i], *top = kept ? &listing->entries[kept - 1] : NULL;
        bool same = top && !strcmp(top->name, entry->name);
        joining = S_ISDIR(entry->st.st_mode) && (!same || joining);
        if (same) {
            if (joining && strata_add(&top->strata, entry->tree)) return -1;
            free(entry->name);
            entry->name = NULL;
        } else {
            struct entry moved = *entry;
            entry->name = NULL;
            listing->entries[kept++] = moved;
            if (joining && strata_add(&listing->entries[kept - 1].strata, moved.tree)) return -1;
        }
    }
    listing->count = kept;
    return 0;
}

int view_list(const struct view *view, const char *path, const struct strata *at, struct listing *listing,
              struct fault *fault) {
    CLEANUP(doors_close) struct doors doors = {0};
    if (doors_open(view, path, at, &doors, fault)) return -1;
    listing->opaque = doors.opaque;
    for (size_t i = 0; i < doors.count; i++) {
        struct reading reading = {listing, doors.fds[i], at->trees[i]};
        if (each_name(doors.fds[i], listing_add, &reading)) return fault_os(fault, "read directory", path);
    }
    if (listing->count) qsort(listing->entries, listing->count, sizeof *listing->entries, entry_order);
    return merge_names(listing) ? fault_os(fault, "list", path) : 0;
}

static int find_name(const struct doors *doors, const struct strata *at, const char *name, struct entry *found) {
    *found = (struct entry){.tree = -1};
    for (size_t i = 0; i < doors->count; i++) {
        struct stat st;
        if (fstatat(doors->fds[i], name, &st, AT_SYMLINK_NOFOLLOW)) {
            if (errno != ENOENT) return -1;
            continue;
        }
        if (found->tree < 0 && is_whiteout(&st)) return 0;
        if (found->tree < 0) *found = (struct entry){.st = st, .tree = at->trees[i]};
        if (!S_ISDIR(st.st_mode)) return 0;
        if (strata_add(&found->strata, at->trees[i])) return -1;
    }
    return 0;
}

int view_find(const struct view *view, const char *path, const struct strata *at, const struct listing *names,
              struct entry *found, struct fault *fault) {
    CLEANUP(doors_close) struct doors doors = {0};
    if (doors_open(view, path, at, &doors, fault)) return -1;
    for (size_t i = 0; i < names->count; i++)
        if (find_name(&doors, at, names->entries[i].name, &found[i])) return fault_os(fault, "stat", path);
    return 0;
}
