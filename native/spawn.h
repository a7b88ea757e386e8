/* What the files of spawn share: everything a child needs, converted before the fork. */
#ifndef RBUILD_SPAWN_H
#define RBUILD_SPAWN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

struct step;
struct plan;
typedef int perform_step(struct plan *plan, const struct step *step);

struct step {
    const char *name; /* what an error calls it */
    perform_step *perform;
    const char *target;
    const char *source;
    const char *fstype;
    const char *data;
    Py_ssize_t size;
    unsigned long flags;
    int optional;
};

struct limit {
    int resource;
    struct rlimit value;
};

struct plan {
    struct step *steps;
    size_t step_count;
    char **argv, **env, **programs;
    const char *cwd, *hostname;
    unsigned long namespaces;
    uid_t uid;
    gid_t gid;
    gid_t *groups; /* NULL: leave them, a one-id map forbids setgroups */
    size_t group_count;
    uint64_t bounding, effective;
    mode_t umask;
    int no_new_privs;
    struct limit *limits;
    size_t limit_count;

    int root;       /* O_PATH descriptor of the root directory being made */
    int builder;    /* pidfd of the builder, or -1 */
    int stdio[3];   /* the child's ends */
    int report;     /* where the child tells what failed */
    const char *failed; /* a string of this program, valid in parent and child alike */
    int failed_step;    /* index into steps, or -1 */
};

/* Names the call that failed and leaves; errno says why. */
#define RB_TRY(plan, what, call)                                                                             \
    do {                                                                                                     \
        if ((call) < 0) return (plan)->failed = (what), -1;                                                  \
    } while (0)

/* The functions below run in the child: async-signal-safe calls only, -1 and errno on failure. */

/* steps.c */
perform_step *rb_step_named(const char *op); /* NULL when there is none; this one is for the parent */
int rb_perform_steps(struct plan *plan);

/* child.c: never returns, except when the command could not be executed. */
int rb_become_command(struct plan *plan);

/* credentials.c */
int rb_take_credentials(struct plan *plan);

#endif
