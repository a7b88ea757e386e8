/* T/journal: metadata of symlinks and FIFOs that the kernel would not give them, by path. */
#include "layers.h"

#include <stdio.h>
#include <sys/random.h>

static const char *path_at(const struct journal *journal, size_t number) {
    return journal->paths.bytes + journal->records[number].path;
}

/* The seed is ours: an archive must not be able to choose names that all fall into one slot. */
static uint32_t *slot_of(const struct journal *journal, const char *path) {
    uint64_t hash = journal->seed;
    for (const char *byte = path; *byte; byte++) {
        hash = (hash ^ (unsigned char)*byte) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
    }
    size_t mask = journal->slots_count - 1, at = hash & mask;
    while (journal->slots[at] && strcmp(path_at(journal, journal->slots[at] - 1), path)) at = (at + 1) & mask;
    return &journal->slots[at];
}

static int grow_slots(struct journal *journal) {
    size_t wanted = journal->slots_count ? journal->slots_count * 2 : 64;
    if (journal->count >= UINT32_MAX / 2) return errno = ENOMEM, -1;
    uint32_t *slots = calloc(wanted, sizeof *slots);
    if (!slots) return -1;
    if (!journal->seed && getrandom(&journal->seed, sizeof journal->seed, GRND_NONBLOCK) < 0) journal->seed = 1;
    free(journal->slots);
    journal->slots = slots;
    journal->slots_count = wanted;
    for (size_t i = 0; i < journal->count; i++) *slot_of(journal, path_at(journal, i)) = (uint32_t)i + 1;
    return 0;
}

int journal_add(struct journal *journal, const char *path, const struct meta *meta) {
    if (journal->count * 2 >= journal->slots_count && grow_slots(journal)) return -1;
    uint32_t *slot = slot_of(journal, path);
    if (*slot) return journal->records[*slot - 1].meta = *meta, 0;
    struct record *records = array_grow(journal->records, journal->count, &journal->room, sizeof *records);
    if (!records) return -1;
    journal->records = records;
    records[journal->count] = (struct record){journal->paths.size, *meta};
    if (buffer_add(&journal->paths, path, strlen(path) + 1)) return -1;
    *slot = (uint32_t)++journal->count;
    return 0;
}

const struct meta *journal_find(const struct journal *journal, const char *path) {
    uint32_t number = journal->count ? *slot_of(journal, path) : 0;
    return number ? &journal->records[number - 1].meta : NULL;
}

/* ---- reading ---- */

static void close_file(FILE **file) {
    if (*file) fclose(*file);
}

static int read_records(FILE *file, struct journal *journal) {
    FREE char *path = NULL, *record = NULL;
    size_t path_room = 0, record_room = 0;
    while (getdelim(&path, &path_room, 0, file) > 0) {
        unsigned mode, uid, gid, major, minor;
        if (getdelim(&record, &record_room, 0, file) < 0 ||
            sscanf(record, "%o %u %u %u:%u", &mode, &uid, &gid, &major, &minor) != 5)
            return errno = EBADMSG, -1;
        struct meta meta = {(mode_t)mode, uid, gid, makedev(major, minor)};
        if (journal_add(journal, path, &meta)) return -1;
    }
    return feof(file) ? 0 : -1;
}

int journal_load(int tree, struct journal *journal) {
    RB_FD fd = openat(tree, "journal", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return errno == ENOENT ? 0 : -1;
    CLEANUP(close_file) FILE *file = fdopen(fd, "r");
    if (!file) return -1;
    rb_take_fd(&fd);
    return read_records(file, journal);
}

/* ---- writing ---- */

static bool still_there(int diff, const char *path, const struct meta *meta) {
    RB_FD fd = meta->mode ? open_beneath(diff, path, O_PATH | O_NOFOLLOW, false) : -1;
    struct stat st;
    return fd >= 0 && !fstat(fd, &st) && (st.st_mode & S_IFMT) == (meta->mode & S_IFMT);
}

static int by_path(const void *one, const void *other, void *journal) {
    return strcmp(path_at(journal, *(const uint32_t *)one), path_at(journal, *(const uint32_t *)other));
}

static int put_record(const struct journal *journal, size_t number, struct buffer *text) {
    const struct meta *meta = &journal->records[number].meta;
    const char *path = path_at(journal, number);
    char record[64];
    int size = snprintf(record, sizeof record, "%o %u %u %u:%u", meta->mode, meta->uid, meta->gid, major(meta->rdev),
                        minor(meta->rdev));
    return buffer_add(text, path, strlen(path) + 1) || buffer_add(text, record, (size_t)size + 1) ? -1 : 0;
}

static int flush(int fd, struct buffer *text) {
    int failed = text->size ? write_full(fd, text->bytes, text->size) : 0;
    text->size = 0;
    return failed;
}

/* Those of `order` that still are what the record says. A piece at a time: a journal can be large. */
static int write_records(const struct journal *journal, const uint32_t *order, int fd, int diff) {
    CLEANUP(buffer_free) struct buffer text = {0};
    for (size_t i = 0; i < journal->count; i++) {
        if (!still_there(diff, path_at(journal, order[i]), &journal->records[order[i]].meta)) continue;
        if (put_record(journal, order[i], &text) || (text.size > 65536 && flush(fd, &text))) return -1;
    }
    return flush(fd, &text);
}

int journal_write(const struct journal *journal, int tree, int diff) {
    if (unlinkat(tree, "journal", 0) && errno != ENOENT) return -1;
    if (!journal->count) return 0;
    FREE uint32_t *order = calloc(journal->count, sizeof *order);
    RB_FD fd = openat(tree, "journal", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (!order || fd < 0) return -1;
    for (size_t i = 0; i < journal->count; i++) order[i] = (uint32_t)i;
    qsort_r(order, journal->count, sizeof *order, by_path, (void *)journal);
    if (write_records(journal, order, fd, diff)) return -1;
    return lseek(fd, 0, SEEK_CUR) ? 0 : unlinkat(tree, "journal", 0);
}

void journal_free(struct journal *journal) {
    free(journal->records);
    free(journal->slots);
    buffer_free(&journal->paths);
    *journal = (struct journal){0};
}
