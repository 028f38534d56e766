// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * streamtool.c - a stream to another program, in a guest and in dom0.
 *
 *   streamtool send ADDRESS [LINE]         standard input, then waits until the other side ends
 *   streamtool receive ADDRESS LEN         LEN bytes to standard output, then ends
 *   streamtool packets ADDRESS NUMBER      so many UDP packets to a tcp: address
 *
 * An ADDRESS is vsock:CID:PORT, tcp:IP:PORT or unix:PATH to connect to, or vsock-listen:PORT, tcp-listen:PORT
 * or unix-listen:PATH, where one connection is taken. A LINE is said first, and must be answered by a line
 * that begins with OK, as vhost-device-vsock has it. Who receives does not end its own direction, which some
 * take for the end of both. Linked statically.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

static int die(const char *what)
{
    fprintf(stderr, "streamtool: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void write_all(int fd, const char *buf, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, buf, len);

        if (n < 0)
            die("write");
        buf += n;
        len -= (size_t)n;
    }
}

union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_vm vm;
    struct sockaddr_un un;
};

/* True: to be listened at. */
static bool address_parse(const char *text, union address *a, socklen_t *len)
{
    char host[64] = "";
    bool listening = strstr(text, "-listen:") != NULL;
    const char *rest = strchr(text, ':'), *port;

    memset(a, 0, sizeof(*a));
    if (rest == NULL)
        exit(2);
    port = strrchr(++rest, ':') != NULL ? strrchr(rest, ':') + 1 : rest;
    snprintf(host, sizeof(host), "%.*s", port > rest ? (int)(port - rest - 1) : 0, rest);
    if (strncmp(text, "vsock", 5) == 0) {
        *len = sizeof(a->vm);
        a->vm.svm_family = AF_VSOCK;
        a->vm.svm_cid = listening ? VMADDR_CID_ANY : (unsigned)strtoul(host, NULL, 10);
        a->vm.svm_port = (unsigned)strtoul(port, NULL, 10);
    } else if (strncmp(text, "tcp", 3) == 0) {
        *len = sizeof(a->in);
        a->in.sin_family = AF_INET;
        a->in.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
        if (!listening && inet_pton(AF_INET, host, &a->in.sin_addr) != 1)
            exit(2);
    } else {
        *len = sizeof(a->un);
        a->un.sun_family = AF_UNIX;
        snprintf(a->un.sun_path, sizeof(a->un.sun_path), "%s", rest);
    }
    return listening;
}

static void packets_send(const char *text, unsigned long nr)
{
    static const char packet[1000];
    union address a;
    socklen_t len;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    address_parse(text, &a, &len);
    if (fd < 0 || connect(fd, &a.any, len) != 0)
        die(text);
    /* Nobody need be there. */
    while (nr-- > 0)
        if (send(fd, packet, sizeof(packet), 0) < 0 && errno != ECONNREFUSED)
            die("send");
}

static int stream_open(const char *text)
{
    union address a;
    socklen_t len;
    bool listening = address_parse(text, &a, &len);
    int fd = socket(a.any.sa_family, SOCK_STREAM, 0), peer, yes = 1;

    if (fd < 0)
        die("socket");
    if (!listening) {
        if (connect(fd, &a.any, len) != 0)
            die(text);
        return fd;
    }
    if (a.any.sa_family == AF_INET) /* or the port of the last case is not free yet */
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (bind(fd, &a.any, len) != 0 || listen(fd, 1) != 0)
        die(text);
    fprintf(stderr, "streamtool: listening\n");
    peer = accept(fd, NULL, NULL);
    if (peer < 0)
        die("accept");
    close(fd);
    return peer;
}

static void introduce(int fd, const char *line)
{
    char answer[64];
    size_t n = 0;

    /* In one piece: vhost-device-vsock does not wait for the rest of a line. */
    snprintf(answer, sizeof(answer), "%s\n", line);
    write_all(fd, answer, strlen(answer));
    while (n + 1 < sizeof(answer) && (n == 0 || answer[n - 1] != '\n')) {
        if (read(fd, answer + n, 1) != 1)
            die("no answer to the introduction");
        n++;
    }
    if (strncmp(answer, "OK", 2) != 0) {
        fprintf(stderr, "streamtool: the answer is not OK\n");
        exit(1);
    }
}

/* At most len bytes; how many there were before the end. */
static size_t copy(int from, int to, size_t len)
{
    static char buf[65536];
    size_t done = 0;
    ssize_t n = 1;

    while (done < len && n > 0) {
        n = read(from, buf, len - done < sizeof(buf) ? len - done : sizeof(buf));
        if (n < 0)
            die("read");
        write_all(to, buf, (size_t)n);
        done += (size_t)n;
    }
    return done;
}

int main(int argc, char **argv)
{
    char byte;
    int fd;

    if (argc < 3)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    if (strcmp(argv[1], "packets") == 0) {
        packets_send(argv[2], argc > 3 ? strtoul(argv[3], NULL, 10) : 0);
        return 0;
    }
    fd = stream_open(argv[2]);
    if (strcmp(argv[1], "receive") == 0) {
        size_t len = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;

        return copy(fd, STDOUT_FILENO, len) == len ? 0 : 1;
    }
    if (argc > 3)
        introduce(fd, argv[3]);
    copy(STDIN_FILENO, fd, SIZE_MAX);
    /* It has all of it when it ends, in whatever way. */
    while (read(fd, &byte, 1) > 0)
        ;
    return 0;
}
