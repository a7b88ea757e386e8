/* Variables that release what they hold when they leave scope. */
#ifndef RBUILD_CLEANUP_H
#define RBUILD_CLEANUP_H

#include <errno.h>
#include <unistd.h>

static inline void rb_close_fd(int *fd) {
    if (*fd >= 0) {
        int saved = errno;
        close(*fd);
        errno = saved;
    }
}

#define RB_FD __attribute__((cleanup(rb_close_fd))) int

/* Hands a descriptor on, so that leaving scope does not close it. */
static inline int rb_take_fd(int *fd) {
    int taken = *fd;
    *fd = -1;
    return taken;
}

#endif
