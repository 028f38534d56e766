// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ini_file.c - see ini_file.h. inih takes lines of some 200 bytes (INI_MAX_LINE, whatever it was built with),
 * and section names and keys of 49; it cuts or splits longer ones without a word, so they are refused before
 * it sees them.
 */
#include "dmd/ini_file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/util.h"

#define FILE_MAX     KIB(256)
#define NAME_MAX_LEN 49 /* inih's MAX_SECTION and MAX_NAME, with their NUL, are 50 */

#define BYTE_ORDER_MARK "\xef\xbb\xbf" /* in UTF-8 */

struct reading {
    FILE *file;
    const char *path;
    ini_line_fn *fn;
    void *ctx;
    int number;
    char section[NAME_MAX_LEN + 1];
    bool blank_first, has_key; /* of the line at hand; of the section */
    bool skim;                 /* errors are passed over */
    int rc;                    /* the first error; with skim: of the line at hand */
    char why[512];
};

__attribute__((format(printf, 2, 3))) static void fault(struct reading *r, const char *fmt, ...)
{
    va_list ap;

    if (r->rc != 0)
        return;
    r->rc = -EINVAL;
    va_start(ap, fmt);
    vsnprintf(r->why, sizeof(r->why), fmt, ap);
    va_end(ap);
}

static void tell(struct reading *r, const char *key, const char *value)
{
    struct ini_line line = {.section = r->section,
                            .key = key,
                            .value = value,
                            .number = r->number,
                            .more = key != NULL && r->blank_first && r->has_key};
    char why[400] = "";

    if (r->rc != 0)
        return;
    if (r->fn(r->ctx, &line, why, sizeof(why)) != 0)
        fault(r, "%s", why[0] != '\0' ? why : "not allowed here");
}

/* A line "[NAME]". */
static void section_begin(struct reading *r, const char *text)
{
    const char *end = strchr(text, ']');
    size_t len = end != NULL ? (size_t)(end - text) : 0;

    r->section[0] = '\0'; /* with skim: what follows a wrong one is in none */
    if (end == NULL || len == 0 || len > NAME_MAX_LEN) {
        fault(r, "a section is [NAME], with a name of 1 to %d bytes", NAME_MAX_LEN);
        return;
    }
    memcpy(r->section, text, len);
    r->section[len] = '\0';
    r->has_key = false;
    r->blank_first = false;
    tell(r, NULL, NULL);
}

/* What inih would take wrongly without a word. */
static void line_check(struct reading *r, const char *line, size_t len)
{
    const char *at = line + strspn(line, " \t"), *equals = strchr(at, '=');

    for (size_t i = 0; i < len; i++)
        if (iscntrl((unsigned char)line[i]) && strchr("\t\r\n", line[i]) == NULL)
            fault(r, "a control character (0x%02x)", (unsigned char)line[i]);
    if (r->number == 1 && strncmp(line, BYTE_ORDER_MARK, strlen(BYTE_ORDER_MARK)) == 0)
        fault(r, "begins with a byte order mark, which editors do not show: save it without");
    r->blank_first = at > line;
    if (*at == '[' && !(r->blank_first && r->has_key))
        section_begin(r, at + 1);
    else if (*at != '\0' && strchr("#;\r\n", *at) == NULL && !(r->blank_first && r->has_key) &&
             (equals == NULL || equals == at || equals - at > NAME_MAX_LEN))
        fault(r, "not KEY=VALUE, with a key of 1 to %d bytes", NAME_MAX_LEN);
}

/* The bytes of the next line, as many as there is room for; the rest of a wrong one is passed over. */
static size_t line_bytes(struct reading *r, char *str, size_t room)
{
    size_t len = 0;
    int c;

    while ((c = getc(r->file)) != EOF) {
        if (c == '\0')
            fault(r, "a NUL byte");
        else if (len + 2 > room)
            fault(r, "longer than %zu bytes", room - 2);
        if (r->rc == 0)
            str[len++] = (char)c;
        else if (!r->skim)
            return 0;
        if (c == '\n')
            break;
    }
    return len;
}

/* One that is wrong is an empty one, with skim. */
static char *line_read(char *str, int num, void *stream)
{
    struct reading *r = stream;
    size_t len;

    if (r->skim)
        r->rc = 0;
    if (r->rc != 0)
        return NULL;
    r->number++;
    len = line_bytes(r, str, (size_t)num);
    str[len] = '\0';
    if (len == 0 && r->rc == 0)
        return NULL;
    if (r->rc == 0)
        line_check(r, str, len);
    if (r->rc == 0)
        return str;
    strcpy(str, "\n");
    return r->skim ? str : NULL;
}

static int on_pair(void *ctx, const char *section, const char *key, const char *value)
{
    struct reading *r = ctx;

    (void)section; /* read by us already */
    tell(r, key, value != NULL ? value : "");
    r->has_key = true;
    return r->skim || r->rc == 0;
}

/* The file, if it is one of a size that a person writes. */
static int file_open(const char *path, FILE **file, char *why, size_t why_len)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), rc = 0;

    if (fd < 0) {
        rc = -errno;
        snprintf(why, why_len, "%s: %s", path, strerror(-rc));
        return rc;
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > (off_t)FILE_MAX) {
        snprintf(why, why_len, "%s: must be a file of at most %u KiB", path, (unsigned)(FILE_MAX >> 10));
        rc = -EINVAL;
    } else if (st.st_mode & S_IWOTH) {
        snprintf(why, why_len, "%s: must not be writable by everybody, as it says what root executes", path);
        rc = -EPERM;
    } else if ((*file = fdopen(fd, "r")) == NULL) {
        snprintf(why, why_len, "%s: not enough memory", path);
        rc = -ENOMEM;
    }
    if (rc != 0)
        close(fd);
    return rc;
}

int ini_file_read(const char *path, ini_line_fn *fn, void *ctx, char *why, size_t why_len)
{
    struct reading r = {.path = path, .fn = fn, .ctx = ctx};
    int rc = file_open(path, &r.file, why, why_len), number;

    if (rc != 0)
        return rc;
    number = ini_parse_stream(line_read, &r, on_pair, &r);
    if (number != 0 && r.rc == 0) {
        r.number = number > 0 ? number : r.number;
        fault(&r, number > 0 ? "neither [SECTION] nor KEY=VALUE" : "not enough memory");
    }
    if (ferror(r.file))
        fault(&r, "it cannot be read");
    fclose(r.file);
    if (r.rc != 0)
        snprintf(why, why_len, "%s:%d: %s", path, r.number, r.why);
    return r.rc;
}

void ini_file_skim(const char *path, ini_line_fn *fn, void *ctx)
{
    struct reading r = {.path = path, .fn = fn, .ctx = ctx, .skim = true};
    char why[512];

    if (file_open(path, &r.file, why, sizeof(why)) != 0)
        return;
    ini_parse_stream(line_read, &r, on_pair, &r);
    fclose(r.file);
}
