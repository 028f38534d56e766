// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * saved_state.c - see saved_state.h.
 *
 * The file: a directory of fixed size - a header, then one entry for each area - and from
 * STATE_DATA_START on the areas themselves. The directory is read once, at opening, checked as a whole and
 * kept in our memory; later it is only written, an entry at a time and with one pwrite(2), so that being
 * killed leaves an area either there or not. The areas are mapped, all together and with room to grow, so
 * that none ever moves: the mapping reaches beyond the end of the file, and is inaccessible where the file
 * has no blocks yet. (On a full tmpfs the first write to a hole would be a SIGBUS.)
 *
 * What is not exactly as we would have written it - a checksum, an area out of the file, two that overlap -
 * makes us begin with an empty file: no state is better than a false one. Only a file that is not ours at all
 * is refused, because a mistyped path must not cost the administrator that file.
 *
 * A confined vhost-dm that somebody has taken over can have given the descriptor of its file to others. Who
 * has it could cut the file, which makes each access to the mapping a SIGBUS, or write what was checked
 * already. So no process goes on with its predecessor's file: it reads that, once, into a file of
 * its own, and renames that one over it. Nobody else maps either: others look with read(2).
 *
 * The lock is a flock(2) on the file: it ends with the process, however that ends. Since a file that is being
 * removed can still be opened, whoever gets the lock makes sure that the path leads to what was locked.
 */
#include "common/saved_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "common/log.h"
#include "common/util.h"

#define STATE_MAGIC       "vhostdm\x1a" /* 8 bytes without the NUL */
#define STATE_FORMAT      1
#define STATE_PROGRAM_LEN 32
#define STATE_AREAS       510
#define STATE_DATA_START  KIB(64) /* a multiple of every page size */
#define STATE_DATA_LEN    MIB(64) /* of address space; the file has what its areas need */
#define STATE_AREA_ALIGN  64
#define STATE_NEW_SUFFIX  ".new"
#define STATE_OPEN_TRIES  16 /* files that were removed between our open and our lock */

/* As they are in the file, in the byte order of this machine, which is the only one to read them. */
struct state_header {
    uint8_t magic[8];
    uint32_t format;
    int32_t holder; /* pid; for people, and not part of the sum */
    uint8_t identity[SAVED_STATE_IDENTITY_LEN];
    char program[STATE_PROGRAM_LEN]; /* version; filled up with NULs */
    uint8_t reserved[56];            /* 0 */
    uint64_t sum;
} __attribute__((packed));
_Static_assert(sizeof(struct state_header) == 128, "the size of the header is part of the format");

/* All zeros if it is free. */
struct state_entry {
    char name[SAVED_STATE_NAME_LEN]; /* filled up with NULs */
    uint64_t offset;                 /* bytes from STATE_DATA_START */
    uint64_t len;                    /* bytes, as asked for */
    uint64_t reserved;               /* 0 */
    uint64_t sum;
} __attribute__((packed));
_Static_assert(sizeof(struct state_entry) == 64, "the size of an entry is part of the format");
_Static_assert(sizeof(struct state_header) + STATE_AREAS * sizeof(struct state_entry) <= STATE_DATA_START,
               "the directory has a fixed place");
_Static_assert(sizeof(PACKAGE_VERSION) <= STATE_PROGRAM_LEN, "the version fits into the header");

/* An area, and the room that it takes. Without a name it is one that was given up for another length while
 * its old memory was in use: its room is not given to another. */
struct area {
    char name[SAVED_STATE_NAME_LEN];
    uint64_t offset, len; /* len 0: free */
    bool in_use;          /* handed out by this process */
};

struct saved_state {
    int fd;        /* -1: memory of this process only */
    char *path;    /* NULL without a file */
    uint8_t *data; /* STATE_DATA_LEN bytes of address space, of which the first `backed` are accessible */
    uint64_t backed;
    struct area areas[STATE_AREAS];
};

/* ---- small things ------------------------------------------------------------------------------------ */

/* FNV-1a: it finds accidents, which is all that is asked of it. */
static uint64_t sum_of(uint64_t sum, const void *data, size_t len)
{
    const uint8_t *bytes = data;

    for (size_t i = 0; i < len; i++)
        sum = (sum ^ bytes[i]) * 0x100000001b3;
    return sum;
}

#define SUM_START 0xcbf29ce484222325

static uint64_t header_sum(const struct state_header *header)
{
    struct state_header copy = *header;

    copy.holder = 0;
    copy.sum = 0;
    return sum_of(SUM_START, &copy, sizeof(copy));
}

/* The place of the entry is summed as well: a copy of it elsewhere is not valid. */
static uint64_t entry_sum(const struct state_entry *entry, unsigned index)
{
    uint64_t place = index;

    return sum_of(sum_of(SUM_START, &place, sizeof(place)), entry, offsetof(struct state_entry, sum));
}

static bool is_zero(const void *data, size_t len)
{
    const uint8_t *bytes = data;

    for (size_t i = 0; i < len; i++)
        if (bytes[i])
            return false;
    return true;
}

static uint64_t page_size(void)
{
    return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* What an area of that length takes; len is at most STATE_DATA_LEN. */
static uint64_t area_room(uint64_t len)
{
    return align_up(len, STATE_AREA_ALIGN);
}

/* The bytes that were read, fewer than len only at the end of the file; or a negative errno. */
static ssize_t read_at(int fd, void *data, size_t len, off_t offset)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = pread(fd, (char *)data + done, len - done, offset + (off_t)done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

/* A regular file takes a few bytes whole, or there is no room. */
static int write_at(int fd, const void *data, size_t len, off_t offset)
{
    ssize_t n;

    do
        n = pwrite(fd, data, len, offset);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    return (size_t)n == len ? 0 : -ENOSPC;
}

/* ---- the directory ----------------------------------------------------------------------------------- */

static void header_fill(struct state_header *header, const uint8_t identity[SAVED_STATE_IDENTITY_LEN])
{
    memset(header, 0, sizeof(*header));
    memcpy(header->magic, STATE_MAGIC, sizeof(header->magic));
    header->format = STATE_FORMAT;
    memcpy(header->identity, identity, SAVED_STATE_IDENTITY_LEN);
    memcpy(header->program, PACKAGE_VERSION, sizeof(PACKAGE_VERSION));
    header->sum = header_sum(header);
    header->holder = (int32_t)getpid();
}

static off_t entry_offset(unsigned index)
{
    return (off_t)(sizeof(struct state_header) + index * sizeof(struct state_entry));
}

/* Writes the entry of one area: what the next process will find. */
static int entry_write(const struct saved_state *state, unsigned index)
{
    const struct area *area = &state->areas[index];
    struct state_entry entry;

    if (state->fd < 0)
        return 0;
    memset(&entry, 0, sizeof(entry));
    if (area->name[0]) {
        memcpy(entry.name, area->name, sizeof(entry.name));
        entry.offset = area->offset;
        entry.len = area->len;
        entry.sum = entry_sum(&entry, index);
    }
    return write_at(state->fd, &entry, sizeof(entry), entry_offset(index));
}

/* Whether the entry is one that we can have written; free ones leave the area as it is, all zeros. */
static bool entry_read(const struct state_entry *entry, unsigned index, struct area *area)
{
    size_t name_len = strnlen(entry->name, sizeof(entry->name));

    if (is_zero(entry, sizeof(*entry)))
        return true;
    if (entry->sum != entry_sum(entry, index) || entry->reserved != 0)
        return false;
    if (name_len == 0 || name_len == sizeof(entry->name) ||
        !is_zero(entry->name + name_len, sizeof(entry->name) - name_len))
        return false;
    if (entry->len == 0 || entry->offset % STATE_AREA_ALIGN ||
        !range_within(entry->offset, entry->len, STATE_DATA_LEN))
        return false;
    memcpy(area->name, entry->name, sizeof(area->name));
    area->offset = entry->offset;
    area->len = entry->len;
    return true;
}

static bool areas_conflict(const struct area *a, const struct area *b)
{
    if (a->len == 0 || b->len == 0)
        return false;
    if (strcmp(a->name, b->name) == 0)
        return true;
    return a->offset < b->offset + area_room(b->len) && b->offset < a->offset + area_room(a->len);
}

/* Reads the areas of a file that has `size` bytes. Whether all is as it should be; if not, the areas are to
 * be forgotten. */
static bool directory_read(struct saved_state *state, uint64_t size)
{
    struct state_entry entries[STATE_AREAS];

    if (read_at(state->fd, entries, sizeof(entries), entry_offset(0)) != (ssize_t)sizeof(entries))
        return false;
    for (unsigned i = 0; i < STATE_AREAS; i++) {
        struct area *area = &state->areas[i];

        if (!entry_read(&entries[i], i, area))
            return false;
        if (area->len && !range_within(STATE_DATA_START + area->offset, area->len, size))
            return false;
        for (unsigned k = 0; k < i; k++)
            if (areas_conflict(&state->areas[k], area))
                return false;
    }
    return true;
}

/* Makes the first `len` bytes of data usable: in the file, with blocks behind all of them, and in the
 * mapping. */
static int data_back(struct saved_state *state, uint64_t len)
{
    uint64_t want = align_up(len, page_size());
    int err = 0;

    if (want > STATE_DATA_LEN)
        return -ENOSPC;
    if (want <= state->backed)
        return 0;
    if (state->fd >= 0) {
        do
            err = posix_fallocate(state->fd, (off_t)(STATE_DATA_START + state->backed),
                                  (off_t)(want - state->backed));
        while (err == EINTR);
    }
    if (err)
        return -err;
    if (mprotect(state->data + state->backed, want - state->backed, PROT_READ | PROT_WRITE) < 0)
        return -errno;
    state->backed = want;
    return 0;
}

/* An empty state in the open file, whatever was there. */
static int file_format(struct saved_state *state, const struct state_header *header)
{
    int ret;

    memset(state->areas, 0, sizeof(state->areas));
    if (ftruncate(state->fd, 0) < 0)
        return -errno;
    /* The header comes last: if we are killed before, there are only zeros, and file_is_ours. */
    do
        ret = -posix_fallocate(state->fd, 0, (off_t)STATE_DATA_START);
    while (ret == -EINTR);
    return ret < 0 ? ret : write_at(state->fd, header, sizeof(*header), 0);
}

/* Whether a file of `size` bytes is a saved state, or what is left of one, or empty; n bytes of its header
 * were read. A few zeros are not enough: images of disks begin with zeros. */
static bool file_is_ours(const struct state_header *have, size_t n, uint64_t size)
{
    if (memcmp(have->magic, STATE_MAGIC, MIN(n, sizeof(have->magic))) == 0)
        return true;
    return size <= STATE_DATA_START && is_zero(have, n);
}

/* ---- the file ---------------------------------------------------------------------------------------- */

/* The folder of the path, if it is not there; that of an absolute path into the root always is. */
static int folder_make(const char *path)
{
    const char *slash = strrchr(path, '/');
    int ret = 0;

    if (!slash || slash == path)
        return 0;
    char *folder = strndup(path, (size_t)(slash - path));
    if (!folder)
        return -ENOMEM;
    if (mkdir(folder, 0700) < 0 && errno != EEXIST)
        ret = -errno;
    free(folder);
    return ret;
}

/* The pid in a file that another process has locked, or 0. */
static int holder_read(int fd)
{
    struct state_header header;

    if (read_at(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
        memcmp(header.magic, STATE_MAGIC, sizeof(header.magic)) != 0 || header.sum != header_sum(&header))
        return 0;
    return MAX(header.holder, 0);
}

/* We write into this file with our privileges: it must be a file, and nobody else's. */
static int file_check(const struct stat *st)
{
    if (!S_ISREG(st->st_mode))
        return -EINVAL;
    if (st->st_uid != geteuid() || st->st_nlink != 1)
        return -EPERM;
    return 0;
}

/* Opens and locks. The descriptor; -EAGAIN: the file was removed meanwhile, try again; or an errno. */
static int file_lock(const char *path, int *holder)
{
    struct stat st, now;
    int ret = 0;

    /* O_NONBLOCK: to be refused, a FIFO must not make us wait. */
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        ret = errno == EWOULDBLOCK ? -EBUSY : -errno;
        if (ret == -EBUSY)
            *holder = holder_read(fd);
    } else if (fstat(fd, &st) < 0) {
        ret = -errno;
    } else if (lstat(path, &now) < 0) {
        ret = errno == ENOENT ? -EAGAIN : -errno;
    } else if (st.st_dev != now.st_dev || st.st_ino != now.st_ino) {
        ret = -EAGAIN;
    } else {
        ret = file_check(&st);
    }
    if (ret == 0 && fchmod(fd, 0600) < 0)
        ret = -errno;
    if (ret == 0)
        return fd;
    close(fd);
    return ret;
}

static int file_open(struct saved_state *state, const char *path, int *holder)
{
    int ret = folder_make(path);

    if (ret < 0)
        return ret;
    ret = -EAGAIN;
    for (unsigned i = 0; i < STATE_OPEN_TRIES && ret == -EAGAIN; i++)
        ret = file_lock(path, holder);
    if (ret < 0)
        return ret;
    state->fd = ret;
    state->path = strdup(path);
    return state->path ? 0 : -ENOMEM;
}

/* ---- the file becomes ours --------------------------------------------------------------------------- */

/* All the address space at once; data_back makes it accessible as the file grows. */
static int data_map(struct saved_state *state)
{
    int flags = state->fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED;

    state->data =
        mmap(NULL, STATE_DATA_LEN, PROT_NONE, flags, state->fd, state->fd < 0 ? 0 : (off_t)STATE_DATA_START);
    return state->data == MAP_FAILED ? -errno : 0;
}

/* A new file beside the path, locked. The descriptor or an errno. What a killed process left there goes: only
 * who has the file at the path locked comes here. */
static int fresh_open(const char *new_path)
{
    int ret = 0;

    if (unlink(new_path) < 0 && errno != ENOENT)
        return -errno;
    int fd = open(new_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    if (fchmod(fd, 0600) < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
        ret = -errno;
    if (ret == 0)
        return fd;
    close(fd);
    unlink(new_path);
    return ret;
}

/* What is in a file, as far as a state can reach. *image is the caller's; the bytes, or an errno. */
static ssize_t image_read(int fd, uint8_t **image)
{
    struct stat st;

    *image = NULL;
    if (fstat(fd, &st) < 0)
        return -errno;
    uint64_t len = MIN((uint64_t)st.st_size, STATE_DATA_START + STATE_DATA_LEN);
    *image = malloc(MAX(len, 1));
    return *image ? read_at(fd, *image, len, 0) : -ENOMEM;
}

/* Fills our new file with an old one's image, if that is as it should be. */
static int fresh_fill(struct saved_state *state, const struct state_header *header, const uint8_t *image,
                      size_t len)
{
    int ret = 0;

    memset(state->areas, 0, sizeof(state->areas));
    if (ftruncate(state->fd, 0) < 0)
        return -errno;
    if (len > 0)
        ret = write_at(state->fd, image, len, 0);
    if (ret == 0 && (len == 0 || !directory_read(state, len)))
        ret = file_format(state, header);
    return ret;
}

/* The same where there may be no room for both: then the old one goes first. */
static int fresh_fill_anyway(struct saved_state *state, const struct state_header *header,
                             const uint8_t *image, size_t len, int old)
{
    int ret = fresh_fill(state, header, image, len);

    if (ret != -ENOSPC)
        return ret;
    if (ftruncate(state->fd, 0) < 0 || ftruncate(old, 0) < 0)
        return -errno;
    ret = fresh_fill(state, header, image, len);
    if (ret < 0 && (ftruncate(state->fd, 0) < 0 || write_at(old, image, len, 0) < 0))
        log_warning("saved state %s: is lost, as its file system is full", state->path);
    return ret;
}

/* Maps the areas of our new file, and says that it is ours. */
static int fresh_map(struct saved_state *state, const struct state_header *header)
{
    uint64_t end = 0;
    int ret = data_map(state);

    for (unsigned i = 0; i < STATE_AREAS; i++)
        end = MAX(end, state->areas[i].offset + state->areas[i].len);
    if (ret == 0)
        ret = data_back(state, end);
    return ret < 0 ? ret : write_at(state->fd, header, sizeof(*header), 0);
}

/* Makes the new file at that path, and puts it in the place of the old one. Takes over both descriptors. */
static int file_replace(struct saved_state *state, const char *new_path, const struct state_header *header,
                        const uint8_t *image, size_t len)
{
    int old = state->fd, ret = fresh_open(new_path);

    if (ret < 0)
        return ret;
    state->fd = ret;
    ret = fresh_fill_anyway(state, header, image, len, old);
    if (ret == 0)
        ret = fresh_map(state, header);
    if (ret == 0 && rename(new_path, state->path) < 0)
        ret = -errno;
    if (ret < 0)
        unlink(new_path);
    close(old);
    return ret;
}

/* Puts a file that nobody else has open in the place of the locked one, with the same in it if that is a
 * state of this identity. 0, -EINVAL: it is not ours; or another errno. */
static int file_load(struct saved_state *state, const uint8_t identity[SAVED_STATE_IDENTITY_LEN])
{
    struct state_header want, have = {0};
    char *new_path = NULL;
    uint8_t *image;
    struct stat st;
    ssize_t n;
    int ret = 0;

    if (fstat(state->fd, &st) < 0)
        return -errno;
    n = read_at(state->fd, &have, sizeof(have), 0);
    if (n < 0)
        return (int)n;
    if (!file_is_ours(&have, (size_t)n, (uint64_t)st.st_size))
        return -EINVAL;
    n = image_read(state->fd, &image);
    if (n < 0)
        ret = (int)n;
    if (ret == 0 && asprintf(&new_path, "%s.new", state->path) < 0) {
        new_path = NULL;
        ret = -ENOMEM;
    }
    if (ret == 0) {
        memset(&have, 0, sizeof(have));
        memcpy(&have, image, MIN((size_t)n, sizeof(have)));
        header_fill(&want, identity);
        /* All but the holder are known beforehand: there is nothing to interpret. */
        have.holder = want.holder;
        ret = file_replace(state, new_path, &want, image,
                           memcmp(&have, &want, sizeof(want)) == 0 ? (size_t)n : 0);
    }
    free(new_path);
    free(image);
    return ret;
}

int saved_state_open(struct saved_state **out, const char *path,
                     const uint8_t identity[SAVED_STATE_IDENTITY_LEN], int *holder)
{
    struct saved_state *state = calloc(1, sizeof(*state));
    int ret = 0;

    *holder = 0;
    if (!state)
        return -ENOMEM;
    state->fd = -1;
    state->data = MAP_FAILED;
    if (path)
        ret = file_open(state, path, holder);
    if (ret == 0)
        ret = path ? file_load(state, identity) : data_map(state);
    if (ret < 0) {
        saved_state_close(state, false);
        return ret;
    }
    *out = state;
    return 0;
}

/* While the file is locked, and if the path still leads to it. Emptied first: a name that cannot be removed,
 * for lack of a privilege that was given up, must not lead to a state that is over. */
static void file_remove(const struct saved_state *state)
{
    struct stat st, now;

    if (ftruncate(state->fd, 0) < 0)
        log_warning("saved state %s: cannot empty it: %s", state->path, strerror(errno));
    if (fstat(state->fd, &st) < 0 || lstat(state->path, &now) < 0 || st.st_dev != now.st_dev ||
        st.st_ino != now.st_ino)
        return;
    if (unlink(state->path) < 0)
        log_warning("saved state %s: cannot remove it: %s; it is empty and can be deleted", state->path,
                    strerror(errno));
}

bool saved_state_there(const char *path, const uint8_t identity[SAVED_STATE_IDENTITY_LEN])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct state_header header;
    bool there;

    if (fd < 0)
        return false;
    there = read_at(fd, &header, sizeof(header), 0) == (ssize_t)sizeof(header) &&
            memcmp(header.magic, STATE_MAGIC, sizeof(header.magic)) == 0 &&
            memcmp(header.identity, identity, SAVED_STATE_IDENTITY_LEN) == 0;
    close(fd);
    return there;
}

void saved_state_close(struct saved_state *state, bool remove)
{
    if (!state)
        return;
    if (state->data != MAP_FAILED)
        munmap(state->data, STATE_DATA_LEN);
    if (remove && state->fd >= 0)
        file_remove(state);
    if (state->fd >= 0)
        close(state->fd);
    free(state->path);
    free(state);
}

/* ---- areas ------------------------------------------------------------------------------------------- */

static struct area *area_find(struct saved_state *state, const char *name)
{
    for (unsigned i = 0; i < STATE_AREAS; i++)
        if (state->areas[i].len && strcmp(state->areas[i].name, name) == 0)
            return &state->areas[i];
    return NULL;
}

/* The lowest offset at which that many bytes are free, perhaps beyond what is backed; STATE_DATA_LEN:
 * nowhere. */
static uint64_t room_find(const struct saved_state *state, uint64_t room)
{
    uint64_t offset = 0;
    bool moved;

    do {
        moved = false;
        for (unsigned i = 0; i < STATE_AREAS; i++) {
            const struct area *area = &state->areas[i];
            uint64_t end = area->offset + area_room(area->len);

            if (area->len && offset < end && area->offset < offset + room) {
                offset = end;
                moved = true;
            }
        }
    } while (moved);
    return range_within(offset, room, STATE_DATA_LEN) ? offset : STATE_DATA_LEN;
}

/* The next process will not find it. Its room is free again, unless somebody of this process uses it. */
static int area_drop(struct saved_state *state, struct area *area)
{
    struct area old = *area;

    memset(area->name, 0, sizeof(area->name));
    int ret = entry_write(state, (unsigned)(area - state->areas));
    if (ret < 0)
        *area = old;
    else if (!area->in_use)
        memset(area, 0, sizeof(*area));
    return ret;
}

static int area_new(struct saved_state *state, const char *name, uint64_t len, struct area **out)
{
    struct area *area = NULL;

    for (unsigned i = 0; i < STATE_AREAS && !area; i++)
        if (state->areas[i].len == 0)
            area = &state->areas[i];
    uint64_t offset = room_find(state, area_room(len));
    if (!area || offset == STATE_DATA_LEN)
        return -ENOSPC;
    int ret = data_back(state, offset + len);
    if (ret < 0)
        return ret;
    if (state->fd >= 0) /* an area that was dropped, or a damaged file, may have left something */
        memset(state->data + offset, 0, len);
    memcpy(area->name, name, strlen(name));
    area->offset = offset;
    area->len = len;
    ret = entry_write(state, (unsigned)(area - state->areas));
    if (ret < 0) {
        memset(area, 0, sizeof(*area));
        return ret;
    }
    *out = area;
    return 0;
}

void *saved_state_area(struct saved_state *state, const char *name, size_t len, bool *resumed)
{
    size_t name_len = strnlen(name, SAVED_STATE_NAME_LEN);
    struct area *area = NULL;
    int ret = 0;

    *resumed = false;
    if (name_len == 0 || name_len == SAVED_STATE_NAME_LEN || len == 0) {
        errno = EINVAL;
        return NULL;
    }
    if (len > STATE_DATA_LEN) {
        errno = ENOSPC;
        return NULL;
    }
    area = area_find(state, name);
    if (area && area->len == len) {
        *resumed = true;
    } else {
        if (area)
            ret = area_drop(state, area);
        if (ret == 0)
            ret = area_new(state, name, len, &area);
        if (ret < 0) {
            errno = -ret;
            return NULL;
        }
    }
    area->in_use = true;
    return state->data + area->offset;
}
