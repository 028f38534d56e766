// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * takeover_calls.c - system calls of a process that has been taken over: files, other processes, other users,
 * code of its own. See takeover.h.
 */
#include "tests/takeover/takeover.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/unistd.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PTR(p) ((long)(uintptr_t)(p))

static long result_of(long rc)
{
    return rc < 0 ? -errno : rc;
}

/* ---- what is one call ------------------------------------------------------------------------------ */

struct call {
    const char *name;
    bool harmless; /* is tried, and must succeed, in a process that has all rights */
    long nr, args[6];
};

static void call_all(const struct takeover *t, const struct call *calls, size_t nr)
{
    for (size_t i = 0; i < nr; i++) {
        const long *a = calls[i].args;

        if (t->confined || calls[i].harmless)
            takeover_say(calls[i].name, result_of(syscall(calls[i].nr, a[0], a[1], a[2], a[3], a[4], a[5])));
    }
}

static void files(const struct takeover *t)
{
    static const char created[] = "/tmp/taken-over";
    const struct call calls[] = {
        {"call-open-shadow", true, SYS_openat, {AT_FDCWD, PTR("/etc/shadow"), O_RDONLY}},
        {"call-open-privcmd", true, SYS_openat, {AT_FDCWD, PTR("/dev/xen/privcmd"), O_RDWR}},
        {"call-open-evtchn", true, SYS_openat, {AT_FDCWD, PTR("/dev/xen/evtchn"), O_RDWR}},
        {"call-open-xenstore", false, SYS_openat, {AT_FDCWD, PTR("/dev/xen/xenbus"), O_RDWR}},
        {"call-open-memory-of-1", true, SYS_openat, {AT_FDCWD, PTR("/proc/1/mem"), O_RDONLY}},
        {"call-open-root", true, SYS_openat, {AT_FDCWD, PTR("/"), O_RDONLY | O_DIRECTORY}},
        {"call-open-state", true, SYS_openat, {AT_FDCWD, PTR("/run/vhost-dm"), O_RDONLY}},
        {"call-create", true, SYS_openat, {AT_FDCWD, PTR(created), O_WRONLY | O_CREAT, 0600}},
        {"call-unlink", true, SYS_unlinkat, {AT_FDCWD, PTR(created), 0}},
        {"call-mkdir", false, SYS_mkdirat, {AT_FDCWD, PTR("/taken"), 0700}},
        {"call-mknod", false, SYS_mknodat, {AT_FDCWD, PTR("/taken"), 0020600, 0x101}},
        {"call-symlink", false, SYS_symlinkat, {PTR("/etc"), AT_FDCWD, PTR("/taken")}},
        {"call-openat2", false, SYS_openat2, {AT_FDCWD, PTR("/"), 0, 0}},
        {"call-open-by-handle", false, SYS_open_by_handle_at, {0, 0, O_RDONLY}},
        {"call-chroot", true, SYS_chroot, {PTR("/")}},
        {"call-mount", false, SYS_mount, {PTR("none"), PTR("/"), PTR("tmpfs"), 0, 0}},
        {"call-umount", false, SYS_umount2, {PTR("/"), MNT_DETACH}},
        {"call-pivot-root", false, SYS_pivot_root, {PTR("."), PTR(".")}},
        {"call-fsopen", false, SYS_fsopen, {PTR("proc"), 0}},
        {"call-open-tree", false, SYS_open_tree, {AT_FDCWD, PTR("/"), 0}},
        {"call-swapon", false, SYS_swapon, {PTR("/"), 0}},
        {"call-acct", false, SYS_acct, {0}},
        {"call-fanotify", false, SYS_fanotify_init, {0, O_RDONLY}},
#ifdef SYS_open
        {"call-old-open", true, SYS_open, {PTR("/etc/shadow"), O_RDONLY}},
        {"call-old-creat", false, SYS_creat, {PTR("/taken"), 0600}},
#endif
    };

    call_all(t, calls, sizeof(calls) / sizeof(calls[0]));
}

static void processes(const struct takeover *t)
{
    static struct rlimit limit;
    long pid = t->process;
    const struct call calls[] = {
        {"call-kill", true, SYS_kill, {pid, 0}},
        {"call-kill-all", false, SYS_kill, {-1, 0}},
        {"call-tkill", true, SYS_tkill, {pid, 0}},
        {"call-tgkill", true, SYS_tgkill, {pid, pid, 0}},
        {"call-sigqueue", false, SYS_rt_sigqueueinfo, {pid, SIGTERM, 0}},
        {"call-pidfd-signal", false, SYS_pidfd_send_signal, {0, SIGTERM, 0, 0}},
        {"call-pidfd-getfd", false, SYS_pidfd_getfd, {0, 0, 0}},
        {"call-ptrace", true, SYS_ptrace, {PTRACE_SEIZE, pid, 0, 0}},
        {"call-vm-readv", true, SYS_process_vm_readv, {pid, 0, 0, 0, 0, 0}},
        {"call-vm-writev", true, SYS_process_vm_writev, {pid, 0, 0, 0, 0, 0}},
        {"call-kcmp", false, SYS_kcmp, {pid, pid, 0, 0, 0}},
        {"call-prlimit", true, SYS_prlimit64, {pid, RLIMIT_NOFILE, 0, PTR(&limit)}},
        {"call-set-limit", true, SYS_prlimit64, {0, RLIMIT_CORE, PTR(&limit), 0}},
        {"call-setpriority", false, SYS_setpriority, {PRIO_PROCESS, pid, 0}},
        {"call-affinity", false, SYS_sched_setaffinity, {pid, 0, 0}},
        {"call-setsid", false, SYS_setsid, {0}},
        {"call-unshare", true, SYS_unshare, {CLONE_NEWUTS}},
        {"call-unshare-user", false, SYS_unshare, {CLONE_NEWUSER}},
        {"call-setns", false, SYS_setns, {0, 0}},
        {"call-execve", false, SYS_execve, {PTR("/bin/true"), 0, 0}},
        {"call-execveat", false, SYS_execveat, {0, PTR(""), 0, 0, AT_EMPTY_PATH}},
        {"call-clone3", false, SYS_clone3, {0, 0}},
        {"call-sockets", true, SYS_socketpair, {AF_UNIX, SOCK_DGRAM, 0, PTR(&limit)}},
        {"call-socket-unix", true, SYS_socket, {AF_UNIX, SOCK_STREAM, 0}},
        {"call-socket-inet", true, SYS_socket, {AF_INET, SOCK_STREAM, 0}},
        {"call-socket-netlink", true, SYS_socket, {AF_NETLINK, SOCK_RAW, 0}},
        {"call-bind", false, SYS_bind, {0, 0, 0}},
        {"call-listen", false, SYS_listen, {0, 1}},
        {"call-shm", true, SYS_shmget, {IPC_PRIVATE, 4096, 0600}},
        {"call-shmat", false, SYS_shmat, {0, 0, 0}},
        {"call-msg", true, SYS_msgget, {IPC_PRIVATE, 0600}},
        {"call-sem", true, SYS_semget, {IPC_PRIVATE, 1, 0600}},
        {"call-key", false, SYS_add_key, {PTR("user"), PTR("taken"), 0, 0, -3}},
        {"call-keyctl", false, SYS_keyctl, {0, -3, 0}},
    };

    call_all(t, calls, sizeof(calls) / sizeof(calls[0]));
}

static void rights(const struct takeover *t)
{
    const struct call calls[] = {
        {"call-setuid", true, SYS_setuid, {0}},
        {"call-setresuid", true, SYS_setresuid, {0, 0, 0}},
        {"call-setgid", true, SYS_setgid, {0}},
        {"call-setgroups", true, SYS_setgroups, {0, 0}},
        {"call-capset", false, SYS_capset, {0, 0}},
        {"call-dumpable", true, SYS_prctl, {PR_SET_DUMPABLE, 1, 0, 0, 0}},
        {"call-seccomp", false, SYS_seccomp, {0, 0, 0}},
        {"call-personality", false, SYS_personality, {READ_IMPLIES_EXEC}},
        {"call-map-code",
         true,
         SYS_mmap,
         {0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0}},
        {"call-pkey-mprotect", false, SYS_pkey_mprotect, {0, 4096, PROT_EXEC, -1}},
        {"call-remap", false, SYS_remap_file_pages, {0, 0, 0, 0, 0}},
        {"call-bpf", false, SYS_bpf, {0, 0, 0}},
        {"call-perf", false, SYS_perf_event_open, {0, 0, -1, -1, 0}},
        {"call-userfault", true, SYS_userfaultfd, {O_CLOEXEC}},
        {"call-io-uring", false, SYS_io_uring_setup, {1, 0}},
        {"call-module", false, SYS_init_module, {0, 0, 0}},
        {"call-module-file", false, SYS_finit_module, {0, 0, 0}},
        {"call-reboot", false, SYS_reboot, {0, 0, 0, 0}},
        {"call-syslog", false, SYS_syslog, {10, 0, 0}},
        {"call-hostname", false, SYS_sethostname, {PTR("taken"), 5}},
        {"call-clock", false, SYS_clock_settime, {0, 0}},
        {"call-terminal", false, SYS_ioctl, {STDERR_FILENO, TIOCSTI, PTR("x")}},
#ifdef SYS_iopl
        {"call-iopl", false, SYS_iopl, {3}},
        {"call-ioperm", false, SYS_ioperm, {0, 1024, 1}},
        {"call-ldt", false, SYS_modify_ldt, {0, 0, 0}},
#endif
    };

    call_all(t, calls, sizeof(calls) / sizeof(calls[0]));
}

/* ---- what takes more than one ---------------------------------------------------------------------- */

/* Something that is written becomes something that is run. */
static long code_by_mprotect(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return page == MAP_FAILED ? -errno : result_of(mprotect(page, 4096, PROT_READ | PROT_EXEC));
}

static long code_by_memfd(void)
{
    int fd = memfd_create("code", 0);
    void *page = MAP_FAILED;

    if (fd >= 0 && ftruncate(fd, 4096) == 0)
        page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    return page == MAP_FAILED ? -errno : 0;
}

static long another_program(void)
{
    pid_t pid = fork();
    int status;

    if (pid < 0)
        return -errno;
    if (pid == 0) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(1);
    }
    waitpid(pid, &status, 0);
    return 0;
}

static long another_socket(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    /* One of those that are there already would do as well. */
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    for (int i = fd < 0 ? 0 : fd; i < (fd < 0 ? 256 : fd + 1); i++)
        if (connect(i, (struct sockaddr *)&addr, sizeof(addr)) == 0)
            return 0;
    return -errno;
}

void takeover_calls(const struct takeover *t)
{
    files(t);
    processes(t);
    rights(t);
    takeover_say("call-mprotect-code", code_by_mprotect());
    takeover_say("call-memfd-code", code_by_memfd());
    takeover_say("call-program", another_program());
    takeover_say("call-connect", another_socket(t->socket));
}

/* The system calls of 32-bit programs, whose numbers are others. */
void takeover_calls_last(const struct takeover *t)
{
    (void)t;
#ifdef __x86_64__
    long rc = 20; /* getpid */

    __asm__ volatile("int $0x80" : "+a"(rc) : : "memory", "r8", "r9", "r10", "r11");
    takeover_say("call-32-bit", rc);
#endif
}
