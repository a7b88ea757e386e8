/* The child's way from fork to exec. Async-signal-safe calls only: other threads of the builder may have held
 * any lock when the fork happened. */
#include "native.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "cleanup.h"
#include "resolve.h"
#include "spawn.h"

enum { LAST_SIGNAL = 64, FIRST_FREE_FD = 3 };

/* The builder's handlers point into the interpreter, and Python ignores SIGPIPE; a step expects neither. */
static void reset_signals(void) {
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigset_t none;
    for (int number = 1; number <= LAST_SIGNAL; number++) sigaction(number, &action, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static int raise_loopback(void) {
    RB_FD fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {.ifr_name = "lo"};
    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0) return -1;
    request.ifr_flags |= IFF_UP;
    return ioctl(fd, SIOCSIFFLAGS, &request);
}

static int name_host(struct plan *plan) {
    RB_TRY(plan, "sethostname", sethostname(plan->hostname, strlen(plan->hostname)));
    if (plan->namespaces & CLONE_NEWNET) RB_TRY(plan, "loopback up", raise_loopback());
    return 0;
}

/* pivot_root(".", ".") stacks the old root on the new one, from where it is detached with all it holds. */
static int enter_root(struct plan *plan) {
    RB_TRY(plan, "fchdir", fchdir(plan->root));
    RB_TRY(plan, "pivot_root", syscall(SYS_pivot_root, ".", "."));
    RB_TRY(plan, "umount", umount2(".", MNT_DETACH));
    RB_TRY(plan, "chdir", chdir("/"));
    return 0;
}

/* The kernel marks a directory that the root does not reach with a text in place of the leading slash. */
static int cwd_is_inside(void) {
    char path[PATH_MAX];
    if (syscall(SYS_getcwd, path, sizeof path) < 0) return -1;
    return path[0] == '/' ? 0 : (errno = EXDEV, -1);
}

static int enter_cwd(struct plan *plan) {
    RB_FD root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    RB_TRY(plan, "cwd", root);
    RB_FD cwd = rb_resolve(root, plan->cwd, 0);
    RB_TRY(plan, "cwd", cwd);
    RB_TRY(plan, "cwd", fchdir(cwd));
    RB_TRY(plan, "cwd", cwd_is_inside());
    return 0;
}

static int mark_one_by_one(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return -1;
    for (int fd = FIRST_FREE_FD; (rlim_t)fd < limit.rlim_max && fd < 1 << 20; fd++) fcntl(fd, F_SETFD, FD_CLOEXEC);
    return 0;
}

/* Marked rather than closed: a failing exec still has to be reported. */
static int close_others_on_exec(void) {
    return syscall(436 /* close_range */, FIRST_FREE_FD, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */) == 0 ? 0 : mark_one_by_one();
}

/* A step that is not root shall be able to reopen /dev/stdout. */
static int wire_stdio(struct plan *plan) {
    int lifted[3];
    for (int fd = 0; fd < 3; fd++) {
        if (fd > 0) (void)!fchown(plan->stdio[fd], plan->uid, plan->gid);
        lifted[fd] = fcntl(plan->stdio[fd], F_DUPFD_CLOEXEC, FIRST_FREE_FD);
        RB_TRY(plan, "stdio", lifted[fd]);
    }
    int report = fcntl(plan->report, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
    RB_TRY(plan, "stdio", report);
    plan->report = report;
    if (plan->builder >= 0) plan->builder = fcntl(plan->builder, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
    for (int fd = 0; fd < 3; fd++) RB_TRY(plan, "stdio", dup2(lifted[fd], fd));
    RB_TRY(plan, "close_range", close_others_on_exec());
    return 0;
}

static int set_limits(struct plan *plan) {
    for (size_t i = 0; i < plan->limit_count; i++)
        RB_TRY(plan, "setrlimit", setrlimit((__rlimit_resource_t)plan->limits[i].resource, &plan->limits[i].value));
    umask(plan->umask);
    return 0;
}

/* Set after the credentials, which clear it. A builder that died before this call sends no signal, and getppid
 * says 0 in a pid namespace: its pidfd tells. */
static int die_with_builder(struct plan *plan) {
    struct pollfd builder = {.fd = plan->builder, .events = POLLIN};
    RB_TRY(plan, "pdeathsig", prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0));
    if (plan->builder >= 0 && poll(&builder, 1, 0) > 0) _exit(1);
    return 0;
}

/* The first program that exists decides; as in a shell, EACCES is only told when nothing else was found. */
static int execute(struct plan *plan) {
    int denied = 0;
    for (char **program = plan->programs; *program; program++) {
        execve(*program, plan->argv, plan->env);
        if (errno == EACCES) denied = 1;
        if (errno != ENOENT && errno != ENOTDIR && errno != EACCES) break;
    }
    if (denied && (errno == ENOENT || errno == ENOTDIR)) errno = EACCES;
    return plan->failed = "exec", -1;
}

int rb_become_command(struct plan *plan) {
    umask(0);
    RB_TRY(plan, "setsid", setsid());
    if (rb_perform_steps(plan) < 0) return -1;
    if (name_host(plan) < 0 || enter_root(plan) < 0 || enter_cwd(plan) < 0) return -1;
    if (wire_stdio(plan) < 0 || set_limits(plan) < 0) return -1;
    if (rb_take_credentials(plan) < 0 || die_with_builder(plan) < 0) return -1;
    reset_signals();
    return execute(plan);
}
