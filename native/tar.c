/* The tar writer: USTAR headers, PAX records only for what USTAR cannot say, nothing that names the host. */
#include "layers.h"

#include <limits.h>
#include <stdio.h>

#define OCTAL_7 07777777LL
#define OCTAL_11 077777777777LL

/* ---- bytes out ---- */

static int next_piece(struct writer *writer) {
    Py_XDECREF(writer->piece);
    writer->size = 0;
    writer->piece = PyBytes_FromStringAndSize(NULL, PIECE);
    writer->bytes = writer->piece ? PyBytes_AsString(writer->piece) : NULL;
    return writer->bytes ? 0 : -1;
}

int writer_open(struct writer *writer, PyObject *write) {
    *writer = (struct writer){.write = write};
    return next_piece(writer);
}

void writer_close(struct writer *writer) { Py_XDECREF(writer->piece); }

static int hand_over(struct writer *writer, PyObject *piece) {
    PyObject *done = piece ? PyObject_CallFunctionObjArgs(writer->write, piece, NULL) : NULL;
    Py_XDECREF(done);
    return done ? 0 : -1;
}

static int room_left(struct writer *writer, size_t *room) {
    int failed = 0;
    if (writer->size == PIECE) {
        PyEval_RestoreThread(writer->thread);
        failed = hand_over(writer, writer->piece) || next_piece(writer);
        writer->thread = PyEval_SaveThread();
    }
    *room = PIECE - writer->size;
    return failed;
}

int writer_finish(struct writer *writer) {
    PyObject *last = PyBytes_FromStringAndSize(writer->bytes, (Py_ssize_t)writer->size);
    int failed = hand_over(writer, last);
    Py_XDECREF(last);
    return failed;
}

/* `bytes` NULL: zeros. */
static int put(struct writer *writer, const char *bytes, int64_t size) {
    for (size_t room; size > 0; size -= (int64_t)room) {
        if (room_left(writer, &room)) return -1;
        if ((int64_t)room > size) room = (size_t)size;
        if (bytes) memcpy(writer->bytes + writer->size, bytes, room);
        else memset(writer->bytes + writer->size, 0, room);
        writer->size += room;
        if (bytes) bytes += room;
    }
    return 0;
}

static int put_padding(struct writer *writer, int64_t size) {
    return put(writer, NULL, (BLOCK - size % BLOCK) % BLOCK);
}

/* ---- headers ---- */

static void octal(char *field, size_t width, int64_t value) {
    for (size_t at = width - 1; at-- > 0; value >>= 3) field[at] = (char)('0' + (value & 7)); /* the NUL is there */
}

static bool fits(int64_t value, int64_t most) { return value >= 0 && value <= most; }

/* Split at a slash into prefix and name; false: PAX must carry it. */
static bool set_name(struct header *header, const char *path) {
    size_t size = strlen(path);
    if (size <= sizeof header->name) return memcpy(header->name, path, size), true;
    for (size_t i = size - 1; i-- > 0;) {
        if (path[i] != '/' || i > sizeof header->prefix) continue;
        if (size - i - 1 > sizeof header->name || i == 0) return false;
        memcpy(header->prefix, path, i);
        memcpy(header->name, path + i + 1, size - i - 1);
        return true;
    }
    return false;
}

static void finish(struct header *header) {
    unsigned sum = 0;
    memcpy(header->magic, "ustar\00000", sizeof header->magic);
    memset(header->checksum, ' ', sizeof header->checksum);
    for (size_t i = 0; i < BLOCK; i++) sum += ((unsigned char *)header)[i];
    header->checksum[6] = 0;
    octal(header->checksum, 7, sum);
}

/* "SIZE KEY=VALUE\n", where SIZE counts its own digits. */
static int pax_add(struct buffer *records, const char *key, const void *value, size_t size) {
    char start[24];
    size_t rest = strlen(key) + size + 2, total = rest, digits = 0;
    for (size_t before = 1; before != total;) {
        before = total;
        digits = (size_t)snprintf(start, sizeof start, "%zu ", total);
        total = rest + digits;
    }
    if (buffer_add(records, start, digits) || buffer_add(records, key, strlen(key))) return -1;
    return buffer_add(records, "=", 1) || buffer_add(records, value, size) || buffer_add(records, "\n", 1) ? -1 : 0;
}

static int pax_number(struct buffer *records, const char *key, int64_t value) {
    char digits[24];
    int size = snprintf(digits, sizeof digits, "%lld", (long long)value);
    return pax_add(records, key, digits, (size_t)size);
}

static int pax_xattrs(struct buffer *records, const struct xattrs *xattrs) {
    for (size_t i = 0; i < xattrs->count; i++) {
        FREE char *key = NULL;
        if (asprintf(&key, "SCHILY.xattr.%s", xattrs->items[i].name) < 0) return key = NULL, -1;
        if (pax_add(records, key, xattrs->items[i].value, xattrs->items[i].size)) return -1;
    }
    return 0;
}

static int put_pax(struct writer *writer, const struct buffer *records) {
    struct header header = {.name = "PaxHeaders/entry", .mode = "0000644", .uid = "0000000", .gid = "0000000",
                            .mtime = "00000000000", .type = 'x', .major = "0000000", .minor = "0000000"};
    if (!records->size) return 0;
    octal(header.size, sizeof header.size, (int64_t)records->size);
    finish(&header);
    if (put(writer, (char *)&header, BLOCK) || put(writer, records->bytes, (int64_t)records->size)) return -1;
    return put_padding(writer, (int64_t)records->size);
}

static int number(char *field, size_t width, int64_t value, struct buffer *records, const char *key) {
    int64_t most = width == 8 ? OCTAL_7 : OCTAL_11;
    bool fit = fits(value, most);
    octal(field, width, fit ? value : 0);
    return fit ? 0 : pax_number(records, key, value);
}

static char type_of(const struct head *head, const char *link) {
    if (link && !S_ISLNK(head->meta.mode)) return '1';
    switch (head->meta.mode & S_IFMT) {
    case S_IFLNK: return link ? '1' : '2';
    case S_IFCHR: return '3';
    case S_IFBLK: return '4';
    case S_IFDIR: return '5';
    case S_IFIFO: return '6';
    default: return '0';
    }
}

static int set_link(struct header *header, const char *target, struct buffer *records) {
    size_t size = strlen(target);
    memcpy(header->link, target, size < sizeof header->link ? size : sizeof header->link);
    return size > sizeof header->link ? pax_add(records, "linkpath", target, size) : 0;
}

static int set_path(struct header *header, const char *path, struct buffer *records) {
    if (set_name(header, path)) return 0;
    memcpy(header->name, path, sizeof header->name);
    return pax_add(records, "path", path, strlen(path));
}

int tar_header(struct writer *writer, const char *path, const struct head *head, const char *link) {
    CLEANUP(buffer_free) struct buffer records = {0};
    const struct meta *meta = &head->meta;
    struct header header = {.type = type_of(head, link)};
    bool device = S_ISCHR(meta->mode) || S_ISBLK(meta->mode);
    const char *target = link ? link : head->target;
    FREE char *directory = S_ISDIR(meta->mode) ? path_join(path, "") : NULL;
    if (S_ISDIR(meta->mode) && !directory) return -1;
    /* Nobody could unpack it. */
    if (strlen(directory ? directory : path) >= PATH_MAX) return errno = ENAMETOOLONG, -1;
    octal(header.mode, sizeof header.mode, meta->mode & 07777);
    octal(header.major, sizeof header.major, device ? major(meta->rdev) : 0);
    octal(header.minor, sizeof header.minor, device ? minor(meta->rdev) : 0);
    if (set_path(&header, directory ? directory : path, &records)) return -1;
    if (target && set_link(&header, target, &records)) return -1;
    if (number(header.size, 12, header.type == '0' ? head->size : 0, &records, "size")) return -1;
    if (number(header.uid, 8, meta->uid, &records, "uid")) return -1;
    if (number(header.gid, 8, meta->gid, &records, "gid")) return -1;
    if (number(header.mtime, 12, head->mtime, &records, "mtime")) return -1;
    if (!link && pax_xattrs(&records, &head->xattrs)) return -1;
    finish(&header);
    return put_pax(writer, &records) ? -1 : put(writer, (char *)&header, BLOCK);
}

int tar_whiteout(struct writer *writer, const char *directory, const char *name) {
    FREE char *leaf = NULL, *path = NULL;
    struct head head = {.meta = {.mode = S_IFREG}};
    if (asprintf(&leaf, ".wh.%s", name) < 0) return leaf = NULL, -1;
    return (path = path_join(directory, leaf)) ? tar_header(writer, path, &head, NULL) : -1;
}

/* ---- file data ---- */

static int put_data(struct writer *writer, int fd, int64_t size) {
    for (size_t room; size > 0;) {
        if (room_left(writer, &room)) return -1;
        if ((int64_t)room > size) room = (size_t)size;
        ssize_t got = read(fd, writer->bytes + writer->size, room);
        if (got < 0 && errno != EINTR) return -1;
        if (got == 0) return 1;
        writer->size += got > 0 ? (size_t)got : 0;
        size -= got > 0 ? got : 0;
    }
    return 0;
}

/* 1 when the file has become shorter: to the kernel what follows its end is a hole like any other. */
static int shrunk(int fd, int64_t size) {
    struct stat st;
    return fstat(fd, &st) ? -1 : st.st_size < size;
}

static int put_sparse(struct writer *writer, int fd, int64_t size) {
    for (int64_t at = 0, data, hole; at < size; at = hole) {
        data = lseek(fd, at, SEEK_DATA);
        if (data < 0 && errno != ENXIO) return -1;
        if (data < 0 || data > size) data = size;
        if (put(writer, NULL, data - at)) return -1;
        if (data == size) return shrunk(fd, size);
        hole = lseek(fd, data, SEEK_HOLE);
        if (hole < 0 || hole > size) hole = size;
        if (lseek(fd, data, SEEK_SET) < 0) return -1;
        int failed = put_data(writer, fd, hole - data);
        if (failed) return failed;
    }
    return 0;
}

int tar_file(struct writer *writer, int fd, const struct stat *st) {
    bool sparse = (int64_t)st->st_blocks * 512 < st->st_size;
    int failed = sparse ? put_sparse(writer, fd, st->st_size) : put_data(writer, fd, st->st_size);
    return failed ? failed : put_padding(writer, st->st_size);
}

int tar_end(struct writer *writer) { return put(writer, NULL, 2 * BLOCK); }
