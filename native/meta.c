/* Effective metadata: what the image says of an entry, where the disk may say less.
 *
 * The format of the records is in builder/layers/tree.py. Writing goes chown, chmod, xattrs: chown clears
 * setuid and security.capability, and what the kernel really set is read back before the record is made. */
#include "layers.h"

#include <linux/limits.h>
#include <stdio.h>
#include <sys/xattr.h>

#define STAT_XATTR "user.rbuild.stat"
#define CAPABILITY "security.capability"
#define CAPABILITY_XATTR "user.rbuild.capability"
#define OPAQUE_XATTR "user.overlay.opaque"

int owners_parse(const char *name, enum owners *owners) {
    if (!strcmp(name, "real")) return *owners = OWNERS_REAL, 0;
    if (!strcmp(name, "recorded")) return *owners = OWNERS_RECORDED, 0;
    PyErr_Format(PyExc_ValueError, "owners must be real or recorded, not %s", name);
    return -1;
}

bool is_whiteout(const struct stat *st) { return S_ISCHR(st->st_mode) && st->st_rdev == 0; }

bool is_opaque(int directory) {
    char value[2];
    return fgetxattr(directory, OPAQUE_XATTR, value, sizeof value) == 1 && value[0] == 'y';
}

int set_opaque(int directory) { return fsetxattr(directory, OPAQUE_XATTR, "y", 1, 0); }

/* ---- xattrs ---- */

static bool starts(const char *text, const char *prefix) { return !strncmp(text, prefix, strlen(prefix)); }

bool xattr_carried(const char *name) {
    if (!strcmp(name, CAPABILITY)) return true;
    return starts(name, "user.") && name[5] && !starts(name, "user.overlay.") && !starts(name, "user.rbuild.") &&
           strcmp(name, "user.rootlesscontainers") && !starts(name, "user.containers.");
}

/* A v3 capability is v2 plus the root id of the namespace it was set in, which no layer may tell. */
static size_t capability_v2(char *value, size_t size) {
    if (size != 24 || value[3] != 3) return size;
    value[3] = 2;
    return 20;
}

int xattrs_add(struct xattrs *list, const char *name, const void *value, size_t size) {
    struct xattr *items = array_grow(list->items, list->count, &list->room, sizeof *items);
    if (!items) return -1;
    list->items = items;
    struct xattr item = {strdup(name), malloc(size + 1), size};
    if (!item.name || !item.value) {
        free(item.name);
        free(item.value);
        return errno = ENOMEM, -1;
    }
    if (size) memcpy(item.value, value, size);
    if (!strcmp(name, CAPABILITY)) item.size = capability_v2(item.value, size);
    items[list->count++] = item;
    return 0;
}

static int xattr_order(const void *one, const void *other) {
    return strcmp(((const struct xattr *)one)->name, ((const struct xattr *)other)->name);
}

static int xattr_get(int fd, const char *name, struct buffer *value) {
    ssize_t size;
    do {
        if ((size = fgetxattr(fd, name, NULL, 0)) < 0) return -1;
        buffer_free(value);
        if (!(value->bytes = malloc((size_t)size + 1))) return -1;
        size = fgetxattr(fd, name, value->bytes, (size_t)size);
    } while (size < 0 && errno == ERANGE);
    value->size = size < 0 ? 0 : (size_t)size;
    return size < 0 ? -1 : 0;
}

static int xattr_read(int fd, const char *name, struct xattrs *carried) {
    CLEANUP(buffer_free) struct buffer value = {0};
    bool recorded = !strcmp(name, CAPABILITY_XATTR);
    /* We mount without these; to ignore their marks would be to lose content. */
    if (!strcmp(name, "user.overlay.redirect") || !strcmp(name, "user.overlay.metacopy"))
        return errno = EOPNOTSUPP, -1;
    if (!strcmp(name, STAT_XATTR)) carried->recorded = true;
    if (!recorded && !xattr_carried(name)) {
        carried->others |= !starts(name, "user.overlay.") && !starts(name, "user.rbuild.");
        return 0;
    }
    if (xattr_get(fd, name, &value)) return -1;
    return xattrs_add(carried, recorded ? CAPABILITY : name, value.bytes, value.size);
}

int xattrs_read(int fd, struct xattrs *carried) {
    char few[1024]; /* most files have none, which one call tells */
    FREE char *many = NULL;
    char *names = few;
    ssize_t size = flistxattr(fd, few, sizeof few);
    if (size < 0 && errno == ERANGE) {
        if (!(names = many = malloc(XATTR_LIST_MAX))) return -1;
        size = flistxattr(fd, many, XATTR_LIST_MAX);
    }
    if (size < 0) return errno == ENOTSUP ? 0 : -1;
    for (char *name = names; name < names + size; name += strlen(name) + 1)
        if (xattr_read(fd, name, carried)) return -1;
    if (carried->count) qsort(carried->items, carried->count, sizeof *carried->items, xattr_order);
    return 0;
}

bool xattrs_equal(const struct xattrs *one, const struct xattrs *other) {
    if (one->count != other->count) return false;
    for (size_t i = 0; i < one->count; i++) {
        const struct xattr *a = &one->items[i], *b = &other->items[i];
        if (strcmp(a->name, b->name) || a->size != b->size || memcmp(a->value, b->value, a->size)) return false;
    }
    return true;
}

/* A user xattr takes write permission, which a file that the image has read-only gives its own user for a moment. */
static int xattr_set(int fd, const char *name, const void *value, size_t size) {
    struct stat st;
    if (!fsetxattr(fd, name, value, size, 0)) return 0;
    if (errno != EACCES || fstat(fd, &st) || fchmod(fd, (st.st_mode & 07777) | 0200)) return -1;
    int failed = fsetxattr(fd, name, value, size, 0), saved = errno;
    if (fchmod(fd, st.st_mode & 07777)) return -1;
    return errno = saved, failed;
}

int xattrs_write(int fd, const struct xattrs *list) {
    for (size_t i = 0; i < list->count; i++) {
        const struct xattr *item = &list->items[i];
        if (!xattr_set(fd, item->name, item->value, item->size)) continue;
        if (strcmp(item->name, CAPABILITY)) return -1;
        /* No CAP_SETFCAP here, or a value this kernel does not know: carried all the same. */
        if (xattr_set(fd, CAPABILITY_XATTR, item->value, item->size)) return -1;
    }
    return 0;
}

void xattrs_free(struct xattrs *list) {
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].name);
        free(list->items[i].value);
    }
    free(list->items);
    *list = (struct xattrs){0};
}

/* ---- mode, owner, device ---- */

static int record_read(int fd, struct meta *meta, mode_t *disk) {
    char text[128];
    unsigned mode, uid, gid, major, minor, on_disk;
    ssize_t size = fgetxattr(fd, STAT_XATTR, text, sizeof text - 1);
    if (size < 0) return errno == ENODATA || errno == ENOTSUP ? 0 : -1;
    text[size] = 0;
    if (sscanf(text, "%o %u %u %u:%u %o", &mode, &uid, &gid, &major, &minor, &on_disk) != 6) return 0;
    *meta = (struct meta){(mode_t)mode, uid, gid, makedev(major, minor)};
    *disk = (mode_t)on_disk;
    return 1;
}

int meta_read(int fd, const struct stat *st, enum owners owners, struct meta *meta) {
    struct meta record;
    mode_t disk;
    bool real = owners == OWNERS_REAL;
    *meta = (struct meta){st->st_mode, real ? st->st_uid : 0, real ? st->st_gid : 0, st->st_rdev};
    if (fd < 0 || (real && st->st_uid != 0)) return 0;
    int found = record_read(fd, &record, &disk);
    if (found <= 0) return found;
    if ((st->st_mode & 07777) != (disk & 07777)) /* chmodded since */
        record.mode = (record.mode & S_IFMT) | (st->st_mode & 07777);
    *meta = record;
    return 0;
}

static bool is_device(mode_t mode) { return S_ISCHR(mode) || S_ISBLK(mode); }

static mode_t disk_bits(const struct meta *want, const struct stat *st, enum owners owners) {
    mode_t bits = want->mode & (is_device(want->mode) ? 0777 : 07777);
    if (owners == OWNERS_RECORDED) bits |= S_ISDIR(st->st_mode) ? 0700 : 0400;
    return bits;
}

static int record_write(int fd, const struct meta *want, mode_t disk) {
    char text[128];
    int size = snprintf(text, sizeof text, "%o %u %u %u:%u %o", want->mode, want->uid, want->gid,
                        major(want->rdev), minor(want->rdev), disk);
    return xattr_set(fd, STAT_XATTR, text, (size_t)size);
}

/* Refused by the kernel, a record makes it good. A device's record must, and stays root's so that it counts. */
static int owner_write(int fd, const struct meta *want, const struct stat *st, bool *refused) {
    if (is_device(want->mode)) return *refused = true, 0;
    bool right = st->st_uid == want->uid && st->st_gid == want->gid;
    *refused = !right && fchown(fd, want->uid, want->gid) != 0;
    return *refused && errno != EPERM && errno != EINVAL ? -1 : 0;
}

int meta_write(int fd, const struct meta *want, enum owners owners) {
    struct stat st;
    bool refused = want->uid || want->gid;
    if (fstat(fd, &st) || (owners == OWNERS_REAL && owner_write(fd, want, &st, &refused))) return -1;
    if (fchmod(fd, disk_bits(want, &st, owners)) || fstat(fd, &st)) return -1;
    if (refused || st.st_mode != want->mode) return record_write(fd, want, st.st_mode);
    if (S_ISDIR(st.st_mode) && fremovexattr(fd, STAT_XATTR) && errno != ENODATA && errno != ENOTSUP) return -1;
    return 0;
}

int meta_write_node(int parent, const char *name, const struct meta *want, enum owners owners, bool *record) {
    struct stat st;
    bool refused = want->uid || want->gid;
    if (owners == OWNERS_REAL) {
        refused = fchownat(parent, name, want->uid, want->gid, AT_SYMLINK_NOFOLLOW) != 0;
        if (refused && errno != EPERM && errno != EINVAL) return -1;
    }
    if (!S_ISLNK(want->mode) && fchmodat(parent, name, want->mode & 07777, 0)) return -1;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW)) return -1;
    *record = refused || (!S_ISLNK(want->mode) && st.st_mode != want->mode);
    return 0;
}
