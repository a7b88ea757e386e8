#ifndef RBUILD_RESOLVE_H
#define RBUILD_RESOLVE_H

/* An O_PATH|O_CLOEXEC descriptor of `path` as a process whose root directory is `root` would see it: "..",
 * absolute and symbolic links never leave `root`, magic links of procfs are not followed. With `nofollow` a
 * final symlink is returned itself. -1 and errno on failure. Async-signal-safe. */
int rb_resolve(int root, const char *path, int nofollow);

/* The same by walking component by component, for kernels and filters that refuse openat2. */
int rb_walk(int root, const char *path, int nofollow);

/* "/proc/self/fd/N", somewhere in `buffer`. Async-signal-safe. */
enum { FD_PATH_SIZE = 32 };
const char *rb_fd_path(char buffer[FD_PATH_SIZE], int fd);

/* The directory that holds the last component of `path`, which is stored in *name. */
int rb_resolve_parent(int root, const char *path, const char **name);

#endif
