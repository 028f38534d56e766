// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * templates_json.c - finds back-ends by their JSON files, by the rules in QEMU's
 * docs/interop/vhost-user.json: all files of the folders in the order of their names; of files with one name
 * that of the last folder counts; an empty one hides those before it and is none itself.
 */
#include "dmd/templates.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <fcntl.h>
#include <json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"

#define FILES_MAX    256
#define FILE_MAX     KIB(64)
#define JSON_DEPTH   8
#define NAME_MAX_LEN 128

struct files {
    size_t n;
    struct {
        char name[NAME_MAX_LEN];
        const char *folder; /* the last that has it */
    } file[FILES_MAX];
};

static void file_add(struct files *files, const char *name, const char *folder)
{
    size_t len = strlen(name), i = 0;

    if (len < 6 || len >= NAME_MAX_LEN || name[0] == '.' || strcmp(name + len - 5, ".json") != 0)
        return;
    while (i < files->n && strcmp(files->file[i].name, name) != 0)
        i++;
    if (i == FILES_MAX)
        return;
    snprintf(files->file[i].name, NAME_MAX_LEN, "%s", name);
    files->file[i].folder = folder;
    files->n = MAX(files->n, i + 1);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b); /* the name is what stands first */
}

static void files_list(struct files *files, const char *const *folders)
{
    for (; *folders != NULL; folders++) {
        DIR *dir = opendir(*folders);
        const struct dirent *entry;

        while (dir != NULL && (entry = readdir(dir)) != NULL)
            file_add(files, entry->d_name, *folders);
        if (dir != NULL)
            closedir(dir);
    }
    qsort(files->file, files->n, sizeof(files->file[0]), by_name);
}

/* The contents, NUL-terminated, for free(); NULL with errno. */
static char *contents(const char *path, size_t *len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    char *text = NULL;
    ssize_t n = -1;

    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > (off_t)FILE_MAX)
        errno = EFBIG;
    else
        text = malloc(FILE_MAX + 1);
    if (text != NULL)
        n = read(fd, text, FILE_MAX);
    close(fd);
    if (text != NULL && n < 0) {
        free(text);
        return NULL;
    }
    if (text != NULL) {
        *len = (size_t)n;
        text[n] = '\0';
    }
    return text;
}

static const char *string_of(struct json_object *object, const char *key)
{
    struct json_object *value;

    return json_object_object_get_ex(object, key, &value) && json_object_is_type(value, json_type_string)
               ? json_object_get_string(value)
               : NULL;
}

/* 1: it is the one; 0: not; -EINVAL and why. A damaged file is as one that is not there: the log says so. */
static int matches(struct json_object *root, const char *name, const char *type, struct json_back_end *found,
                   char *why, size_t why_len)
{
    const char *its_type = string_of(root, "type"), *binary = string_of(root, "binary"), *program;

    if (its_type == NULL || binary == NULL || binary[0] != '/' || strlen(binary) >= sizeof(found->binary)) {
        snprintf(why, why_len, "%s: must have \"type\" and \"binary\", an absolute path", found->path);
        return -EINVAL;
    }
    /* Its name for what is blk here. */
    if (strcmp(strcmp(its_type, "block") == 0 ? "blk" : its_type, type) != 0)
        return 0;
    program = strrchr(binary, '/') + 1;
    if (strcmp(name, program) != 0 && strcmp(name, type) != 0 && strcmp(name, its_type) != 0)
        return 0;
    snprintf(found->binary, sizeof(found->binary), "%s", binary);
    return 1;
}

static int file_look(const char *name, const char *type, struct json_back_end *found, char *why,
                     size_t why_len)
{
    struct json_tokener *tokener;
    struct json_object *root = NULL;
    size_t len = 0;
    char *text = contents(found->path, &len);
    int rc;

    if (text == NULL) {
        snprintf(why, why_len, "%s: %s", found->path, strerror(errno));
        return -EINVAL;
    }
    tokener = len > 0 ? json_tokener_new_ex(JSON_DEPTH) : NULL;
    if (tokener != NULL) {
        root = json_tokener_parse_ex(tokener, text, (int)len + 1);
        json_tokener_free(tokener);
    }
    if (len == 0) { /* it hides others, that is all */
        rc = 0;
    } else if (root == NULL || !json_object_is_type(root, json_type_object)) {
        snprintf(why, why_len, "%s: is not a JSON object", found->path);
        rc = -EINVAL;
    } else {
        rc = matches(root, name, type, found, why, why_len);
    }
    json_object_put(root);
    free(text);
    return rc;
}

int json_back_end_find(struct json_back_end *found, const char *const *folders, const char *name,
                       const char *type)
{
    struct files *files = calloc(1, sizeof(*files));
    int rc = 0;

    if (files == NULL)
        return -ENOMEM;
    files_list(files, folders);
    for (size_t i = 0; i < files->n && rc <= 0; i++) {
        char why[600];

        if ((size_t)snprintf(found->path, sizeof(found->path), "%s/%s", files->file[i].folder,
                             files->file[i].name) >= sizeof(found->path))
            continue;
        rc = file_look(name, type, found, why, sizeof(why));
        if (rc < 0)
            log_warning("%s; the file is left out", why);
    }
    free(files);
    return rc == 1 ? 0 : -ENOENT;
}
