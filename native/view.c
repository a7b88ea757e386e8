/* Several trees as one, as overlayfs would show them: whiteouts hide, opaque directories cut, directories merge.
 *
 * A directory of a view is open in each tree where it shows, and what is in it is opened relative to that:
 * one component, never followed. So nothing that a step does to its tree leads out of it. */
#include "layers.h"

#include <sys/syscall.h>

#define DIRENTS (64 * 1024)

int view_open(struct view *view, PyObject *tree_fds, struct fault *fault) {
    Py_ssize_t count = PySequence_Size(tree_fds);
    if (count < 0) return -1;
    if (count > UINT16_MAX) return fault_bad(fault, "too many trees", NULL);
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

/* ---- names ---- */

const char *name_at(const struct names *names, size_t number) { return names->text.bytes + names->items[number].at; }

int names_add(struct names *names, const char *name, size_t door, unsigned char type) {
    struct name *items = array_grow(names->items, names->count, &names->room, sizeof *items);
    if (!items) return -1;
    names->items = items;
    if (names->text.size > UINT32_MAX) return errno = EOVERFLOW, -1;
    items[names->count] = (struct name){(uint32_t)names->text.size, (uint16_t)door, type};
    if (buffer_add(&names->text, name, strlen(name) + 1)) return -1;
    names->count++;
    return 0;
}

/* What getdents64 says, where it says enough: a character device may be a whiteout. */
static int name_type(int directory, const struct dirent64 *entry, unsigned char *type) {
    struct stat st;
    *type = entry->d_type;
    if (*type != DT_UNKNOWN && *type != DT_CHR) return 0;
    if (fstatat(directory, entry->d_name, &st, AT_SYMLINK_NOFOLLOW)) return -1;
    *type = is_whiteout(&st) ? DT_WHT : IFTODT(st.st_mode);
    return 0;
}

static int add_dirents(int directory, size_t door, struct names *names, char *bytes, long size) {
    unsigned char type;
    for (struct dirent64 *entry; size > 0; bytes += entry->d_reclen, size -= entry->d_reclen) {
        entry = (struct dirent64 *)bytes;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (name_type(directory, entry, &type) || names_add(names, entry->d_name, door, type)) return -1;
    }
    return 0;
}

int names_read(int directory, size_t door, struct names *names) {
    FREE char *bytes = malloc(DIRENTS);
    long size = bytes ? 1 : -1;
    while (size > 0) {
        size = syscall(SYS_getdents64, directory, bytes, DIRENTS);
        if (size > 0 && add_dirents(directory, door, names, bytes, size)) return -1;
    }
    return (int)size;
}

static int name_order(const void *one, const void *other, void *text) {
    const struct name *a = one, *b = other;
    int order = strcmp((char *)text + a->at, (char *)text + b->at);
    return order ? order : a->door - b->door;
}

void names_sort(struct names *names) {
    size_t kept = 0;
    if (names->count) qsort_r(names->items, names->count, sizeof *names->items, name_order, names->text.bytes);
    for (size_t i = 0; i < names->count; i++)
        if (!kept || strcmp(name_at(names, kept - 1), name_at(names, i))) names->items[kept++] = names->items[i];
    names->count = kept;
}

void names_free(struct names *names) {
    free(names->items);
    buffer_free(&names->text);
}

/* ---- doors ---- */

static int doors_add(struct doors *doors, int tree, int fd) {
    struct door *items = reallocarray(doors->items, doors->count + 1, sizeof *items);
    if (!items) return close(fd), -1;
    items[doors->count++] = (struct door){tree, fd};
    doors->items = items;
    doors->opaque = is_opaque(fd);
    return 0;
}

int doors_enter(const struct doors *parent, const char *name, struct doors *doors) {
    for (size_t i = 0; i < parent->count && !doors->opaque; i++) {
        int fd = openat(parent->items[i].fd, name, OPEN_DIR | O_NOFOLLOW);
        if (fd < 0 && errno == ENOENT) continue;
        if (fd < 0 && (errno == ENOTDIR || errno == ELOOP)) break; /* it hides what is below it */
        if (fd < 0 || doors_add(doors, parent->items[i].tree, fd)) return -1;
    }
    return 0;
}

int doors_root(const struct view *view, struct doors *doors) {
    FREE struct door *items = calloc(view->count + 1, sizeof *items);
    struct doors all = {items, view->count, false};
    for (size_t i = 0; items && i < view->count; i++) items[i] = (struct door){(int)i, view->trees[i].diff};
    return items ? doors_enter(&all, ".", doors) : -1;
}

int doors_reopen(const struct view *view, const char *path, struct doors *doors) {
    for (size_t i = 0; i < doors->count; i++) {
        struct door *door = &doors->items[i];
        door->fd = open_beneath(view->trees[door->tree].diff, path, OPEN_DIR | O_NOFOLLOW, false);
        if (door->fd < 0) return -1;
    }
    return 0;
}

void doors_shut(struct doors *doors) {
    for (size_t i = 0; i < doors->count; i++) {
        rb_close_fd(&doors->items[i].fd);
        doors->items[i].fd = -1;
    }
}

void doors_free(struct doors *doors) {
    doors_shut(doors);
    free(doors->items);
}

int doors_names(const struct doors *doors, struct names *names) {
    for (size_t i = 0; i < doors->count; i++)
        if (names_read(doors->items[i].fd, i, names)) return -1;
    names_sort(names);
    return 0;
}

int doors_find(const struct doors *doors, const char *name, struct stat *st, const struct door **door) {
    for (size_t i = 0; i < doors->count; i++) {
        *door = &doors->items[i];
        if (!fstatat((*door)->fd, name, st, AT_SYMLINK_NOFOLLOW)) return !is_whiteout(st);
        if (errno != ENOENT) return -1;
    }
    return 0;
}
