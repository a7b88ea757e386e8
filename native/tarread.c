/* The tar reader: old V7, USTAR, PAX and GNU headers, one member at a time, in constant memory.
 *
 * Numbers are octal or GNU base-256. PAX globals are skipped, as Docker does; sparse formats are refused,
 * because the OCI image specification has none. */
#include "layers.h"

#include <stdio.h>

/* What PAX and GNU long-name members say of the one after them. */
struct extension {
    char *path, *link;
    bool has_size, has_uid, has_gid, has_mtime;
    int64_t size, uid, gid;
    struct timespec mtime;
    struct xattrs xattrs;
};

static void extension_free(struct extension *extension) {
    free(extension->path);
    free(extension->link);
    xattrs_free(&extension->xattrs);
}

void member_free(struct member *member) {
    free(member->path);
    free(member->link);
    xattrs_free(&member->xattrs);
    *member = (struct member){0};
}

/* ---- bytes in ---- */

/* When all is used up: 1, or 0 at the end. */
static int fill(struct reader *reader, struct fault *fault) {
    reader->at = reader->end = 0;
    return reader->more(reader->source, &reader->bytes, &reader->end, fault);
}

/* Up to `size` bytes, copied; how many there were, fewer only at the end of the stream. */
static ssize_t get(struct reader *reader, char *bytes, size_t size, struct fault *fault) {
    size_t done = 0;
    while (done < size) {
        size_t ready = reader->end - reader->at;
        int filled = ready ? 1 : fill(reader, fault);
        if (filled < 0) return -1;
        if (!filled) break;
        ready = reader->end - reader->at;
        if (ready > size - done) ready = size - done;
        memcpy(bytes + done, reader->bytes + reader->at, ready);
        reader->at += ready;
        done += ready;
    }
    return (ssize_t)done;
}

ssize_t tar_data(struct reader *reader, const char **bytes, struct fault *fault) {
    if (reader->left == 0) return 0;
    if (reader->at == reader->end) {
        int filled = fill(reader, fault);
        if (filled <= 0) return filled ? -1 : fault_bad(fault, "the archive ends in the middle of this", NULL);
    }
    size_t ready = reader->end - reader->at;
    if ((int64_t)ready > reader->left) ready = (size_t)reader->left;
    *bytes = reader->bytes + reader->at;
    reader->at += ready;
    reader->left -= (int64_t)ready;
    return (ssize_t)ready;
}

static int skip(struct reader *reader, struct fault *fault) {
    const char *bytes;
    ssize_t got;
    reader->left += reader->padding;
    reader->padding = 0;
    while ((got = tar_data(reader, &bytes, fault)) > 0) continue;
    return (int)got;
}

int reader_drain(struct reader *reader, struct fault *fault) {
    int filled;
    while ((filled = fill(reader, fault)) > 0) continue;
    return filled;
}

static void expect(struct reader *reader, int64_t size) {
    reader->left = size;
    reader->padding = (BLOCK - size % BLOCK) % BLOCK;
}

/* ---- numbers ---- */

static bool base_256(const unsigned char *field, size_t width, int64_t *value) {
    uint64_t sign = field[0] & 0x40 ? ~UINT64_C(0) : 0, number = sign;
    number = (number << 6) | (field[0] & 0x3f);
    for (size_t i = 1; i < width; i++) {
        uint64_t top = number >> 55; /* what the shift pushes out, and the sign it leaves */
        if (top != 0 && top != 0x1ff) return false;
        number = (number << 8) | field[i];
    }
    *value = (int64_t)number;
    return true;
}

static bool parse_number(const char *field, size_t width, int64_t *value) {
    size_t i = 0;
    *value = 0;
    if ((unsigned char)field[0] & 0x80) return base_256((const unsigned char *)field, width, value);
    while (i < width && field[i] == ' ') i++;
    for (; i < width && field[i] >= '0' && field[i] <= '7'; i++) *value = *value * 8 + (field[i] - '0');
    return i == width || field[i] == 0 || field[i] == ' ';
}

static bool parse_decimal(const char *text, int64_t *value) {
    char *end;
    errno = 0;
    *value = strtoll(text, &end, 10);
    return !errno && end != text && !*end && *text != '+' && *text != ' ';
}

/* Seconds with an optional fraction, rounded down to nanoseconds: -1.5 is half a second after -2. */
static bool parse_time(const char *text, struct timespec *time) {
    char whole[32];
    size_t size = strcspn(text, ".");
    int64_t seconds, nanoseconds = 0;
    if (size >= sizeof whole) return false;
    memcpy(whole, text, size);
    whole[size] = 0;
    if (!parse_decimal(whole, &seconds)) return false;
    const char *digit = text + size + (text[size] == '.');
    for (int64_t unit = 100000000; *digit; digit++, unit /= 10) {
        if (*digit < '0' || *digit > '9') return false;
        nanoseconds += unit * (*digit - '0');
    }
    if (seconds > INT64_MAX / 4 || seconds < INT64_MIN / 4) return false;
    bool borrow = text[0] == '-' && nanoseconds;
    *time = (struct timespec){seconds - borrow, borrow ? 1000000000 - nanoseconds : nanoseconds};
    return true;
}

/* ---- PAX ---- */

static int set_string(char **place, const char *value, size_t size, struct fault *fault) {
    free(*place);
    *place = NULL;
    if (memchr(value, 0, size)) return fault_bad(fault, "a NUL byte in a name", NULL);
    if (size && !(*place = strdup(value))) return fault_os(fault, "allocate", NULL);
    return 0;
}

static int set_number(const char *value, bool *has, int64_t *number, struct fault *fault) {
    *has = *value != 0;
    if (*has && (!parse_decimal(value, number) || *number < 0))
        return fault_bad(fault, "a PAX number that is none", NULL);
    return 0;
}

static int set_record(struct extension *extension, const char *key, char *value, size_t size,
                      struct fault *fault) {
    if (!strcmp(key, "path")) return set_string(&extension->path, value, size, fault);
    if (!strcmp(key, "linkpath")) return set_string(&extension->link, value, size, fault);
    if (!strcmp(key, "size")) return set_number(value, &extension->has_size, &extension->size, fault);
    if (!strcmp(key, "uid")) return set_number(value, &extension->has_uid, &extension->uid, fault);
    if (!strcmp(key, "gid")) return set_number(value, &extension->has_gid, &extension->gid, fault);
    if (!strcmp(key, "mtime")) {
        extension->has_mtime = *value != 0;
        if (*value && !parse_time(value, &extension->mtime)) return fault_bad(fault, "a PAX time that is none", NULL);
    }
    if (!strncmp(key, "GNU.sparse.", 11)) return fault_bad(fault, "GNU sparse files are not supported", NULL);
    if (!strncmp(key, "SCHILY.xattr.", 13) && xattr_carried(key + 13) &&
        xattrs_add(&extension->xattrs, key + 13, value, size))
        return fault_os(fault, "allocate", NULL);
    return 0;
}

/* "SIZE KEY=VALUE\n" …; the text is cut up in place. */
static int parse_records(struct extension *extension, char *text, size_t size, struct fault *fault) {
    const char *wrong = "a malformed PAX record";
    for (size_t used; size; text += used, size -= used) {
        size_t digits = strspn(text, "0123456789");
        used = digits && digits < 10 ? strtoul(text, NULL, 10) : 0;
        if (used < digits + 3 || used > size || text[digits] != ' ' || text[used - 1] != '\n')
            return fault_bad(fault, wrong, NULL);
        char *key = text + digits + 1, *equals = memchr(key, '=', used - digits - 2);
        if (!equals || equals == key || memchr(key, 0, (size_t)(equals - key))) return fault_bad(fault, wrong, NULL);
        *equals = text[used - 1] = 0;
        if (set_record(extension, key, equals + 1, (size_t)(text + used - 1 - (equals + 1)), fault)) return -1;
    }
    return 0;
}

static int read_text(struct reader *reader, int64_t size, char **text, struct fault *fault) {
    if (size < 0 || size > reader->limits.header) return fault_bad(fault, "an extended header that is too large", NULL);
    if (!(*text = calloc(1, (size_t)size + 1))) return fault_os(fault, "allocate", NULL);
    expect(reader, size);
    ssize_t got = get(reader, *text, (size_t)size, fault);
    if (got >= 0 && got < size) return fault_bad(fault, "the archive ends in a header", NULL);
    reader->left = 0;
    return got < 0 ? -1 : skip(reader, fault);
}

static int read_extension(struct reader *reader, char type, int64_t size, struct extension *extension,
                          struct fault *fault) {
    FREE char *text = NULL;
    if (read_text(reader, size, &text, fault)) return -1;
    switch (type) {
    case 'x': return parse_records(extension, text, (size_t)size, fault);
    case 'L': return set_string(&extension->path, text, strlen(text), fault);
    case 'K': return set_string(&extension->link, text, strlen(text), fault);
    default: return 0; /* 'g' */
    }
}

/* ---- members ---- */

static bool checksum_right(const struct header *header) {
    struct header blank = *header; /* the sum is of a header whose checksum is blanks */
    int64_t expected, sum = 0, old = 0; /* old tars summed signed bytes */
    memset(blank.checksum, ' ', sizeof blank.checksum);
    for (size_t i = 0; i < BLOCK; i++) {
        sum += ((unsigned char *)&blank)[i];
        old += ((signed char *)&blank)[i];
    }
    return parse_number(header->checksum, 8, &expected) && (expected == sum || expected == old);
}

static char *header_path(const struct header *header) {
    char *path = NULL;
    bool ustar = !memcmp(header->magic, "ustar\0", 6) && header->prefix[0]; /* GNU's has other things there */
    int size = ustar ? asprintf(&path, "%.155s/%.100s", header->prefix, header->name)
                     : asprintf(&path, "%.100s", header->name);
    return size < 0 ? NULL : path;
}

static mode_t type_bits(char type) {
    switch (type) {
    case '2': return S_IFLNK;
    case '3': return S_IFCHR;
    case '4': return S_IFBLK;
    case '5': return S_IFDIR;
    case '6': return S_IFIFO;
    default: return S_IFREG;
    }
}

static int member_names(struct member *member, const struct header *header, struct extension *extension,
                        struct fault *fault) {
    member->path = extension->path ? extension->path : header_path(header);
    member->link = extension->link ? extension->link : strndup(header->link, sizeof header->link);
    member->xattrs = extension->xattrs;
    *extension = (struct extension){0};
    return member->path && member->link ? 0 : fault_os(fault, "allocate", NULL);
}

static int member_numbers(struct member *member, const struct header *header, const struct extension *extension,
                          struct fault *fault) {
    int64_t mode, uid, gid, mtime, major = 0, minor = 0;
    bool device = header->type == '3' || header->type == '4';
    if (!parse_number(header->mode, 8, &mode) || !parse_number(header->uid, 8, &uid) ||
        !parse_number(header->gid, 8, &gid) || !parse_number(header->mtime, 12, &mtime) ||
        (device && (!parse_number(header->major, 8, &major) || !parse_number(header->minor, 8, &minor))))
        return fault_bad(fault, "a malformed number in the header", NULL);
    if (extension->has_uid) uid = extension->uid;
    if (extension->has_gid) gid = extension->gid;
    if (uid < 0 || gid < 0 || uid >= UINT32_MAX || gid >= UINT32_MAX)
        return fault_bad(fault, "an owner outside 0 to 2^32-2", NULL);
    if (major < 0 || minor < 0 || major > 0xfff || minor > 0xfffff)
        return fault_bad(fault, "a device number that Linux has not", NULL);
    member->meta = (struct meta){type_bits(member->type) | (mode & 07777), (uid_t)uid, (gid_t)gid,
                                 makedev((unsigned)major, (unsigned)minor)};
    member->mtime = extension->has_mtime ? extension->mtime : (struct timespec){mtime, 0};
    return 0;
}

/* Old tars say "directory" by a trailing slash only. */
static void settle_type(struct member *member, char type, const char *path) {
    member->type = type == 0 || type == '7' ? '0' : type;
    if (member->type == '0' && *path && path[strlen(path) - 1] == '/') member->type = '5';
}

static int check_type(char type, struct fault *fault) {
    if (type == 'S') return fault_bad(fault, "GNU sparse files are not supported", NULL);
    if (type < '0' || type > '6') return fault_bad(fault, "a member type that is not supported", NULL);
    return 0;
}

static int read_member(struct reader *reader, const struct header *header, struct extension *extension,
                       int64_t size, struct member *member, struct fault *fault) {
    struct extension numbers = *extension;
    if (member_names(member, header, extension, fault)) return -1;
    settle_type(member, header->type, member->path);
    int failed = check_type(member->type, fault) || member_numbers(member, header, &numbers, fault);
    member->size = member->type == '0' ? (numbers.has_size ? numbers.size : size) : 0;
    if (!failed && (member->size < 0 || member->size > INT64_MAX / 2)) failed = fault_bad(fault, "an impossible size", NULL);
    if (failed && !fault->path) fault->path = strdup(member->path);
    if (!failed) expect(reader, member->size);
    return failed ? -1 : 1;
}

/* One header block: 1, or 0 at the end of the archive. */
static int read_header(struct reader *reader, struct header *header, int64_t *size, struct fault *fault) {
    ssize_t got = get(reader, (char *)header, BLOCK, fault);
    if (got <= 0) return (int)got;
    if (got < BLOCK) return fault_bad(fault, "the archive ends in a header", NULL);
    if (all_zero(header, BLOCK)) return 0;
    if (!checksum_right(header)) return fault_bad(fault, "not a tar header (wrong checksum)", NULL);
    if (!parse_number(header->size, 12, size)) {
        fault_bad(fault, "a malformed size in the header", NULL);
        fault->path = strndup(header->name, sizeof header->name);
        return -1;
    }
    if (++reader->headers > reader->limits.entries) return fault_bad(fault, "too many entries", NULL);
    return 1;
}

int tar_next(struct reader *reader, struct member *member, struct fault *fault) {
    CLEANUP(extension_free) struct extension extension = {0};
    struct header header;
    int64_t size;
    bool extended = false;
    if (skip(reader, fault)) return fault->error ? -1 : fault_bad(fault, "the archive ends in the padding of a member", NULL);
    for (int more; (more = read_header(reader, &header, &size, fault)) != 0; extended = true) {
        if (more < 0) return -1;
        if (!header.type || !strchr("xgLK", header.type))
            return read_member(reader, &header, &extension, size, member, fault);
        if (!read_extension(reader, header.type, size, &extension, fault)) continue;
        if (!fault->path) fault->path = strndup(header.name, sizeof header.name);
        return -1;
    }
    return extended ? fault_bad(fault, "the archive ends after an extended header", NULL) : 0;
}
