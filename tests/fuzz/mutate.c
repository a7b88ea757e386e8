/* Mutations that know tar: members are moved, renamed and retyped, and every checksum is right again.
 *
 * Without this nearly all mutated inputs would end at the first wrong checksum. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 512
#define MOST 64

size_t LLVMFuzzerMutate(uint8_t *bytes, size_t size, size_t room);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t room, unsigned seed);

enum { NAME = 0, MODE = 100, UID = 108, SIZE = 124, MTIME = 136, CHECKSUM = 148, TYPE = 156, LINK = 157, MAGIC = 257,
       MAJOR = 329, PREFIX = 345 };

struct archive {
    uint8_t *bytes;
    size_t size, room;
    size_t at[MOST + 1]; /* of each member, and last where the next one would be */
    size_t count;
    unsigned dice;
};

static unsigned roll(struct archive *archive, unsigned sides) {
    archive->dice = archive->dice * 1664525u + 1013904223u;
    return (archive->dice >> 8) % sides;
}

static bool has_data(uint8_t type) { return type == 0 || memchr("07xgLKS", type, 7); }

static size_t data_size(const uint8_t *header) {
    size_t size = 0;
    if (!has_data(header[TYPE])) return 0;
    for (size_t i = SIZE; i < SIZE + 12 && header[i] >= '0' && header[i] <= '7'; i++) size = size * 8 + (header[i] - '0');
    return size;
}

static size_t padded(size_t size) { return (size + BLOCK - 1) / BLOCK * BLOCK; }

static void find_members(struct archive *archive) {
    size_t at = 0;
    archive->count = 0;
    while (archive->count < MOST && at + BLOCK <= archive->size) {
        const uint8_t *header = archive->bytes + at;
        if (header[CHECKSUM]) archive->at[archive->count++] = at; /* not a block of zeros */
        at += BLOCK;
        size_t data = header[CHECKSUM] ? padded(data_size(header)) : 0;
        if (data > archive->size - at) break;
        at += data;
    }
    archive->at[archive->count] = at < archive->size ? at : archive->size;
}

static void sum_headers(struct archive *archive) {
    for (size_t i = 0; i < archive->count; i++) {
        uint8_t *header = archive->bytes + archive->at[i];
        unsigned sum = 0;
        char text[8];
        memset(header + CHECKSUM, ' ', 8);
        for (size_t byte = 0; byte < BLOCK; byte++) sum += header[byte];
        snprintf(text, sizeof text, "%06o", sum);
        memcpy(header + CHECKSUM, text, 7);
    }
}

static uint8_t *any_member(struct archive *archive) {
    return archive->bytes + archive->at[roll(archive, (unsigned)archive->count)];
}

/* ---- one mutation each ---- */

static void retype(struct archive *archive) {
    static const char types[] = "0000122223455556xgLKSVD";
    any_member(archive)[TYPE] = (uint8_t)types[roll(archive, sizeof types)];
}

static void set_text(uint8_t *field, const char *text) {
    memset(field, 0, 100);
    memcpy(field, text, strnlen(text, 100));
}

static void rename_member(struct archive *archive) {
    static const char *const forms[] = {"%.90s", "%.80s/a", "%.80s/b/", ".wh.%.80s", "%.80s/.wh.a", "%.80s/.wh..wh..opq",
                                        "/%.80s", "../%.80s", "%.80s/..", "./%.80s", "%.40s/../%.40s", "a", "a/b", "b",
                                        ".wh..wh..opq", ".", "%.80s/", "../../canary/file", "../../canary"};
    char name[101] = {0}, text[256];
    memcpy(name, any_member(archive) + (roll(archive, 4) ? NAME : LINK), 100);
    unsigned form = roll(archive, sizeof forms / sizeof *forms);
    snprintf(text, sizeof text, forms[form], name, name);
    set_text(any_member(archive) + (roll(archive, 3) ? NAME : LINK), text);
}

static void set_number(struct archive *archive) {
    static const struct { uint16_t at, width; } fields[] = {{MODE, 8}, {UID, 8}, {UID + 8, 8}, {SIZE, 12}, {MTIME, 12},
                                                            {MAJOR, 8}, {MAJOR + 8, 8}};
    static const unsigned long long values[] = {0, 1, 511, 512, 513, 04755, 01777, 65534, 4096, 100000, 07777777, 077777777777};
    char text[32];
    unsigned which = roll(archive, 7);
    uint8_t *field = any_member(archive) + fields[which].at;
    snprintf(text, sizeof text, "%0*llo", fields[which].width - 1, values[roll(archive, 12)]);
    memcpy(field, text, fields[which].width);
    if (roll(archive, 6) == 0) field[0] = 0x80 | (uint8_t)roll(archive, 128);
}

/* A copy of one member at the place of another, or one member less. */
static void move_member(struct archive *archive, bool remove) {
    size_t from = roll(archive, (unsigned)archive->count), to = roll(archive, (unsigned)archive->count + 1);
    uint8_t *source = archive->bytes + archive->at[from], *place = archive->bytes + archive->at[to];
    size_t size = archive->at[from + 1] - archive->at[from];
    if (remove) {
        memmove(source, source + size, archive->size - archive->at[from + 1]);
        archive->size -= size;
        return;
    }
    uint8_t *copy = size <= archive->room - archive->size ? malloc(size) : NULL;
    if (!copy) return;
    memcpy(copy, source, size);
    memmove(place + size, place, archive->size - archive->at[to]);
    memcpy(place, copy, size);
    archive->size += size;
    free(copy);
}

static void mutate_header(struct archive *archive) {
    uint8_t *header = any_member(archive);
    static const struct { uint16_t at, width; } fields[] = {{NAME, 100}, {LINK, 100}, {PREFIX, 155}, {MODE, 56}, {0, BLOCK}};
    unsigned which = roll(archive, 5);
    LLVMFuzzerMutate(header + fields[which].at, fields[which].width, fields[which].width);
}

/* Give the records of a PAX header their right lengths; the size of the member's data stays as it was. */
static void mend_records(char *text, size_t size) {
    char *mended = calloc(1, size + 32), *out = mended;
    for (char *line = text; line < text + size && (size_t)(out - mended) < size;) {
        char *end = memchr(line, '\n', (size_t)(text + size - line));
        if (!end) break;
        line += strspn(line, "0123456789");
        line += *line == ' ';
        size_t rest = line < end ? (size_t)(end - line) + 2 : 0, digits = rest < 9 ? 1 : rest < 98 ? 2 : rest < 997 ? 3 : 4;
        if (rest && (size_t)(out - mended) + rest + digits <= size)
            out += sprintf(out, "%zu %.*s\n", rest + digits, (int)(end - line), line);
        line = end + 1;
    }
    if (out > mended && (size_t)(out - mended) <= size) memcpy(text, mended, (size_t)(out - mended));
    free(mended);
}

static void mutate_data(struct archive *archive) {
    uint8_t *header = any_member(archive);
    size_t room = archive->size - (size_t)(header + BLOCK - archive->bytes), size = data_size(header);
    if (size > room) size = room;
    if (!size) return mutate_header(archive);
    LLVMFuzzerMutate(header + BLOCK, size, size);
    if (memchr("xg", header[TYPE], 2) && roll(archive, 8)) {
        char *text = calloc(1, size + 1);
        memcpy(text, header + BLOCK, size);
        mend_records(text, size);
        memcpy(header + BLOCK, text, size);
        free(text);
    }
}

static void mutate_once(struct archive *archive) {
    switch (roll(archive, 9)) {
    case 0: return retype(archive);
    case 1: case 2: return rename_member(archive);
    case 3: return set_number(archive);
    case 4: return move_member(archive, false);
    case 5: return move_member(archive, roll(archive, 2));
    case 6: return mutate_header(archive);
    case 7: return mutate_data(archive);
    default: archive->size = LLVMFuzzerMutate(archive->bytes, archive->size, archive->room);
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t room, unsigned seed) {
    struct archive archive = {.bytes = bytes, .size = size, .room = room, .dice = seed};
    for (unsigned times = 1 + roll(&archive, 4); times; times--) {
        find_members(&archive);
        if (archive.count) mutate_once(&archive);
        else archive.size = LLVMFuzzerMutate(bytes, archive.size, room);
    }
    find_members(&archive);
    if (roll(&archive, 32)) sum_headers(&archive);
    return archive.size;
}
