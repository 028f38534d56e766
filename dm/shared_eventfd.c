// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * shared_eventfd.c - see shared_eventfd.h. No system call writes to an eventfd without the risk of waiting,
 * so a signal ends the wait. The timer is set by the first use after it has fired, and not by each: most uses
 * cost nothing. Firing, it only notes which use is under way; the same one still there the next time is left
 * by a jump.
 */
#include "dm/shared_eventfd.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CHECK_SECONDS 1 /* a use that lasts has between one and two of these */

static sigjmp_buf use_exit;
static volatile sig_atomic_t in_use, use_nr, seen_nr, timer_runs;
static timer_t timer;
static bool timer_made;

static void timer_start(void)
{
    static const struct itimerspec once = {.it_value.tv_sec = CHECK_SECONDS};

    timer_runs = timer_settime(timer, 0, &once, NULL) == 0;
}

static void on_timer(int signum)
{
    int saved = errno;

    (void)signum;
    timer_runs = 0;
    if (in_use && seen_nr == use_nr)
        siglongjmp(use_exit, 1);
    seen_nr = use_nr;
    if (in_use)
        timer_start();
    errno = saved;
}

static void timer_make(void)
{
    /* SA_NODEFER: the jump out of the handler leaves the signal mask as it was. */
    struct sigaction action = {.sa_handler = on_timer, .sa_flags = SA_RESTART | SA_NODEFER};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN};

    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    timer_made =
        sigaction(SIGRTMIN, &action, NULL) == 0 && timer_create(CLOCK_MONOTONIC, &event, &timer) == 0;
}

static void use_begin(void)
{
    if (!timer_made)
        timer_make();
    use_nr = (use_nr + 1) & 0xffff;
    in_use = 1;
    if (!timer_runs && timer_made)
        timer_start();
}

static int use_result(ssize_t n)
{
    return n >= 0 || errno == EAGAIN ? 0 : -errno;
}

int shared_eventfd_signal(int fd)
{
    const uint64_t one = 1;
    int rc;

    if (sigsetjmp(use_exit, 0) != 0) {
        in_use = 0;
        return -ETIMEDOUT;
    }
    use_begin();
    rc = use_result(write(fd, &one, sizeof(one)));
    in_use = 0;
    return rc;
}

int shared_eventfd_clear(int fd)
{
    uint64_t count;
    int rc;

    if (sigsetjmp(use_exit, 0) != 0) {
        in_use = 0;
        return -ETIMEDOUT;
    }
    use_begin();
    rc = use_result(read(fd, &count, sizeof(count)));
    in_use = 0;
    return rc;
}
