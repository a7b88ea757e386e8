/* T/journal: metadata of symlinks and FIFOs that the kernel would not give them, by path. */
#include "layers.h"

#include <stdio.h>

int journal_add(struct journal *journal, const char *path, const struct meta *meta) {
    struct record *records = array_grow(journal->records, journal->count, &journal->room, sizeof *records);
    if (!records) return -1;
    journal->records = records;
    char *copy = strdup(path);
    if (!copy) return -1;
    records[journal->count++] = (struct record){copy, *meta};
    return 0;
}

static int read_all(int fd, struct buffer *text) {
    char piece[16384];
    ssize_t size;
    while ((size = read(fd, piece, sizeof piece)) > 0)
        if (buffer_add(text, piece, (size_t)size)) return -1;
    return size < 0 ? -1 : 0;
}

static int journal_parse(struct journal *journal, const struct buffer *text) {
    const char *end = text->bytes + text->size;
    for (const char *path = text->bytes; path && path < end;) {
        unsigned mode, uid, gid, major, minor;
        const char *record = path + strlen(path) + 1;
        if (record >= end || sscanf(record, "%o %u %u %u:%u", &mode, &uid, &gid, &major, &minor) != 5)
            return errno = EBADMSG, -1;
        struct meta meta = {(mode_t)mode, uid, gid, makedev(major, minor)};
        if (journal_add(journal, path, &meta)) return -1;
        path = record + strlen(record) + 1;
    }
    return 0;
}

int journal_load(int tree, struct journal *journal) {
    CLEANUP(buffer_free) struct buffer text = {0};
    RB_FD fd = openat(tree, "journal", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return errno == ENOENT ? 0 : -1;
    return read_all(fd, &text) || journal_parse(journal, &text) ? -1 : 0;
}

static int by_path(const void *one, const void *other) {
    return strcmp(((const struct record *)one)->path, ((const struct record *)other)->path);
}

const struct record *journal_find(const struct journal *journal, const char *path) {
    struct record key = {(char *)path, {0}};
    if (!journal->count) return NULL;
    return bsearch(&key, journal->records, journal->count, sizeof key, by_path);
}

/* Stable: two records of one path are told apart by their order, which the address of a record gives. */
static int by_path_and_age(const void *one, const void *other) {
    const struct record *const *a = one, *const *b = other;
    int order = strcmp((*a)->path, (*b)->path);
    return order ? order : (*a > *b) - (*a < *b);
}

int journal_settle(struct journal *journal) {
    size_t kept = 0;
    if (journal->count < 2) return 0;
    FREE struct record **order = calloc(journal->count, sizeof *order);
    FREE struct record *settled = calloc(journal->count, sizeof *settled);
    if (!order || !settled) return -1;
    for (size_t i = 0; i < journal->count; i++) order[i] = &journal->records[i];
    qsort(order, journal->count, sizeof *order, by_path_and_age);
    for (size_t i = 0; i < journal->count; i++) {
        bool last = i + 1 == journal->count || strcmp(order[i]->path, order[i + 1]->path);
        if (last) settled[kept++] = *order[i];
        else free(order[i]->path);
    }
    memcpy(journal->records, settled, kept * sizeof *settled);
    journal->count = kept;
    return 0;
}

static bool still_there(int diff, const struct record *record) {
    RB_FD fd = open_beneath(diff, record->path, O_PATH | O_NOFOLLOW, false);
    struct stat st;
    return fd >= 0 && !fstat(fd, &st) && (st.st_mode & S_IFMT) == (record->meta.mode & S_IFMT);
}

int journal_encode(const struct journal *journal, int diff, struct buffer *text) {
    for (size_t i = 0; i < journal->count; i++) {
        const struct record *record = &journal->records[i];
        const struct meta *meta = &record->meta;
        if (!meta->mode || !still_there(diff, record)) continue;
        if (buffer_add(text, record->path, strlen(record->path) + 1)) return -1;
        if (buffer_format(text, "%o %u %u %u:%u%c", meta->mode, meta->uid, meta->gid, major(meta->rdev),
                          minor(meta->rdev), 0)) return -1;
    }
    return 0;
}

void journal_free(struct journal *journal) {
    for (size_t i = 0; i < journal->count; i++) free(journal->records[i].path);
    free(journal->records);
    *journal = (struct journal){0};
}
