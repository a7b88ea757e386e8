/* The identity of a step: groups, ids, capabilities, no_new_privs. Runs in the child. */
#include "native.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "spawn.h"

/* EINVAL is the kernel's way to say that there is no capability of this number. */
static int drop_bounding(uint64_t keep) {
    for (unsigned long cap = 0; cap < 64; cap++)
        if (!(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL) return -1;
    return 0;
}

static int set_capabilities(uint64_t effective) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[2];
    for (int half = 0; half < 2; half++) {
        uint32_t bits = (uint32_t)(effective >> 32 * half);
        sets[half] = (struct __user_cap_data_struct){.effective = bits, .permitted = bits, .inheritable = 0};
    }
    return (int)syscall(SYS_capset, &header, sets);
}

/* Kernels without ambient capabilities have none to clear. */
static int clear_ambient(void) {
    int result = prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return result < 0 && errno == EINVAL ? 0 : result;
}

/* The builder's session keyring may hold tickets and tokens. Where keyrings are refused, the step has none. */
static void leave_session_keyring(void) { syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL); }

int rb_take_credentials(struct plan *plan) {
    leave_session_keyring();
    RB_TRY(plan, "drop capabilities", drop_bounding(plan->bounding));
    if (plan->groups) RB_TRY(plan, "setgroups", syscall(SYS_setgroups, plan->group_count, plan->groups));
    RB_TRY(plan, "setresgid", syscall(SYS_setresgid, plan->gid, plan->gid, plan->gid));
    RB_TRY(plan, "setresuid", syscall(SYS_setresuid, plan->uid, plan->uid, plan->uid));
    RB_TRY(plan, "capset", set_capabilities(plan->effective));
    RB_TRY(plan, "clear ambient capabilities", clear_ambient());
    if (plan->no_new_privs) RB_TRY(plan, "no_new_privs", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    return 0;
}
