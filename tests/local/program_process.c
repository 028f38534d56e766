// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * program_process.c - see program_process.h.
 */
#include "tests/local/program_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

bool program_is_installed(const char *name)
{
    const char *path = getenv("PATH");
    char file[4096];

    if (strchr(name, '/') != NULL)
        return access(name, X_OK) == 0;
    while (path != NULL && *path != '\0') {
        size_t len = strcspn(path, ":");

        snprintf(file, sizeof(file), "%.*s/%s", (int)len, path, name);
        if (access(file, X_OK) == 0)
            return true;
        path += len + (path[len] == ':');
    }
    return false;
}

int program_start(struct program *p, const char *const *argv)
{
    int pipes[2], err;

    *p = (struct program){.out_fd = -1, .said = calloc(1, 1)};
    if (p->said == NULL || pipe2(pipes, O_CLOEXEC) < 0)
        return p->said == NULL ? -ENOMEM : -errno;
    p->pid = fork();
    if (p->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(pipes[1], STDOUT_FILENO);
        dup2(pipes[1], STDERR_FILENO);
        execvp(argv[0], (char *const *)argv);
        perror(argv[0]);
        _exit(127);
    }
    err = p->pid < 0 ? -errno : 0;
    close(pipes[1]);
    if (err < 0) {
        p->pid = 0;
        close(pipes[0]);
        return err;
    }
    p->out_fd = pipes[0];
    fcntl(p->out_fd, F_SETFL, O_NONBLOCK);
    return 0;
}

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Takes what it says next. False: nothing until the deadline, or it says nothing any more. */
static bool said_more(struct program *p, double deadline)
{
    struct pollfd wait = {.fd = p->out_fd, .events = POLLIN};
    double left = deadline - now();
    char buf[4096], *said;
    ssize_t n;

    if (p->out_fd < 0 || poll(&wait, 1, left > 0 ? (int)(left * 1000) + 1 : 0) <= 0)
        return false;
    n = read(p->out_fd, buf, sizeof(buf));
    said = n > 0 ? realloc(p->said, p->len + (size_t)n + 1) : NULL;
    if (said == NULL) {
        close(p->out_fd);
        p->out_fd = -1;
        return false;
    }
    memcpy(said + p->len, buf, (size_t)n);
    p->said = said;
    p->len += (size_t)n;
    p->said[p->len] = '\0';
    return true;
}

bool program_expect(struct program *p, const char *text, double seconds)
{
    double deadline = now() + seconds;

    for (;;) {
        const char *found = strstr(p->said + p->looked, text);

        if (found != NULL) {
            p->looked = (size_t)(found - p->said) + strlen(text);
            return true;
        }
        if (!said_more(p, deadline))
            return false;
    }
}

int program_wait(struct program *p, double seconds)
{
    double deadline = now() + seconds;
    int status;

    /* The end of what it says is the end of it: nobody else has the pipe. */
    while (said_more(p, deadline))
        ;
    if (p->pid == 0 || p->out_fd >= 0 || waitpid(p->pid, &status, 0) != p->pid)
        return -1;
    p->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void program_end(struct program *p)
{
    if (p->said == NULL)
        return;
    if (p->pid != 0) {
        kill(p->pid, SIGKILL);
        waitpid(p->pid, NULL, 0);
    }
    if (p->out_fd >= 0)
        close(p->out_fd);
    free(p->said);
    *p = (struct program){0};
}
