/* Preloaded: the n-th call of those that touch files fails, is cut short, or is the last one of the process.
 *
 * inject_arm(n, fault): n counts from 1, from this call on, over all threads; 0 only counts. A fault is an errno, or
 * INJECT_KILL or INJECT_SHORT (half of what was asked for; calls that cannot be cut short pass). */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum { INJECT_KILL = -1, INJECT_SHORT = -2 };

static atomic_long calls, strike;
static atomic_int fault;
static _Atomic(const char *) struck;

void inject_arm(long at, int what) {
    atomic_store(&strike, 0);
    atomic_store(&fault, what);
    atomic_store(&calls, 0);
    atomic_store(&struck, "");
    atomic_store(&strike, at);
}
long inject_count(void) { return atomic_load(&calls); }
const char *inject_struck(void) { return atomic_load(&struck); }

/* 1: fail with errno; -1: cut it short; 0: go on. Calls that do not wait are not interrupted: the next one is. */
static int hit(const char *name, bool waits) {
    long now = atomic_fetch_add(&calls, 1) + 1, at = atomic_load(&strike);
    int what = atomic_load(&fault);
    if (!at || now < at || (!waits && (what == EINTR || what == INJECT_SHORT))) return 0;
    if (!atomic_compare_exchange_strong(&strike, &at, 0)) return 0;
    atomic_store(&struck, name);
    if (what == INJECT_KILL) kill(getpid(), SIGKILL);
    if (what == INJECT_SHORT) return -1;
    return errno = what, 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define CALL(result, name, parameters, arguments, slow)                            \
    result name parameters {                                                       \
        static __typeof__(&name) real;                                             \
        if (!real) real = REAL(name);                                              \
        return hit(#name, slow) > 0 ? -1 : real arguments;                         \
    }
#define TRANSFER(name, parameters, arguments, size)                                \
    ssize_t name parameters {                                                      \
        static __typeof__(&name) real;                                             \
        if (!real) real = REAL(name);                                              \
        int what = hit(#name, true);                                               \
        if (what > 0) return -1;                                                   \
        if (what < 0 && size > 1) size /= 2;                                       \
        return real arguments;                                                     \
    }
#define OPEN(name)                                                                 \
    int name(const char *path, int flags, ...) {                                   \
        static int (*real)(const char *, int, ...);                                \
        va_list list;                                                              \
        va_start(list, flags);                                                     \
        int mode = va_arg(list, int);                                              \
        va_end(list);                                                              \
        if (!real) real = dlsym(RTLD_NEXT, #name);                                 \
        return hit(#name, false) > 0 ? -1 : real(path, flags, mode);               \
    }
#define OPENAT(name)                                                               \
    int name(int at, const char *path, int flags, ...) {                           \
        static int (*real)(int, const char *, int, ...);                           \
        va_list list;                                                              \
        va_start(list, flags);                                                     \
        int mode = va_arg(list, int);                                              \
        va_end(list);                                                              \
        if (!real) real = dlsym(RTLD_NEXT, #name);                                 \
        return hit(#name, false) > 0 ? -1 : real(at, path, flags, mode);           \
    }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
TRANSFER(read, (int fd, void *bytes, size_t size), (fd, bytes, size), size)
TRANSFER(write, (int fd, const void *bytes, size_t size), (fd, bytes, size), size)
TRANSFER(pread, (int fd, void *bytes, size_t size, off_t at), (fd, bytes, size, at), size)
TRANSFER(pread64, (int fd, void *bytes, size_t size, off64_t at), (fd, bytes, size, at), size)
TRANSFER(copy_file_range, (int in, off64_t *from, int out, off64_t *to, size_t size, unsigned flags),
         (in, from, out, to, size, flags), size)
CALL(int, fsync, (int fd), (fd), true)
CALL(int, rename, (const char *from, const char *to), (from, to), false)
CALL(int, mkdir, (const char *path, mode_t mode), (path, mode), false)
CALL(int, mkdirat, (int at, const char *path, mode_t mode), (at, path, mode), false)
CALL(int, ftruncate, (int fd, off_t size), (fd, size), false)
CALL(int, ftruncate64, (int fd, off64_t size), (fd, size), false)
CALL(int, fchmod, (int fd, mode_t mode), (fd, mode), false)
CALL(int, fchmodat, (int at, const char *path, mode_t mode, int flags), (at, path, mode, flags), false)
CALL(int, fchown, (int fd, uid_t uid, gid_t gid), (fd, uid, gid), false)
CALL(int, fchownat, (int at, const char *path, uid_t uid, gid_t gid, int flags), (at, path, uid, gid, flags), false)
CALL(int, linkat, (int at, const char *old, int to, const char *new, int flags), (at, old, to, new, flags), false)
CALL(int, link, (const char *old, const char *new), (old, new), false)
CALL(int, symlinkat, (const char *target, int at, const char *path), (target, at, path), false)
CALL(int, mknodat, (int at, const char *path, mode_t mode, dev_t device), (at, path, mode, device), false)
CALL(int, utimensat, (int at, const char *path, const struct timespec times[2], int flags), (at, path, times, flags), false)
CALL(int, futimens, (int fd, const struct timespec times[2]), (fd, times), false)
CALL(int, fsetxattr, (int fd, const char *name, const void *value, size_t size, int flags),
     (fd, name, value, size, flags), false)
CALL(int, fstatat, (int at, const char *path, struct stat *st, int flags), (at, path, st, flags), false)
CALL(int, fstat, (int fd, struct stat *st), (fd, st), false)

/* openat2 has no wrapper. */
long syscall(long number, ...) {
    static long (*real)(long, ...);
    va_list list;
    long a[6];
    va_start(list, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(list, long);
    va_end(list);
    if (!real) real = dlsym(RTLD_NEXT, "syscall");
    if (number == SYS_openat2 && hit("openat2", false) > 0) return -1;
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
