/* The steps that furnish a root directory: mounts, directories, links and small files, in the order given.
 *
 * Every target is resolved inside the new root to a descriptor and used through /proc/self/fd/N, so a symlink
 * that an image ships can neither lead out of the root nor be swapped between check and use. */
#include "native.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#include "cleanup.h"
#include "resolve.h"
#include "spawn.h"

static int same_directory(int one, int other) {
    struct stat a, b;
    return fstat(one, &a) == 0 && fstat(other, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* A mount over the root itself would hide the image from the step, and the step from us. */
static int open_target(const struct plan *plan, const char *path) {
    RB_FD fd = rb_resolve(plan->root, path, 0);
    if (fd >= 0 && same_directory(fd, plan->root)) return errno = EBUSY, -1;
    return rb_take_fd(&fd);
}

/* Opens a directory of the host under the number of a descriptor that the builder has for it: overlay takes only layers
 * of its own mount namespace, and the child's is new. Another directory that is there by now is refused. */
static int reopen(struct plan *plan, const struct step *step) {
    (void)plan;
    RB_FD fd = open(step->source, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -1;
    if (!same_directory(fd, (int)step->flags)) return errno = ESTALE, -1;
    return dup3(fd, (int)step->flags, O_CLOEXEC);
}

/* Mounts the new root at a directory of the host. The options name layers by descriptor number alone: paths of
 * the host stay out of /proc/mounts, and any number of layers fits into the one page the kernel takes. */
static int mount_root(struct plan *plan, const struct step *step) {
    if (chdir("/proc/self/fd") < 0) return -1;
    if (mount(step->source, step->target, step->fstype, step->flags, step->data) < 0) return -1;
    plan->root = open(step->target, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return plan->root;
}

static int mount_file_system(struct plan *plan, const struct step *step) {
    char path[FD_PATH_SIZE];
    RB_FD target = open_target(plan, step->target);
    if (target < 0) return -1;
    return mount(step->source, rb_fd_path(path, target), step->fstype, step->flags, step->data);
}

static int bind_from_host(struct plan *plan, const struct step *step) {
    char path[FD_PATH_SIZE];
    RB_FD target = open_target(plan, step->target);
    if (target < 0) return -1;
    return mount(step->source, rb_fd_path(path, target), NULL, MS_BIND | step->flags, NULL);
}

static int bind_from_root(struct plan *plan, const struct step *step) {
    char from[FD_PATH_SIZE], to[FD_PATH_SIZE];
    RB_FD source = rb_resolve(plan->root, step->source, 0);
    RB_FD target = open_target(plan, step->target);
    if (source < 0 || target < 0) return -1;
    return mount(rb_fd_path(from, source), rb_fd_path(to, target), NULL, MS_BIND | step->flags, NULL);
}

/* The flags of a mount that a user namespace may not clear: a remount has to repeat them. */
static unsigned long locked_flags(int fd) {
    struct statvfs st;
    if (fstatvfs(fd, &st) < 0) return 0;
    return (st.f_flag & ST_NOSUID ? MS_NOSUID : 0) | (st.f_flag & ST_NODEV ? MS_NODEV : 0) |
           (st.f_flag & ST_NOEXEC ? MS_NOEXEC : 0) | (st.f_flag & ST_NOATIME ? MS_NOATIME : 0) |
           (st.f_flag & ST_NODIRATIME ? MS_NODIRATIME : 0) | (st.f_flag & ST_RELATIME ? MS_RELATIME : 0);
}

static int set_read_only(int fd, unsigned long recursive) {
    struct { /* struct mount_attr of Linux 5.12; older C libraries lack it */
        uint64_t set, clear, propagation, userns;
    } attributes = {.set = 1 /* MOUNT_ATTR_RDONLY */};
    int flags = AT_EMPTY_PATH | (recursive ? 0x8000 /* AT_RECURSIVE */ : 0);
    if (syscall(442 /* mount_setattr, the same everywhere */, fd, "", flags, &attributes, sizeof attributes) == 0)
        return 0;
    char path[FD_PATH_SIZE];
    return mount(NULL, rb_fd_path(path, fd), NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | locked_flags(fd), NULL);
}

static int make_read_only(struct plan *plan, const struct step *step) {
    RB_FD target = open_target(plan, step->target);
    return target < 0 ? -1 : set_read_only(target, step->flags & MS_REC);
}

static int make_directory(struct plan *plan, const struct step *step) {
    const char *name;
    RB_FD parent = rb_resolve_parent(plan->root, step->target, &name);
    return parent < 0 ? -1 : mkdirat(parent, name, (mode_t)step->flags);
}

static int make_symlink(struct plan *plan, const struct step *step) {
    const char *name;
    RB_FD parent = rb_resolve_parent(plan->root, step->target, &name);
    return parent < 0 ? -1 : symlinkat(step->source, parent, name);
}

static int make_file(struct plan *plan, const struct step *step) {
    const char *name;
    RB_FD parent = rb_resolve_parent(plan->root, step->target, &name);
    if (parent < 0) return -1;
    RB_FD file = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, (mode_t)step->flags);
    if (file < 0) return -1;
    ssize_t written = write(file, step->data, (size_t)step->size);
    if (written >= 0 && written != step->size) errno = ENOSPC;
    return written == step->size ? 0 : -1;
}

static int remove_file(struct plan *plan, const struct step *step) {
    const char *name;
    RB_FD parent = rb_resolve_parent(plan->root, step->target, &name);
    return parent < 0 ? -1 : unlinkat(parent, name, (int)step->flags);
}

/* ---- mounts that a step asks for ------------------------------------------------------------------------- */

/* Binds `source` of the directory `fstype`, as a process with that root directory would see it, on target. What
 * was resolved is what is bound: a name that is swapped meanwhile changes nothing. */
static int pick(struct plan *plan, const struct step *step) {
    char from[FD_PATH_SIZE], to[FD_PATH_SIZE];
    RB_FD top = rb_resolve(plan->root, step->fstype, 0);
    if (top < 0) return -1;
    RB_FD source = rb_resolve(top, step->source, 0);
    if (source < 0) return -1;
    RB_FD target = open_target(plan, step->target);
    if (target < 0) return -1;
    return mount(rb_fd_path(from, source), rb_fd_path(to, target), NULL, MS_BIND | step->flags, NULL);
}

static int ensure_one(int root, const char *path, int directory) {
    const char *name;
    RB_FD there = rb_resolve(root, path, 0);
    if (there >= 0 || errno != ENOENT) return there < 0 ? -1 : 0;
    RB_FD parent = rb_resolve_parent(root, path, &name);
    if (parent < 0) return -1;
    if (directory) return mkdirat(parent, name, 0755);
    RB_FD file = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    return file < 0 ? -1 : 0;
}

/* Makes what is missing of target: directories, and in the last place a file unless flags say directory. */
static int ensure(struct plan *plan, const struct step *step) {
    char path[PATH_MAX];
    size_t length = strlen(step->target);
    if (length >= sizeof path) return errno = ENAMETOOLONG, -1;
    for (size_t i = 1; i < length; i++) {
        if (step->target[i] != '/') continue;
        memcpy(path, step->target, i);
        path[i] = '\0';
        if (ensure_one(plan->root, path, 1) < 0) return -1;
    }
    return ensure_one(plan->root, step->target, step->flags != 0);
}

/* flags: the uid, and from bit 32 on the gid. */
static int change_owner(struct plan *plan, const struct step *step) {
    RB_FD fd = rb_resolve(plan->root, step->target, 1);
    uint64_t both = step->flags;
    return fd < 0 ? -1 : fchownat(fd, "", (uid_t)(both & 0xffffffff), (gid_t)(both >> 32), AT_EMPTY_PATH);
}

static int detach(struct plan *plan, const struct step *step) {
    char path[FD_PATH_SIZE];
    RB_FD fd = rb_resolve(plan->root, step->target, 1);
    return fd < 0 ? -1 : umount2(rb_fd_path(path, fd), MNT_DETACH);
}

perform_step *rb_step_named(const char *op) {
    const struct {
        const char *op;
        perform_step *perform;
    } table[] = {
        {"reopen", reopen},        {"root", mount_root},         {"mount", mount_file_system},
        {"bind", bind_from_host},  {"alias", bind_from_root},    {"readonly", make_read_only},
        {"mkdir", make_directory}, {"symlink", make_symlink},    {"file", make_file},
        {"unlink", remove_file},   {"pick", pick},               {"ensure", ensure},
        {"chown", change_owner},   {"detach", detach},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(op, table[i].op) == 0) return table[i].perform;
    return NULL;
}

/* What an image or a kernel may lack; anything else is a refusal even of an optional step. */
static int is_absent(int error) {
    return error == ENOENT || error == ENOTDIR || error == ELOOP || error == ENODEV;
}

int rb_perform_steps(struct plan *plan) {
    for (size_t i = 0; i < plan->step_count; i++) {
        const struct step *step = &plan->steps[i];
        if (step->perform(plan, step) >= 0 || (step->optional && is_absent(errno))) continue;
        plan->failed = step->name;
        plan->failed_step = (int)i;
        return -1;
    }
    return 0;
}
