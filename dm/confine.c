// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * confine.c - see confine.h. The order matters: mounting takes root's rights, the filter comes last as it
 * forbids most of what is done here.
 */
#include "dm/confine.h"

#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "config.h"
#ifdef HAVE_SECCOMP
#include <seccomp.h>
#endif

#include "common/log.h"
#include "common/util.h"

/* The sanitizers' own threads and tools need what nothing of ours does. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

static int fail(const char *what, char *why, size_t why_len)
{
    int rc = -errno;

    snprintf(why, why_len, "%s: %s", what, strerror(-rc));
    return rc;
}

/* ---- the file system ------------------------------------------------------------------------------- */

/* An empty folder that cannot be written becomes the root of a mount namespace of our own. */
static int root_empty(const char *folder, char *why, size_t why_len)
{
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return fail("a mount namespace of its own", why, why_len);
    if (mount("vhost-dm", folder, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY,
              "size=4k,mode=0555") != 0 ||
        chdir(folder) != 0)
        return fail("an empty root", why, why_len);
    /* pivot_root lets go of all else; from an initramfs there is only the other way. */
    if (syscall(SYS_pivot_root, ".", ".") == 0) {
        if (umount2(".", MNT_DETACH) != 0)
            return fail("leaving the file system", why, why_len);
    } else if (mount(".", "/", NULL, MS_MOVE, NULL) != 0 || chroot(".") != 0) {
        return fail("changing to an empty root", why, why_len);
    }
    return chdir("/") != 0 ? fail("changing to an empty root", why, why_len) : 0;
}

/* Sockets that are connected stay so. A kernel without such a namespace has nothing to leave. */
static int others_leave(char *why, size_t why_len)
{
    static const int namespaces[] = {CLONE_NEWNET, CLONE_NEWIPC};

    for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++)
        if (unshare(namespaces[i]) != 0 && errno != EINVAL)
            return fail("namespaces of its own", why, why_len);
    return 0;
}

/* ---- the user -------------------------------------------------------------------------------------- */

static int user_become(uid_t user, char *why, size_t why_len)
{
    static const struct {
        __rlimit_resource_t what;
        rlim_t limit;
    } limits[] = {{RLIMIT_NPROC, 0}, {RLIMIT_CORE, 0}, {RLIMIT_MEMLOCK, 0}, {RLIMIT_MSGQUEUE, 0}};

    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        struct rlimit r = {limits[i].limit, limits[i].limit};

        if (setrlimit(limits[i].what, &r) != 0)
            return fail("resource limits", why, why_len);
    }
    if (setgroups(0, NULL) != 0 || setresgid(user, user, user) != 0 || setresuid(user, user, user) != 0)
        return fail("becoming its own user", why, why_len);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return fail("no new privileges", why, why_len);
    return 0;
}

/* ---- system calls ---------------------------------------------------------------------------------- */

#if defined(HAVE_SECCOMP) && !defined(SANITIZED)
/* By who needs them. What is not here fails with EPERM, which the caller takes for any other failure. */
static const int calls[] = {
    /* sockets of back-ends, of people's tools and of libvhost-dm-shm; eventfds; the log */
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(recvmsg),
    SCMP_SYS(recvfrom),
    SCMP_SYS(sendmsg),
    SCMP_SYS(sendto),
    SCMP_SYS(accept4),
    SCMP_SYS(shutdown),
    SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt),
    SCMP_SYS(close),
    SCMP_SYS(dup),
    SCMP_SYS(fcntl),
    SCMP_SYS(eventfd2),
    /* who is at the other end of libvhost-dm-shm, and whether it has ended */
    SCMP_SYS(pidfd_open),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    /* the event loop; eventfds that somebody else may block; time */
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(timer_create),
    SCMP_SYS(timer_settime),
    SCMP_SYS(timer_delete),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    /* memory, and files that are mapped: bounce buffers, shared memory, the saved state */
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(msync),
    SCMP_SYS(brk),
    SCMP_SYS(memfd_create),
    SCMP_SYS(ftruncate),
    SCMP_SYS(fallocate),
    SCMP_SYS(lseek),
    SCMP_SYS(pread64),
    SCMP_SYS(pwrite64),
    SCMP_SYS(fstat),
    SCMP_SYS(fstatfs),
    SCMP_SYS(newfstatat),
    SCMP_SYS(statx),
    SCMP_SYS(name_to_handle_at),
    SCMP_SYS(flock),
    /* the C library */
    SCMP_SYS(futex),
    SCMP_SYS(getrandom),
    SCMP_SYS(rseq),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(sched_yield),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
};

/* Interfaces to Xen: 'P' is privcmd's, 'E' is evtchn's, in the second byte of a request (xen/sys/privcmd.h,
 * evtchn.h); both know by now for which guest they are good. None for terminals and devices. */
static const char ioctl_types[] = {'P', 'E'};

/* The type of a socket, without SOCK_CLOEXEC and SOCK_NONBLOCK. */
#define SOCK_TYPES 0xf

static int filter_fill(scmp_filter_ctx filter)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(calls); i++)
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
    for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(ioctl_types); i++)
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                              SCMP_A1(SCMP_CMP_MASKED_EQ, 0xff00, (scmp_datum_t)ioctl_types[i] << 8));
    /* No code but what was there from the start. */
    if (rc == 0)
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                              SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    if (rc == 0)
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                              SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    /* The back-end's own channel, whose other end it gets. */
    if (rc == 0)
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 2,
                              SCMP_A0(SCMP_CMP_EQ, AF_UNIX, 0),
                              SCMP_A1(SCMP_CMP_MASKED_EQ, SOCK_TYPES, SOCK_STREAM));
    /* Its own limit of open files, to be read. */
    if (rc == 0)
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2, SCMP_A0(SCMP_CMP_EQ, 0, 0),
                              SCMP_A2(SCMP_CMP_EQ, 0, 0));
    if (rc == 0)
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(getrlimit), 0);
    /* abort() */
    if (rc == 0)
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                              SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));
    return rc;
}

static int calls_limit(char *why, size_t why_len)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    int rc = filter != NULL ? filter_fill(filter) : -ENOMEM;

    if (rc == 0)
        rc = seccomp_load(filter);
    seccomp_release(filter);
    if (rc != 0)
        snprintf(why, why_len, "the list of system calls: %s", strerror(-rc));
    return rc;
}
#elif defined(SANITIZED)
static int calls_limit(char *why, size_t why_len)
{
    (void)why;
    (void)why_len;
    log_debug("a vhost-dm with sanitizers may make any system call");
    return 0;
}
#else
static int calls_limit(char *why, size_t why_len)
{
    snprintf(why, why_len, "this vhost-dm was compiled --without-seccomp");
    return -ENOTSUP;
}
#endif

bool confine_complete(void)
{
#ifdef SANITIZED
    return false;
#else
    return true;
#endif
}

int confine(const struct confine_options *options, char *why, size_t why_len)
{
    int rc = root_empty(options->folder, why, why_len);

    if (rc == 0)
        rc = others_leave(why, why_len);
    if (rc == 0)
        rc = user_become(options->user, why, why_len);
    return rc == 0 ? calls_limit(why, why_len) : rc;
}
