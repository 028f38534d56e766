// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_shm.c - shared pages on the local hypervisor, from the memory of one program to the guest's: the pool,
 * its server, the library linked and preloaded, and the placements foreign and copy beside trap.
 */
#include <check.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd_message.h"
#include "common/saved_state.h"
#include "common/util.h"
#include "dm/guest.h"
#include "dm/local.h"
#include "dm/placement.h"
#include "dm/shm_pool.h"
#include "dm/shm_server.h"
#include "dm/shmem.h"
#include "lib/shm_protocol.h"
#include "tests/shm/shm_user.h"
#include "tests/unit/fds.h"
#include "tests/unit/unit.h"

#define LIMIT   MIB(4)
#define WINDOW  GIB(8)
#define PAGE    GUEST_PAGE_SIZE
#define SECONDS 60. /* what takes longer has failed */

static char dir[] = "/tmp/vhost-dm-shm-XXXXXX", socket_path[64];
static struct ev_loop *loop;
static struct saved_state *saved;
static struct hypervisor *hv;
static struct guest guest;
static struct shm_pool *pool;
static struct shm_server *server;
static struct shmem *shmem;

/* ---- the rig: a guest with a device with one region ------------------------------------------------ */

static void rig_start(void)
{
    const struct local_options options = {.ram_low = MIB(1), .ram_fd = -1};
    static const struct local_callbacks none;
    static const struct shmem_options defaults;
    uint64_t sizes[SHMEM_MAX_REGIONS] = {MIB(1)};
    const uint8_t identity[SAVED_STATE_IDENTITY_LEN] = {1};
    const char *why;
    int holder;

    strcpy(dir + strlen(dir) - 6, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(socket_path, sizeof(socket_path), "%s/shm", dir);
    ck_assert_int_eq(setenv("VHOST_DM_SHM", socket_path, 1), 0);
    loop = ev_default_loop(EVFLAG_AUTO);
    ck_assert_ptr_nonnull(loop);
    ck_assert_int_eq(saved_state_open(&saved, NULL, identity, &holder), 0);
    ck_assert_int_eq(local_new(&hv, &options, &none, NULL), 0);
    ck_assert_int_eq(guest_init(&guest, loop, hv, saved), 0);
    ck_assert_int_eq(shm_pool_new(&pool, hv, saved, LIMIT), 0);
    ck_assert_int_eq(shm_server_new(&server, loop, pool, socket_path, "test"), 0);
    guest.shm = pool;
    ck_assert_int_eq(shmem_new(&shmem, &guest, "test", sizes, &defaults, &why), 0);
    ck_assert_int_eq(hv->ops->start(hv), 0);
    ck_assert_int_eq(shmem_show(shmem, WINDOW), 0);
}

static void rig_stop(void)
{
    if (shmem != NULL)
        shmem_hide(shmem);
    shmem_free(shmem);
    guest_fini(&guest);
    shm_server_free(server);
    shm_pool_free(pool);
    hv->ops->detach(hv);
    saved_state_close(saved, true);
    rmdir(dir);
}

/* The guest's own accesses. */
static uint64_t guest_read(uint64_t offset, uint8_t size)
{
    uint64_t value = 0;
    struct guest_access access = {.size = size, .addr = WINDOW + offset, .len = size, .data = &value};

    local_access(hv, &access);
    return value;
}

static void guest_write(uint64_t offset, uint64_t value, uint8_t size)
{
    struct guest_access access = {
        .write = true, .size = size, .addr = WINDOW + offset, .len = size, .data = &value};

    local_access(hv, &access);
}

/* An access that reached the device model has trapped. */
static bool guest_traps(uint64_t offset)
{
    uint64_t before = local_stats_get(hv)->delivered;

    guest_read(offset, 1);
    return local_stats_get(hv)->delivered != before;
}

static int map(int fd, uint64_t fd_offset, uint64_t offset, uint64_t len, bool writable)
{
    const char *why = NULL;
    struct shmem_request q = {
        .writable = writable, .fd = fd, .fd_offset = fd_offset, .shm_offset = offset, .len = len};

    return shmem_map(shmem, &q, &why);
}

static int unmap(uint64_t offset, uint64_t len)
{
    const char *why = NULL;
    struct shmem_request q = {.fd = -1, .shm_offset = offset, .len = len};

    return shmem_unmap(shmem, &q, &why);
}

/* ---- other processes ------------------------------------------------------------------------------- */

struct user {
    pid_t pid;
    int sock;
};

static const char *user_program = SHM_USER;

static void user_start(struct user *user, const char *how, const char *preload)
{
    int both[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, both), 0);
    user->pid = fork();
    ck_assert_int_ge(user->pid, 0);
    if (user->pid == 0) {
        dup2(both[1], 0);
        if (preload != NULL)
            setenv("LD_PRELOAD", preload, 1);
        execl(user_program, user_program, how, NULL);
        _exit(127);
    }
    close(both[1]);
    user->sock = both[0];
}

/* Runs the loop until cond holds. */
static void on_timeout(struct ev_loop *l, ev_timer *timer, int revents)
{
    (void)l;
    (void)revents;
    *(bool *)timer->data = true;
}

static void loop_until(bool (*cond)(void *ctx), void *ctx)
{
    bool late = false;
    ev_timer timer;

    ev_timer_init(&timer, on_timeout, SECONDS, 0.);
    timer.data = &late;
    ev_now_update(loop);
    ev_timer_start(loop, &timer);
    while (!cond(ctx) && !late)
        ev_run(loop, EVRUN_ONCE);
    ev_timer_stop(loop, &timer);
    ck_assert_msg(!late, "nothing came");
}

static void on_readable(struct ev_loop *l, ev_io *io, int revents)
{
    (void)l;
    (void)revents;
    *(bool *)io->data = true;
}

static bool is_set(void *ctx)
{
    return *(bool *)ctx;
}

static int64_t user_ask(const struct user *user, enum shm_user_op op, uint64_t a, uint64_t b, uint64_t c,
                        int fd, uint64_t *value, int *got_fd)
{
    struct shm_user_request q = {.op = op, .a = a, .b = b, .c = c};
    struct shm_user_answer answer = {.error = -EPIPE};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.bytes = {0}};
    struct iovec iov = {&q, sizeof(q)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    struct cmsghdr *cmsg;
    bool readable = false;
    ev_io io;

    if (fd >= 0) {
        msg.msg_control = &control;
        msg.msg_controllen = sizeof(control);
        cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
    }
    ck_assert_int_eq(sendmsg(user->sock, &msg, MSG_NOSIGNAL), sizeof(q));
    ev_io_init(&io, on_readable, user->sock, EV_READ);
    io.data = &readable;
    ev_io_start(loop, &io);
    loop_until(is_set, &readable);
    ev_io_stop(loop, &io);
    iov = (struct iovec){&answer, sizeof(answer)};
    msg = (struct msghdr){
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    if (recvmsg(user->sock, &msg, MSG_CMSG_CLOEXEC) != sizeof(answer))
        return -EPIPE;
    cmsg = CMSG_FIRSTHDR(&msg);
    if (got_fd != NULL) {
        *got_fd = -1;
        if (cmsg != NULL && cmsg->cmsg_type == SCM_RIGHTS)
            memcpy(got_fd, CMSG_DATA(cmsg), sizeof(*got_fd));
    }
    if (value != NULL)
        *value = answer.value;
    return answer.error;
}

/* An allocation of the user's that is shared. */
static int user_alloc(const struct user *user, uint64_t len)
{
    uint64_t shared = 0;
    int fd = -1;

    ck_assert_int_eq(user_ask(user, USER_ALLOC, len, 0, 0, -1, &shared, &fd), 0);
    ck_assert_int_eq((int)shared, 1);
    ck_assert_int_ge(fd, 0);
    return fd;
}

static uint64_t user_read(const struct user *user, uint64_t offset)
{
    uint64_t value = 0;

    ck_assert_int_eq(user_ask(user, USER_READ, offset, 0, 0, -1, &value, NULL), 0);
    return value;
}

static int64_t user_do(const struct user *user, enum shm_user_op op, uint64_t a, uint64_t b)
{
    return user_ask(user, op, a, b, 0, -1, NULL, NULL);
}

static void user_end(struct user *user)
{
    kill(user->pid, SIGKILL);
    waitpid(user->pid, NULL, 0);
    close(user->sock);
}

static bool nothing_allocated(void *ctx)
{
    (void)ctx;
    return shm_pool_stats_get(pool).nr_allocations == 0;
}

static bool nobody_there(void *ctx)
{
    (void)ctx;
    return shm_server_nr_processes(server) == 0;
}

/* What a program may be: linked with the library, or preloaded with it. */
static const struct {
    const char *how, *preload;
} kinds[] = {{"lib", NULL}, {"plain", SHM_PRELOAD}};

/* ---- tests ----------------------------------------------------------------------------------------- */

START_TEST(guest_and_program_share)
{
    struct user user;
    int fd;

    user_start(&user, kinds[_i].how, kinds[_i].preload);
    fd = user_alloc(&user, 4 * PAGE);
    ck_assert_int_eq(user_do(&user, USER_WRITE, PAGE + 5, 0x5a), 0);
    ck_assert_int_eq(map(fd, PAGE, 2 * PAGE, 2 * PAGE, true), 0);
    ck_assert(!guest_traps(2 * PAGE));
    ck_assert_uint_eq(guest_read(2 * PAGE + 5, 1), 0x5a);
    guest_write(3 * PAGE, 0x1122334455667788, 8);
    ck_assert_uint_eq(user_read(&user, 2 * PAGE + 7), 0x11);
    ck_assert_int_eq(user_do(&user, USER_WRITE, PAGE + 5, 0xa5), 0);
    ck_assert_uint_eq(guest_read(2 * PAGE + 5, 1), 0xa5);
    /* Copies by us go the same way. */
    ck_assert_int_eq(guest_memory_write(&guest, WINDOW + 2 * PAGE + 9, "!", 1), 0);
    ck_assert_uint_eq(user_read(&user, PAGE + 9), '!');
    /* Beside it nothing is mapped; a wide access over the edge comes apart. */
    ck_assert_uint_eq(guest_read(2 * PAGE - 4, 4), 0xffffffff);
    ck_assert_uint_eq(guest_read(4 * PAGE, 4), 0xffffffff);
    /* Mapped once more elsewhere, and read-only, which has no foreign form: it traps and shows the same. */
    ck_assert_int_eq(map(fd, 0, 8 * PAGE, 4 * PAGE, false), 0);
    ck_assert(guest_traps(8 * PAGE));
    ck_assert_uint_eq(guest_read(9 * PAGE + 5, 1), 0xa5);
    guest_write(9 * PAGE + 5, 0, 1);
    ck_assert_uint_eq(guest_read(2 * PAGE + 5, 1), 0xa5);
    /* The window moves with what is in it. */
    shmem_hide(shmem);
    ck_assert_int_eq(shmem_show(shmem, WINDOW), 0);
    ck_assert_uint_eq(guest_read(2 * PAGE + 5, 1), 0xa5);
    ck_assert_int_eq(unmap(2 * PAGE, 2 * PAGE), 0);
    ck_assert_uint_eq(guest_read(2 * PAGE + 5, 1), 0xff);
    ck_assert(guest_traps(2 * PAGE));
    close(fd);
    user_end(&user);
}
END_TEST

/* Killed outright while the guest has it: the guest keeps it until it is unmapped. */
START_TEST(memory_outlives_its_program)
{
    struct user user;
    int fd;

    user_start(&user, kinds[_i].how, kinds[_i].preload);
    fd = user_alloc(&user, 2 * PAGE);
    ck_assert_int_eq(user_do(&user, USER_WRITE, 1, 7), 0);
    ck_assert_int_eq(map(fd, 0, 0, 2 * PAGE, true), 0);
    close(fd);
    user_end(&user);
    loop_until(nobody_there, NULL);
    ck_assert_uint_eq(shm_pool_stats_get(pool).bytes, 2 * PAGE);
    ck_assert_uint_eq(guest_read(1, 1), 7);
    ck_assert_int_eq(unmap(0, 2 * PAGE), 0);
    ck_assert(nothing_allocated(NULL));
    /* What comes next in its place is zeros. */
    user_start(&user, kinds[_i].how, kinds[_i].preload);
    fd = user_alloc(&user, 2 * PAGE);
    ck_assert_uint_eq(user_read(&user, 1), 0);
    close(fd);
    user_end(&user);
    loop_until(nothing_allocated, NULL);
}
END_TEST

/* The fd goes to a second program, which maps a part; the first ends. */
START_TEST(two_programs)
{
    struct user first, second;
    int fd;

    user_start(&first, kinds[_i].how, kinds[_i].preload);
    user_start(&second, kinds[1 - _i].how, kinds[1 - _i].preload);
    fd = user_alloc(&first, 4 * PAGE);
    ck_assert_int_eq(user_ask(&second, USER_MAP, PAGE, PAGE, PROT_READ | PROT_WRITE, fd, NULL, NULL), 0);
    ck_assert_int_eq(user_do(&first, USER_WRITE, PAGE + 1, 33), 0);
    ck_assert_uint_eq(user_read(&second, 1), 33);
    user_end(&first);
    ck_assert_int_eq(map(fd, 0, 0, 4 * PAGE, true), 0);
    guest_write(PAGE + 1, 44, 1);
    ck_assert_uint_eq(user_read(&second, 1), 44);
    ck_assert_int_eq(unmap(0, 4 * PAGE), 0);
    ck_assert_uint_eq(shm_pool_stats_get(pool).nr_allocations, 1);
    ck_assert_int_eq(user_do(&second, USER_UNMAP, 0, 0), 0);
    ck_assert_int_eq(user_do(&second, USER_CLOSE, 0, 0), 0);
    loop_until(nothing_allocated, NULL);
    /* Its fd names nothing any more. */
    ck_assert_int_eq(map(fd, 0, 0, PAGE, true), -EACCES);
    close(fd);
    user_end(&second);
}
END_TEST

static bool pidfds_work(void)
{
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

START_TEST(child_of_a_fork)
{
    struct user user;
    uint64_t value = 0;
    int fd;

    user_start(&user, kinds[_i].how, kinds[_i].preload);
    fd = user_alloc(&user, 2 * PAGE);
    ck_assert_int_eq(user_do(&user, USER_WRITE, 3, 9), 0);
    ck_assert_int_eq(user_ask(&user, USER_FORK_READ, 3, 10, 0, -1, &value, NULL), 0);
    ck_assert_uint_eq(value, 9);
    ck_assert_uint_eq(user_read(&user, 3), 10);
    /* The parent ends and the child goes on, as daemons do. */
    ck_assert_int_eq(user_ask(&user, USER_FORK_ON, 0, 0, 0, -1, &value, NULL), 0);
    waitpid(user.pid, NULL, 0);
    user.pid = (pid_t)value;
    ck_assert_int_eq(user_do(&user, USER_WRITE, 3, 11), 0);
    ck_assert_int_eq(map(fd, 0, 0, 2 * PAGE, true), 0);
    ck_assert_uint_eq(guest_read(3, 1), 11);
    ck_assert_int_eq(unmap(0, 2 * PAGE), 0);
    ck_assert_uint_eq(shm_pool_stats_get(pool).nr_allocations, 1);
    /* Even when it closes what it does not know; unless we cannot see that it lives (valgrind knows no
     * pidfd_open). */
    if (!pidfds_work())
        goto out;
    ck_assert_int_eq(user_do(&user, USER_CLOSE_ALL, 0, 0), 0);
    ck_assert_int_eq(map(fd, 0, 0, 2 * PAGE, true), 0);
    ck_assert_uint_eq(guest_read(3, 1), 11);
    ck_assert_int_eq(unmap(0, 2 * PAGE), 0);
out:
    close(fd);
    user_end(&user);
    loop_until(nothing_allocated, NULL);
}
END_TEST

/* A program that forks before it has anything of ours, and ends. */
START_TEST(daemon_before_the_first_use)
{
    struct user user;
    uint64_t value = 0;
    int fd;

    user_start(&user, kinds[_i].how, kinds[_i].preload);
    ck_assert_int_eq(user_ask(&user, USER_FORK_ON, 0, 0, 0, -1, &value, NULL), 0);
    waitpid(user.pid, NULL, 0);
    user.pid = (pid_t)value;
    fd = user_alloc(&user, PAGE);
    close(fd);
    ck_assert_int_eq(user_do(&user, USER_UNMAP, 0, 0), 0);
    ck_assert_uint_eq(shm_pool_stats_get(pool).nr_allocations, 1);
    ck_assert_int_eq(user_do(&user, USER_CLOSE, 0, 0), 0);
    loop_until(nothing_allocated, NULL);
    user_end(&user);
}
END_TEST

/* What the child of a vfork closes, or puts another file on, is as it was in its parent, whose memory it runs
 * in.
 */
START_TEST(child_of_a_vfork)
{
    struct user user;
    uint64_t value = 0;

    user_start(&user, "plain", SHM_PRELOAD);
    close(user_alloc(&user, PAGE));
    ck_assert_int_eq(user_do(&user, USER_WRITE, 5, 55), 0);
    ck_assert_int_eq(user_do(&user, _i == 0 ? USER_VFORK_CLOSE : USER_VFORK_DUP, 0, 0), 0);
    ck_assert_int_eq(user_ask(&user, USER_PREAD, 5, 0, 0, -1, &value, NULL), 0);
    ck_assert_uint_eq(value, 55);
    ck_assert_int_eq(user_do(&user, USER_PWRITE, 5, 56), 0);
    ck_assert_uint_eq(user_read(&user, 5), 56);
    user_end(&user);
}
END_TEST

START_TEST(limits_and_refusals)
{
    struct user user;
    uint64_t shared = 1;
    int fd, second;

    user_start(&user, kinds[_i].how, kinds[_i].preload);
    fd = user_alloc(&user, LIMIT - PAGE);
    /* Beyond the limit it is ordinary memory, which works by traps. */
    ck_assert_int_eq(user_ask(&user, USER_ALLOC, 2 * PAGE, 0, 0, -1, &shared, &second), 0);
    ck_assert_int_eq((int)shared, 0);
    ck_assert_int_eq(user_do(&user, USER_WRITE, 1, 66), 0);
    ck_assert_int_eq(map(second, 0, 0, 2 * PAGE, true), 0);
    ck_assert(guest_traps(0));
    ck_assert_uint_eq(guest_read(1, 1), 66);
    ck_assert_int_eq(unmap(0, 2 * PAGE), 0);
    close(second);
    /* Nobody writes to the token itself by mistake, nor changes its size. */
    ck_assert(pwrite(fd, "x", 1, 0) < 0 && errno == EPERM);
    ck_assert(ftruncate(fd, (off_t)PAGE) < 0 && errno == EPERM);
    ck_assert(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    /* Out of its end. */
    ck_assert_int_eq(map(fd, LIMIT - PAGE, 0, PAGE, true), -ENXIO);
    close(fd);
    user_end(&user);
    loop_until(nothing_allocated, NULL);
}
END_TEST

/* What a program may do with its mapping when it does not know that it is one of ours. */
START_TEST(preloaded_mappings)
{
    struct user user;
    uint64_t value;
    int fd;

    user_start(&user, "plain", SHM_PRELOAD);
    fd = user_alloc(&user, 4 * PAGE);
    ck_assert_int_eq(user_do(&user, USER_WRITE, 3 * PAGE, 1), 0);
    ck_assert_int_eq(user_do(&user, USER_WRITE, PAGE, 2), 0);
    ck_assert_int_eq(user_do(&user, USER_PUNCH, PAGE, PAGE), 0);
    ck_assert_uint_eq(user_read(&user, PAGE), 0);
    ck_assert_uint_eq(user_read(&user, 3 * PAGE), 1);
    ck_assert_int_eq(user_do(&user, USER_PWRITE, 2 * PAGE + 1, 88), 0);
    ck_assert_uint_eq(user_read(&user, 2 * PAGE + 1), 88);
    ck_assert_int_eq(user_do(&user, USER_WRITE, 2 * PAGE + 1, 89), 0);
    ck_assert_int_eq(user_ask(&user, USER_PREAD, 2 * PAGE + 1, 0, 0, -1, &value, NULL), 0);
    ck_assert_uint_eq(value, 89);
    ck_assert_int_eq(user_do(&user, USER_PWRITE, 4 * PAGE, 1), -EPERM);
    ck_assert_int_eq(user_do(&user, USER_REMAP, 2 * PAGE, 0), 0);
    ck_assert_int_eq(user_do(&user, USER_REMAP, 4 * PAGE, 0), 0);
    ck_assert_uint_eq(user_read(&user, 3 * PAGE), 1);
    ck_assert_int_eq(user_do(&user, USER_TRUNCATE, 8 * PAGE, 0), -EPERM);
    ck_assert_int_eq(user_do(&user, USER_TRUNCATE, 4 * PAGE, 0), 0);
    /* In pieces: it is there until the last. */
    ck_assert_int_eq(user_do(&user, USER_UNMAP, PAGE, 2 * PAGE), 0);
    ck_assert_uint_eq(user_read(&user, 3 * PAGE), 1);
    ck_assert_int_eq(user_do(&user, USER_UNMAP, 0, PAGE), 0);
    ck_assert_int_eq(user_do(&user, USER_UNMAP, 3 * PAGE, PAGE), 0);
    /* A private mapping is the program's own. */
    ck_assert_int_eq(user_ask(&user, USER_MAP_PRIVATE, 0, 4 * PAGE, PROT_READ | PROT_WRITE, fd, &value, NULL),
                     0);
    ck_assert_uint_eq(user_read(&user, 3 * PAGE), 1);
    ck_assert_int_eq(user_do(&user, USER_WRITE, 3 * PAGE, 5), 0);
    ck_assert_int_eq(map(fd, 0, 0, 4 * PAGE, true), 0);
    ck_assert_uint_eq(guest_read(3 * PAGE, 1), 1);
    close(fd);
    user_end(&user);
}
END_TEST

/* Access that is given and taken later. */
START_TEST(preloaded_protection)
{
    struct user user;
    uint64_t value;
    int fd;

    user_start(&user, "plain", SHM_PRELOAD);
    fd = user_alloc(&user, 2 * PAGE);
    ck_assert_int_eq(user_do(&user, USER_WRITE, PAGE, 1), 0);
    /* A child has what its parent had. */
    ck_assert_int_eq(user_ask(&user, USER_MAP, 0, 2 * PAGE, PROT_NONE, fd, &value, NULL), 0);
    ck_assert_int_eq(user_do(&user, USER_PROTECT, PROT_READ | PROT_WRITE, 0), 0);
    ck_assert_int_eq(user_ask(&user, USER_FORK_READ, PAGE, 2, 0, -1, &value, NULL), 0);
    ck_assert_uint_eq(value, 1);
    ck_assert_uint_eq(user_read(&user, PAGE), 2);
    /* A private mapping stays private when it can be written to. */
    for (int prot = PROT_NONE; prot <= PROT_READ; prot += PROT_READ) {
        ck_assert_int_eq(user_ask(&user, USER_MAP_PRIVATE, 0, 2 * PAGE, (uint64_t)prot, fd, &value, NULL), 0);
        ck_assert_int_eq(user_do(&user, USER_PROTECT, PROT_READ | PROT_WRITE, 0), 0);
        ck_assert_uint_eq(user_read(&user, PAGE), 2);
        ck_assert_int_eq(user_do(&user, USER_WRITE, PAGE, 3), 0);
        ck_assert_uint_eq(user_read(&user, PAGE), 3);
        ck_assert_int_eq(map(fd, 0, 0, 2 * PAGE, true), 0);
        ck_assert_uint_eq(guest_read(PAGE, 1), 2);
        ck_assert_int_eq(unmap(0, 2 * PAGE), 0);
    }
    close(fd);
    user_end(&user);
}
END_TEST

/* A program that is linked with the library may be preloaded with it, too. */
START_TEST(linked_and_preloaded)
{
    struct user user;
    int fd;

    user_start(&user, "strict", SHM_PRELOAD);
    fd = user_alloc(&user, 2 * PAGE);
    ck_assert_int_eq(user_do(&user, USER_WRITE, PAGE, 1), 0);
    ck_assert_int_eq(map(fd, 0, 0, 2 * PAGE, true), 0);
    ck_assert_uint_eq(guest_read(PAGE, 1), 1);
    ck_assert_int_eq(unmap(0, 2 * PAGE), 0);
    close(fd);
    ck_assert_int_eq(user_do(&user, USER_UNMAP, 0, 0), 0);
    ck_assert_int_eq(user_do(&user, USER_CLOSE, 0, 0), 0);
    loop_until(nothing_allocated, NULL);
    user_end(&user);
}
END_TEST

/* Reads and writes by a copy of an fd. */
START_TEST(preloaded_copy)
{
    struct user user;
    uint64_t value;

    user_start(&user, "plain", SHM_PRELOAD);
    close(user_alloc(&user, PAGE));
    ck_assert_int_eq(user_do(&user, USER_WRITE, 5, 55), 0);
    ck_assert_int_eq(user_do(&user, USER_COPY, 0, 0), 0);
    ck_assert_int_eq(user_ask(&user, USER_PREAD, 5, 0, 0, -1, &value, NULL), 0);
    ck_assert_uint_eq(value, 55);
    ck_assert_int_eq(user_do(&user, USER_PWRITE, 5, 56), 0);
    ck_assert_uint_eq(user_read(&user, 5), 56);
    user_end(&user);
}
END_TEST

/* A length need not be one of whole pages. */
START_TEST(preloaded_lengths)
{
    struct user user;
    uint64_t value;
    int fd;

    user_start(&user, "plain", SHM_PRELOAD);
    fd = user_alloc(&user, 2 * PAGE);
    ck_assert_int_eq(user_ask(&user, USER_MAP, 0, 2 * PAGE - 100, PROT_READ, fd, &value, NULL), 0);
    ck_assert_int_eq(user_do(&user, USER_PROTECT, PROT_READ | PROT_WRITE, 0), 0);
    ck_assert_int_eq(user_do(&user, USER_WRITE, PAGE, 1), 0);
    ck_assert_int_eq(user_do(&user, USER_MAP_OVER, 0, 0), 0);
    ck_assert_uint_eq(user_read(&user, PAGE), 0);
    ck_assert_int_eq(map(fd, 0, 0, 2 * PAGE, true), 0);
    ck_assert_uint_eq(guest_read(PAGE, 1), 1);
    close(fd);
    user_end(&user);
}
END_TEST

/* Its malloc maps and unmaps by the functions that are preloaded, while these allocate. */
START_TEST(preloaded_malloc)
{
    struct user user;
    uint64_t value;
    int fd;

    user_program = SHM_USER_MALLOC;
    user_start(&user, "plain", SHM_PRELOAD);
    fd = user_alloc(&user, 2 * PAGE);
    ck_assert_int_eq(user_do(&user, USER_WRITE, PAGE, 1), 0);
    ck_assert_int_eq(map(fd, 0, 0, 2 * PAGE, true), 0);
    ck_assert_uint_eq(guest_read(PAGE, 1), 1);
    ck_assert_int_eq(unmap(0, 2 * PAGE), 0);
    close(fd);
    ck_assert_int_eq(user_ask(&user, USER_FORK_READ, PAGE, 2, 0, -1, &value, NULL), 0);
    ck_assert_uint_eq(value, 1);
    ck_assert_int_eq(user_do(&user, USER_UNMAP, 0, 0), 0);
    ck_assert_int_eq(user_do(&user, USER_CLOSE, 0, 0), 0);
    loop_until(nothing_allocated, NULL);
    user_end(&user);
}
END_TEST

/* Without a vhost-dm a program is as it would be without us. */
START_TEST(nobody_serves)
{
    struct user user;
    uint64_t shared = 1;
    int fd;

    if (_i == 2)
        ck_assert_int_eq(unsetenv("VHOST_DM_SHM"), 0);
    else
        ck_assert_int_eq(setenv("VHOST_DM_SHM", "/nonexistent/shm", 1), 0);
    user_start(&user, kinds[_i % 2].how, kinds[_i % 2].preload);
    ck_assert_int_eq(user_ask(&user, USER_ALLOC, 2 * PAGE, 0, 0, -1, &shared, &fd), 0);
    ck_assert_int_eq((int)shared, 0);
    ck_assert_int_eq(user_do(&user, USER_WRITE, PAGE, 77), 0);
    ck_assert_int_eq(map(fd, 0, 0, 2 * PAGE, true), 0);
    ck_assert_uint_eq(guest_read(PAGE, 1), 77);
    ck_assert_int_eq(user_do(&user, USER_TRUNCATE, PAGE, 0), 0);
    ck_assert_int_eq(user_do(&user, USER_UNMAP, 0, 0), 0);
    close(fd);
    user_end(&user);
}
END_TEST

/* A successor goes on with the uses of processes that live, and gives back those of others. */
START_TEST(server_again)
{
    struct user alive, dead;
    int fd;

    user_start(&alive, "lib", NULL);
    user_start(&dead, "lib", NULL);
    fd = user_alloc(&alive, 2 * PAGE);
    close(user_alloc(&dead, 3 * PAGE));
    ck_assert_int_eq(user_do(&alive, USER_WRITE, 1, 21), 0);
    ck_assert_uint_eq(shm_pool_stats_get(pool).bytes, 5 * PAGE);
    shm_server_free(server);
    user_end(&dead);
    ck_assert_int_eq(shm_server_new(&server, loop, pool, socket_path, "test"), 0);
    ck_assert_uint_eq(shm_pool_stats_get(pool).bytes, 5 * PAGE);
    close(fd);
    user_end(&alive);
}
END_TEST

START_TEST(sealed_memory_is_copied)
{
    int fd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    ck_assert_int_eq(ftruncate(fd, (off_t)(2 * PAGE)), 0);
    ck_assert_int_eq(pwrite(fd, "constant", 8, (off_t)PAGE), 8);
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE), 0);
    ck_assert_int_eq(map(fd, 0, 0, 2 * PAGE, false), 0);
    ck_assert(guest_traps(PAGE));
    ck_assert_int_eq(unmap(0, 2 * PAGE), 0);
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
    ck_assert_int_eq(map(fd, PAGE, 0, PAGE, false), 0);
    ck_assert(!guest_traps(0));
    ck_assert_uint_eq(guest_read(0, 1), 'c');
    guest_write(0, 'x', 1);
    ck_assert_uint_eq(guest_read(0, 1), 'c');
    ck_assert_uint_eq(guest.copied, PAGE);
    ck_assert_int_eq(unmap(0, PAGE), 0);
    ck_assert_uint_eq(guest.copied, 0);
    close(fd);
}
END_TEST

/* What is mapped while the guest sees none of it is not free of the limit. */
START_TEST(copies_have_a_limit)
{
    int fd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    ck_assert_int_eq(ftruncate(fd, (off_t)PAGE), 0);
    ck_assert_int_eq(pwrite(fd, "constant", 8, 0), 8);
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_WRITE), 0);
    guest.copied = GIB(1) - PAGE; /* by others */
    shmem_hide(shmem);
    ck_assert_int_eq(map(fd, 0, 0, PAGE, false), 0);
    ck_assert_int_eq(map(fd, 0, PAGE, PAGE, false), 0);
    ck_assert_int_eq(shmem_show(shmem, WINDOW), 0);
    ck_assert_uint_eq(guest.copied, GIB(1));
    ck_assert(!guest_traps(0));
    ck_assert(guest_traps(PAGE));
    ck_assert_uint_eq(guest_read(0, 1), 'c');
    ck_assert_uint_eq(guest_read(PAGE, 1), 'c');
    ck_assert_int_eq(unmap(0, PAGE), 0);
    ck_assert_int_eq(unmap(PAGE, PAGE), 0);
    ck_assert_uint_eq(guest.copied, GIB(1) - PAGE);
    guest.copied = 0;
    close(fd);
}
END_TEST

/* A hostile client. */
static int raw_connect(void)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", socket_path);
    ck_assert_int_eq(connect(sock, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    return sock;
}

static int raw_ask(int sock, const void *request, size_t len, int fd)
{
    struct shm_reply reply;
    bool readable = false;
    ev_io io;

    ck_assert_int_eq(fd_message_send(sock, request, len, fd, 0), 0);
    ev_io_init(&io, on_readable, sock, EV_READ);
    io.data = &readable;
    ev_io_start(loop, &io);
    loop_until(is_set, &readable);
    ev_io_stop(loop, &io);
    return recv(sock, &reply, sizeof(reply), 0) == sizeof(reply) ? reply.error : -EPIPE;
}

START_TEST(hostile_requests)
{
    struct shm_request q = {.version = SHM_PROTOCOL_VERSION, .op = SHM_ALLOCATE};
    int sock = raw_connect(), fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING), pipes[2];
    struct stat st;

    ck_assert_int_eq(pipe(pipes), 0);
    ck_assert_int_eq(stat(socket_path, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0600);
    ck_assert_int_eq(raw_ask(sock, &q, sizeof(q), -1), -EBADF);
    ck_assert_int_eq(raw_ask(sock, &q, sizeof(q), fd), -EINVAL); /* empty */
    ck_assert_int_eq(raw_ask(sock, &q, sizeof(q), pipes[0]), -EINVAL);
    ck_assert_int_eq(ftruncate(fd, 100), 0);
    ck_assert_int_eq(raw_ask(sock, &q, sizeof(q), fd), -EINVAL);
    ck_assert_int_eq(ftruncate(fd, (off_t)LIMIT * 2), 0);
    ck_assert_int_eq(raw_ask(sock, &q, sizeof(q), fd), -EDQUOT);
    ck_assert_int_eq(ftruncate(fd, INT64_MAX / (off_t)PAGE * (off_t)PAGE), 0);
    ck_assert_int_eq(raw_ask(sock, &q, sizeof(q), fd), -EDQUOT);
    ck_assert_int_eq(ftruncate(fd, (off_t)PAGE), 0);
    {
        void *writable = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        ck_assert_int_eq(raw_ask(sock, &q, sizeof(q), fd), -EBUSY);
        munmap(writable, PAGE);
    }
    q.op = SHM_OPEN;
    ck_assert_int_eq(raw_ask(sock, &q, sizeof(q), fd), -ENOENT);
    ck_assert_uint_eq(shm_pool_stats_get(pool).nr_allocations, 0);
    q.op = SHM_ALLOCATE;
    ck_assert_int_eq(raw_ask(sock, &q, sizeof(q), fd), 0);
    ck_assert_int_eq(raw_ask(sock, &q, sizeof(q), fd), -EEXIST);
    q.op = SHM_CLOSE;
    q.id = 12345;
    ck_assert_int_eq(raw_ask(sock, &q, sizeof(q), -1), -ENOENT);
    q.op = 77;
    ck_assert_int_eq(raw_ask(sock, &q, sizeof(q), -1), -EOPNOTSUPP);
    q.version = 2;
    ck_assert_int_eq(raw_ask(sock, &q, sizeof(q), -1), -EPROTONOSUPPORT);
    ck_assert_int_eq(raw_ask(sock, &q, 3, -1), -EPIPE);
    close(sock);
    close(fd);
    close(pipes[0]);
    close(pipes[1]);
}
END_TEST

/* More fds than belong to a message: none stays with us. */
START_TEST(fds_to_lose)
{
    struct shm_request q = {.version = SHM_PROTOCOL_VERSION, .op = SHM_ALLOCATE};
    int sock = raw_connect(), before = -1;

    for (unsigned nr = 1; nr <= 4; nr++) {
        union {
            struct cmsghdr align;
            char bytes[CMSG_SPACE(4 * sizeof(int))];
        } control = {.bytes = {0}};
        struct iovec iov = {&q, sizeof(q)};
        struct msghdr msg = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = CMSG_SPACE(nr * sizeof(int))};
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
        struct shm_reply reply;
        bool readable = false;
        ev_io io;

        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(nr * sizeof(int));
        for (unsigned i = 0; i < nr; i++)
            memcpy(CMSG_DATA(cmsg) + i * sizeof(int), &(int){STDIN_FILENO}, sizeof(int));
        if (nr > 1)
            sock = raw_connect();
        ck_assert_int_eq(sendmsg(sock, &msg, MSG_NOSIGNAL), sizeof(q));
        ev_io_init(&io, on_readable, sock, EV_READ);
        io.data = &readable;
        ev_io_start(loop, &io);
        loop_until(is_set, &readable);
        ev_io_stop(loop, &io);
        ck_assert(nr == 1 || recv(sock, &reply, sizeof(reply), 0) <= 0);
        close(sock);
        loop_until(nobody_there, NULL);
        if (nr == 1)
            before = fds_count();
        ck_assert_int_eq(fds_count(), before);
    }
}
END_TEST

/* A file that another thread of its owner makes larger while it becomes a token. */
static struct hypervisor_ops ops_changed;
static struct hypervisor_page_ops page_ops_changed;
static int changing;
static off_t changed_len;

static int (*local_page_populate)(struct hypervisor *hv, uint64_t page, uint64_t nr_pages);

static int populate_and_change(struct hypervisor *h, uint64_t page, uint64_t nr_pages)
{
    int rc = local_page_populate(h, page, nr_pages);

    ck_assert_int_eq(ftruncate(changing, changed_len), 0);
    return rc;
}

START_TEST(a_token_that_grows)
{
    struct shm_request q = {.version = SHM_PROTOCOL_VERSION, .op = SHM_ALLOCATE};
    const struct hypervisor_ops *ops = hv->ops;
    int sock = raw_connect();

    page_ops_changed = *ops->pages;
    local_page_populate = page_ops_changed.shared_populate;
    page_ops_changed.shared_populate = populate_and_change;
    ops_changed = *ops;
    ops_changed.pages = &page_ops_changed;
    for (unsigned i = 0; i < 2; i++) {
        changing = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        changed_len = (off_t)(i == 0 ? 8 * PAGE : PAGE);
        ck_assert_int_eq(ftruncate(changing, (off_t)(2 * PAGE)), 0);
        hv->ops = &ops_changed;
        ck_assert_int_eq(raw_ask(sock, &q, sizeof(q), changing), -EBUSY);
        hv->ops = ops;
        ck_assert_uint_eq(shm_pool_stats_get(pool).nr_allocations, 0);
        close(changing);
    }
    close(sock);
}
END_TEST

/* Calls that place or remove shared pages, and the page of the guest at which placing fails; 0: none. */
static struct hypervisor_page_ops page_ops_counted;
static const struct hypervisor_page_ops *local_page_ops;
static unsigned nr_places, nr_removes;
static uint64_t unplaceable;

static int count_place(struct hypervisor *h, uint64_t page, uint64_t nr_pages, uint64_t gpa)
{
    nr_places++;
    if (unplaceable >= gpa && unplaceable < gpa + nr_pages * PAGE)
        return -ENOMEM;
    return local_page_ops->shared_place(h, page, nr_pages, gpa);
}

static void count_remove(struct hypervisor *h, uint64_t nr_pages, uint64_t gpa)
{
    nr_removes++;
    local_page_ops->shared_remove(h, nr_pages, gpa);
}

/* The page of the allocation that the guest has at each page of the region; 0: none. */
static void runs_check(const uint8_t *pages, size_t nr)
{
    for (size_t i = 0; i < nr; i++) {
        ck_assert_uint_eq(guest_read(i * PAGE, 1), pages[i] ? pages[i] : 0xff);
        ck_assert(guest_traps(i * PAGE) == (pages[i] == 0 || WINDOW + i * PAGE == unplaceable));
    }
}

/* However many mappings there are, a window that comes and goes takes a few calls. */
START_TEST(mappings_in_runs)
{
    uint8_t pages[96];
    const struct hypervisor_ops *ops = hv->ops;
    struct user user;
    int fd;

    local_page_ops = ops->pages;
    page_ops_counted = *local_page_ops;
    page_ops_counted.shared_place = count_place;
    page_ops_counted.shared_remove = count_remove;
    ops_changed = *ops;
    ops_changed.pages = &page_ops_counted;
    hv->ops = &ops_changed;
    user_start(&user, "lib", NULL);
    fd = user_alloc(&user, 64 * PAGE);
    for (unsigned i = 0; i < 64; i++)
        ck_assert_int_eq(user_do(&user, USER_WRITE, i * PAGE, i + 1), 0);
    /* Three runs: 1 to 64 in their order, a gap, 1 to 16, and 64 to 50, each of which is a run by itself. */
    for (unsigned i = 0; i < 96; i++) {
        pages[i] = (uint8_t)(i < 64 ? i + 1 : i == 64 ? 0 : i < 81 ? i - 64 : 64 - (i - 81));
        if (pages[i] != 0)
            ck_assert_int_eq(map(fd, (pages[i] - 1u) * PAGE, i * PAGE, PAGE, true), 0);
    }
    runs_check(pages, 96);
    ck_assert_int_eq(unmap(10 * PAGE, PAGE), 0);
    pages[10] = 0;
    nr_places = nr_removes = 0;
    shmem_hide(shmem);
    ck_assert_uint_eq(nr_removes, 3 + 15);
    ck_assert_int_eq(shmem_show(shmem, WINDOW), 0);
    ck_assert_uint_eq(nr_places, 3 + 15);
    runs_check(pages, 96);
    /* A run that cannot be placed as one is placed but for what it fails at; that traps. */
    shmem_hide(shmem);
    unplaceable = WINDOW + 20 * PAGE;
    ck_assert_int_eq(shmem_show(shmem, WINDOW), 0);
    runs_check(pages, 96);
    ck_assert_uint_eq(shmem_placed_get(shmem, 0, PLACEMENT_TRAP).nr_mappings, 1);
    /* One of the middle goes, then all do. */
    ck_assert_int_eq(unmap(30 * PAGE, PAGE), 0);
    pages[30] = 0;
    runs_check(pages, 96);
    nr_removes = 0;
    shmem_unmap_all(shmem);
    ck_assert_uint_lt(nr_removes, 6 + 15);
    unplaceable = 0;
    memset(pages, 0, sizeof(pages));
    runs_check(pages, 96);
    hv->ops = ops;
    close(fd);
    user_end(&user);
}
END_TEST

/* One that never reads replies. */
START_TEST(silent_client)
{
    const struct shm_request q = {.version = SHM_PROTOCOL_VERSION, .op = SHM_CLOSE, .id = 1};
    struct user user;
    int sock = raw_connect();

    for (int i = 0; i < 10000; i++) {
        if (send(sock, &q, sizeof(q), MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof(q) && errno != EAGAIN)
            break;
        ev_run(loop, EVRUN_NOWAIT);
    }
    ck_assert_int_eq((int)send(sock, &q, sizeof(q), MSG_DONTWAIT | MSG_NOSIGNAL), -1);
    ck_assert_int_eq(errno, EPIPE);
    user_start(&user, "lib", NULL);
    close(user_alloc(&user, PAGE));
    user_end(&user);
    close(sock);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shm");
    TCase *tc = tcase_create("shm");

    tcase_set_timeout(tc, 2 * SECONDS);
    tcase_add_checked_fixture(tc, rig_start, rig_stop);
    tcase_add_loop_test(tc, guest_and_program_share, 0, 2);
    tcase_add_loop_test(tc, memory_outlives_its_program, 0, 2);
    tcase_add_loop_test(tc, two_programs, 0, 2);
    tcase_add_loop_test(tc, child_of_a_fork, 0, 2);
    tcase_add_loop_test(tc, daemon_before_the_first_use, 0, 2);
    tcase_add_loop_test(tc, child_of_a_vfork, 0, 2);
    tcase_add_loop_test(tc, limits_and_refusals, 0, 2);
    tcase_add_test(tc, preloaded_mappings);
    tcase_add_test(tc, preloaded_protection);
    tcase_add_test(tc, linked_and_preloaded);
    tcase_add_test(tc, preloaded_copy);
    tcase_add_test(tc, preloaded_lengths);
    tcase_add_test(tc, preloaded_malloc);
    tcase_add_loop_test(tc, nobody_serves, 0, 4);
    tcase_add_test(tc, server_again);
    tcase_add_test(tc, sealed_memory_is_copied);
    tcase_add_test(tc, copies_have_a_limit);
    tcase_add_test(tc, hostile_requests);
    tcase_add_test(tc, fds_to_lose);
    tcase_add_test(tc, a_token_that_grows);
    tcase_add_test(tc, mappings_in_runs);
    tcase_add_test(tc, silent_client);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
