/* What the layer files share: faults, in-root opening, effective metadata, merged views, the tar writer.
 * The format of a tree is drawn in builder/layers/tree.py. */
#ifndef RBUILD_LAYERS_H
#define RBUILD_LAYERS_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cleanup.h"
#include "native.h"

/* Directories inside each other: going down takes up to 1.7 KiB of stack a level, and a thread may have 1 MiB. */
#define MAX_DEPTH 500

static inline void cleanup_free(void *pointer) {
    int saved = errno;
    free(*(void **)pointer);
    errno = saved;
}
#define CLEANUP(function) __attribute__((cleanup(function)))
#define FREE CLEANUP(cleanup_free)
static inline void close_dir(DIR **dir) {
    if (*dir) closedir(*dir);
}

/* ---- buffer.c: bytes that grow; -1 and ENOMEM when they cannot ---- */
struct buffer {
    char *bytes;
    size_t size, room;
};
int buffer_add(struct buffer *buffer, const void *bytes, size_t size);
void buffer_free(struct buffer *buffer);
char *path_join(const char *parent, const char *name); /* "" + "a" = "a" */
const char *path_split(const char *path, char **parent); /* the leaf; `*parent` is fresh: NULL, no memory */
void *array_grow(void *array, size_t count, size_t *room, size_t item);

/* ---- fault.c: what went wrong, carried to where the GIL is held ---- */
struct fault {
    int error;        /* errno; 0: not the kernel but the archive or tree is wrong */
    const char *step; /* a literal */
    char *path;
};
int fault_os(struct fault *fault, const char *step, const char *path);    /* from errno; returns -1 */
int fault_bad(struct fault *fault, const char *reason, const char *path); /* returns -1 */
PyObject *fault_raise(struct fault *fault);                               /* sets the exception, NULL */

/* ---- inroot.c ---- */
#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_CLOEXEC)
int open_in_root(int root, const char *path, int flags, bool force_walk);
int open_beneath(int root, const char *path, int flags, bool force_walk); /* no symlink, no ".." */

/* ---- meta.c: effective metadata ---- */
enum owners { OWNERS_REAL, OWNERS_RECORDED };
struct meta {
    mode_t mode; /* with type bits */
    uid_t uid;
    gid_t gid;
    dev_t rdev;
};
struct xattr {
    char *name, *value;
    size_t size;
};
struct xattrs {
    struct xattr *items;
    size_t count, room;
    bool others; /* that are neither carried nor ours nor overlayfs's */
    bool recorded; /* of those read: the file has a record of its metadata */
};
int owners_parse(const char *name, enum owners *owners); /* sets ValueError */
bool is_whiteout(const struct stat *st);
bool xattr_carried(const char *name);
int xattrs_add(struct xattrs *list, const char *name, const void *value, size_t size);
int xattrs_read(int fd, struct xattrs *carried); /* the allowed ones, sorted by name, capabilities as v2 */
bool xattrs_equal(const struct xattrs *one, const struct xattrs *other);
int xattrs_write(int fd, const struct xattrs *list);
void xattrs_free(struct xattrs *list);
int meta_read(int fd, const struct stat *st, enum owners owners, struct meta *meta);
int meta_write(int fd, const struct meta *want, enum owners owners);
/* a symlink or FIFO, by parent and name; `*record` when the journal must remember it */
int meta_write_node(int parent, const char *name, const struct meta *want, enum owners owners, bool *record);
bool is_opaque(int directory);
int set_opaque(int directory);

/* ---- journal.c ---- */
struct record {
    size_t path; /* where it is in `paths` */
    struct meta meta; /* mode 0: no record */
};
struct journal { /* one record a path; `slots` finds it: a hash table of numbers of records, from 1 */
    struct record *records;
    size_t count, room;
    struct buffer paths;
    uint32_t *slots;
    size_t slots_count;
    uint64_t seed;
};
int journal_load(int tree, struct journal *journal);
int journal_add(struct journal *journal, const char *path, const struct meta *meta); /* in the place of an older one */
const struct meta *journal_find(const struct journal *journal, const char *path); /* until the next is added; or NULL */
int journal_write(const struct journal *journal, int tree, int diff); /* T/journal of what is there; or none */
void journal_free(struct journal *journal);

/* ---- links.c: which files of a tree are one ---- */
struct link {
    uint64_t inode;
    uint32_t device; /* all that Linux has */
    uint32_t number; /* the caller's; 0: a free slot */
};
struct links { /* open addressing */
    struct link *slots;
    size_t count, room;
};
/* The slot of this inode; one without a number is for the caller to give one. NULL: no memory. */
struct link *links_slot(struct links *links, const struct stat *st);
void links_free(struct links *links);

/* ---- tree.c ---- */
struct tree {
    int fd, diff; /* T, the caller's; T/diff */
    struct journal journal;
    bool journal_loaded;
    struct links links; /* the reader's: one inode in two trees is two files to an image */
};
int tree_open(struct tree *tree, int tree_fd, struct fault *fault);
void tree_close(struct tree *tree);
const struct journal *tree_journal(struct tree *tree, struct fault *fault); /* read when first asked for; or NULL */
/* What the image says of an entry, from its stat and, for what can hold a record, the open file (else -1). */
int tree_effective(struct tree *tree, const char *path, const struct stat *st, int fd, enum owners owners,
                   struct meta *meta, struct fault *fault);
/* The same by path; opens regular files and directories and gives the descriptor in `*fd`. */
int tree_meta(struct tree *tree, const char *path, const struct stat *st, enum owners owners, struct meta *meta,
              int *fd, struct fault *fault);

/* ---- sink.c: entries made in T/diff ---- */
struct attributes { /* what an entry shall be, besides its data; mtime may be UTIME_OMIT */
    struct meta meta;
    struct timespec mtime;
    const struct xattrs *xattrs;
};
struct sink {
    int diff;
    enum owners owners;
    bool replaces; /* an entry replaces a directory of its name with all in it; else that is EISDIR */
    int parent;    /* where leaves are made, or -1 */
    char *parent_path;
    struct buffer waiting, last_waiting; /* metadata of directories, until nothing is created below any more */
    struct journal journal; /* mode 0 where no record must be */
    const char *name;       /* of the entry, for faults */
    struct fault *fault;
};
/* All give -1 and set the fault. Metadata of what the kernel refuses becomes a record (builder/layers/tree.py). */
int sink_open(struct sink *sink, int tree_fd); /* its T/diff, and the journal that is there */
void sink_enter(struct sink *sink, int parent, char *path); /* takes both */
int sink_directory(struct sink *sink, const char *leaf, const struct attributes *look); /* "": T/diff itself */
int sink_file(struct sink *sink, const char *leaf); /* a descriptor, for its data and then for sink_finish */
int sink_finish(struct sink *sink, int fd, const struct attributes *look);
int sink_symlink(struct sink *sink, const char *leaf, const char *target, const struct attributes *look);
int sink_node(struct sink *sink, const char *leaf, const struct attributes *look); /* FIFO, device */
int sink_link(struct sink *sink, int from, const char *from_path, const char *old, const char *leaf);
int sink_whiteout(struct sink *sink, const char *leaf);
int sink_settle(struct sink *sink, int tree_fd); /* when all is made: metadata of directories, T/journal */
int sink_fault(struct sink *sink, const char *step);
void sink_free(struct sink *sink);

bool all_zero(const void *bytes, size_t size); /* of at least one byte */
int write_full(int fd, const char *bytes, size_t size);
/* Runs of zeros become holes: layers carry no sparse files, disks should. `*hole`: the file ends in one so far. */
int write_sparse(int fd, const char *bytes, size_t size, bool *hole);

/* ---- view.c: several trees as one ---- */
struct name {
    uint32_t at;        /* in `text` */
    uint16_t door;      /* of those read: where it is, and topmost */
    unsigned char type; /* DT_*; DT_WHT is a whiteout, DT_UNKNOWN never */
};
struct names { /* of a directory; of a million it should not take much memory */
    struct buffer text;
    struct name *items;
    size_t count, room;
};
struct view {
    struct tree *trees; /* topmost first */
    size_t count;
};
struct door {
    int tree, fd; /* fd -1: shut */
};
struct doors { /* a directory of a view in the trees where it shows: topmost first, down to the first opaque one */
    struct door *items;
    size_t count;
    bool opaque;
};
int view_open(struct view *view, PyObject *tree_fds, struct fault *fault); /* sequence of int; with the GIL */
void view_close(struct view *view);
/* These give -1 and errno. */
int names_add(struct names *names, const char *name, size_t door, unsigned char type);
int names_read(int directory, size_t door, struct names *names); /* getdents64; adds to `names` */
void names_sort(struct names *names);                            /* by bytes; of one name the topmost stays */
const char *name_at(const struct names *names, size_t number);
void names_free(struct names *names);
int doors_root(const struct view *view, struct doors *doors);
int doors_enter(const struct doors *parent, const char *name, struct doors *doors); /* no doors: not a directory */
int doors_reopen(const struct view *view, const char *path, struct doors *doors);   /* what doors_shut has closed */
void doors_shut(struct doors *doors);
void doors_free(struct doors *doors);
int doors_names(const struct doors *doors, struct names *names); /* sorted; whiteouts too */
/* 1 and where `name` shows; 0: nowhere */
int doors_find(const struct doors *doors, const char *name, struct stat *st, const struct door **door);

/* ---- tar.c: the writer; tarread.c: the reader ---- */
#define BLOCK 512
struct header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100], magic[8],
        uname[32], gname[32], major[8], minor[8], prefix[155], end[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "a tar header is one block");
struct head {
    struct meta meta;
    int64_t size, mtime;
    struct xattrs xattrs;
    char *target; /* of a symlink */
};
#define PIECE (1 << 20)
struct writer { /* filled without the GIL; each full piece is given to `write` with it */
    PyObject *write, *piece;
    PyThreadState *thread; /* while the GIL is released */
    char *bytes;
    size_t size;
};
int writer_open(struct writer *writer, PyObject *write); /* these three with the GIL, -1: an exception is set */
int writer_finish(struct writer *writer);
void writer_close(struct writer *writer);
/* These without the GIL, -1: errno, or an exception is set. */
int tar_header(struct writer *writer, const char *path, const struct head *head, const char *link);
int tar_whiteout(struct writer *writer, const char *directory, const char *name);
int tar_file(struct writer *writer, int fd, const struct stat *st); /* 1: the file changed meanwhile */
int tar_end(struct writer *writer);

struct limits {
    long long entries, bytes, header, path, name, depth;
};
struct member {
    char *path, *link;
    char type;
    struct meta meta;
    int64_t size;
    struct timespec mtime;
    struct xattrs xattrs;
};
/* The next bytes, which stay until the next call: 1, or 0 at the end. */
typedef int more_bytes(void *source, const char **bytes, size_t *size, struct fault *fault);
struct reader {
    more_bytes *more;
    void *source;
    const char *bytes;
    size_t at, end;
    int64_t left; /* of the current member's data and padding */
    int64_t padding;
    long long headers;
    struct limits limits;
};
int tar_next(struct reader *reader, struct member *member, struct fault *fault); /* 1 member, 0 end */
ssize_t tar_data(struct reader *reader, const char **bytes, struct fault *fault);      /* 0: no more */
int reader_drain(struct reader *reader, struct fault *fault);
void member_free(struct member *member);

#endif
