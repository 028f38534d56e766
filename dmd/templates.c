// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * templates.c - see templates.h. A section of a back-ends.conf:
 *
 *   [NAME]                  a later file replaces the whole section of an earlier one;
 *                           twice in one file is refused
 *   type=blk                the types of device that it is for
 *   command=PROGRAM WORD... split at blanks, then filled in word by word; more lines begin with a blank
 *   default.KEY=VALUE       of a KEY that need not be given
 */
#include "dmd/templates.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"
#include "config.h"
#include "dmd/ini_file.h"

#define PAIRS_MAX 16
#define VALUE_LEN 256
#define KEY_LEN   50
#define NAMES_LEN 300
#define PATH_FIXED \
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/libexec:/usr/libexec"

struct pairs {
    size_t n;
    struct {
        char key[KEY_LEN], value[VALUE_LEN];
    } pair[PAIRS_MAX];
};

struct template
{
    const char *name; /* which is looked for */
    bool found, here; /* in this or an earlier file; in the section that is read */
    bool in_file;     /* in this file */
    char type[64];
    struct words command; /* not filled in */
    struct pairs defaults;
    char names[NAMES_LEN]; /* of all templates, for messages */
};

static int pair_add(struct pairs *pairs, const char *key, const char *value)
{
    if (pairs->n == PAIRS_MAX || key[0] == '\0' || strlen(key) >= KEY_LEN || strlen(value) >= VALUE_LEN)
        return -EINVAL;
    snprintf(pairs->pair[pairs->n].key, KEY_LEN, "%s", key);
    snprintf(pairs->pair[pairs->n].value, VALUE_LEN, "%s", value);
    pairs->n++;
    return 0;
}

static const char *pair_find(const struct pairs *pairs, const char *key)
{
    for (size_t i = 0; i < pairs->n; i++)
        if (strcmp(pairs->pair[i].key, key) == 0)
            return pairs->pair[i].value;
    return NULL;
}

/* ---- reading a template ---------------------------------------------------------------------- */

static int template_section(struct template *template, const char *name, char *why, size_t why_len)
{
    size_t len = strlen(template->names);

    template->here = strcmp(name, template->name) == 0;
    if (template->here && template->in_file) {
        snprintf(why, why_len, "[%.60s] is there twice", name);
        return -EEXIST;
    }
    if (template->here) {
        template->found = template->in_file = true;
        template->type[0] = '\0';
        template->defaults.n = 0;
        words_free(&template->command);
    }
    if (strstr(template->names, name) == NULL && len + strlen(name) + 2 < sizeof(template->names))
        snprintf(template->names + len, sizeof(template->names) - len, "%s%s", len > 0 ? " " : "", name);
    return 0;
}

static int template_line(void *ctx, const struct ini_line *line, char *why, size_t why_len)
{
    struct template *template = ctx;
    int rc = 0;

    if (line->key == NULL)
        return template_section(template, line->section, why, why_len);
    if (line->more && strcmp(line->key, "command") != 0) {
        snprintf(why, why_len, "begins with a blank, as if '%.60s' went on: only command= can", line->key);
        return -EINVAL;
    }
    if (strcmp(line->key, "command") != 0 && strcmp(line->key, "type") != 0 &&
        strncmp(line->key, "default.", 8) != 0) {
        snprintf(why, why_len, "unknown key '%.60s'; known are: type command default.KEY", line->key);
        return -EINVAL;
    }
    if (!template->here)
        return 0;
    if (strcmp(line->key, "command") == 0)
        rc = template->command.n > 0 && !line->more ? -EEXIST : words_split(&template->command, line->value);
    else if (strcmp(line->key, "type") == 0)
        rc = (size_t)snprintf(template->type, sizeof(template->type), "%s", line->value) <
                     sizeof(template->type)
                 ? 0
                 : -EINVAL;
    else
        rc = pair_add(&template->defaults, line->key + 8, line->value);
    if (rc != 0)
        snprintf(why, why_len, "%.60s: %s", line->key,
                 rc == -EEXIST  ? "is there twice; more lines of it begin with a blank"
                 : rc == -E2BIG ? "too many words"
                                : "too long, or its quotes do not end");
    return rc;
}

/* ---- what the administrator asks for --------------------------------------------------------- */

struct request {
    char name[KEY_LEN];
    struct pairs pairs;
    const struct template_values *values;
    const struct pairs *defaults;
    bool used[PAIRS_MAX];
};

static int request_read(struct request *request, const char *text, char *why, size_t why_len)
{
    struct words words = {0};
    int rc = words_split(&words, text);

    if (rc == 0 && (words.n == 0 || strlen(words.word[0]) >= KEY_LEN || strchr(words.word[0], '=') != NULL))
        rc = -EINVAL;
    if (rc != 0)
        snprintf(why, why_len, "back-end=%.60s: must be NAME KEY=VALUE ..., with quotes in pairs", text);
    else
        snprintf(request->name, sizeof(request->name), "%s", words.word[0]);
    for (size_t i = 1; i < words.n && rc == 0; i++) {
        char *value = strchr(words.word[i], '=');

        if (value != NULL)
            *value++ = '\0';
        if (value == NULL || pair_find(&request->pairs, words.word[i]) != NULL)
            rc = -EINVAL;
        else
            rc = pair_add(&request->pairs, words.word[i], value);
        if (rc != 0)
            snprintf(why, why_len, "back-end=%s: '%.60s' is not KEY=VALUE, or too long, or there twice",
                     request->name, words.word[i]);
    }
    words_free(&words);
    return rc;
}

static const char *value_of(void *ctx, const char *name)
{
    struct request *request = ctx;
    const struct template_values *values = request->values;

    for (size_t i = 0; i < request->pairs.n; i++)
        if (strcmp(request->pairs.pair[i].key, name) == 0) {
            request->used[i] = true;
            return request->pairs.pair[i].value;
        }
    if (strcmp(name, "socket") == 0)
        return values->socket;
    if (strcmp(name, "guest") == 0)
        return values->guest;
    if (strcmp(name, "device") == 0)
        return values->device;
    if (strcmp(name, "domid") == 0)
        return values->domid;
    if (strcmp(name, "file") == 0 && values->file != NULL)
        return values->file;
    return request->defaults != NULL ? pair_find(request->defaults, name) : NULL;
}

/* ---- the command ----------------------------------------------------------------------------- */

/* Puts the first word's place where it is. */
static int program_find(struct words *argv, const char *name, char *why, size_t why_len)
{
    const char *program = argv->word[0];
    char path[512], folders[] = PATH_FIXED, *rest = folders, *folder, *copy;

    if (strchr(program, '/') != NULL) {
        if (program[0] == '/' && access(program, X_OK) == 0)
            return 0;
        snprintf(why, why_len, "back-end=%s: %.100s cannot be executed: is its package installed?", name,
                 program);
        return -ENOENT;
    }
    while ((folder = strsep(&rest, ":")) != NULL) {
        if ((size_t)snprintf(path, sizeof(path), "%s/%s", folder, program) >= sizeof(path) ||
            access(path, X_OK) != 0)
            continue;
        copy = strdup(path);
        if (copy == NULL)
            return -ENOMEM;
        free(argv->word[0]);
        argv->word[0] = copy;
        return 0;
    }
    snprintf(why, why_len, "back-end=%s: no program %.60s: is its package installed?", name, program);
    return -ENOENT;
}

/* The keys that a template has, for messages. */
static void keys_of(const struct words *command, char *out, size_t out_len)
{
    static const char *const ours[] = {"socket", "guest", "device", "domid"};
    size_t len = 0;

    out[0] = '\0';
    for (size_t i = 0; i < command->n; i++)
        for (const char *at = strchr(command->word[i], '{'); at != NULL; at = strchr(at, '{')) {
            char name[KEY_LEN];
            bool known = false;

            at += at[1] == ',' ? 2 : 1;
            snprintf(name, sizeof(name), "%.*s", (int)strcspn(at, "}"), at);
            for (size_t j = 0; j < ARRAY_SIZE(ours); j++)
                known |= strcmp(ours[j], name) == 0;
            if (!known && strstr(out, name) == NULL && len + strlen(name) + 1 < out_len)
                len += (size_t)snprintf(out + len, out_len - len, " %s", name);
        }
}

/* "args" is for all templates: more words at the end. */
static int command_fill(struct words *argv, struct request *request, const struct words *command, char *why,
                        size_t why_len)
{
    char missing[KEY_LEN] = "", keys[200];
    const char *args;
    int rc = 0;

    for (size_t i = 0; i < command->n && rc == 0; i++)
        rc = words_add_filled(argv, command->word[i], value_of, request, missing, sizeof(missing));
    args = value_of(request, "args");
    if (rc == 0 && args != NULL)
        rc = words_split(argv, args);
    if (rc == -ENOENT)
        snprintf(why, why_len, "back-end=%s: %s=VALUE is missing", request->name, missing);
    else if (rc != 0)
        snprintf(why, why_len, "back-end=%s: its command has braces that make no sense, or is too long",
                 request->name);
    for (size_t i = 0; i < request->pairs.n && rc == 0; i++)
        if (!request->used[i]) {
            keys_of(command, keys, sizeof(keys));
            snprintf(why, why_len, "back-end=%s: unknown key '%s'; known are:%s args", request->name,
                     request->pairs.pair[i].key, keys);
            rc = -EINVAL;
        }
    return rc;
}

/* QEMU's conventions: --socket-path=PATH, and options of the program's own for its type. */
static int json_command(struct words *argv, const struct template_places *places, struct request *request,
                        const char *names, char *why, size_t why_len)
{
    struct json_back_end found;
    int rc;

    rc = json_back_end_find(&found, places->json, request->name, request->values->type);
    if (rc == -ENOENT)
        snprintf(
            why, why_len,
            "back-end=%s: there is no such template (there are: %s), and no vhost-user JSON file of type %s "
            "has it as its program",
            request->name, names, request->values->type);
    if (rc == 0)
        rc = words_add(argv, found.binary);
    for (size_t i = 0; i < request->pairs.n && rc == 0; i++) {
        char word[KEY_LEN + VALUE_LEN + 4];

        if (strcmp(request->pairs.pair[i].key, "args") == 0) {
            rc = words_split(argv, request->pairs.pair[i].value);
            continue;
        }
        snprintf(word, sizeof(word), "--%s=%s", request->pairs.pair[i].key, request->pairs.pair[i].value);
        rc = words_add(argv, word);
    }
    if (rc == 0) {
        char word[256];

        snprintf(word, sizeof(word), "--socket-path=%s", request->values->socket);
        rc = words_add(argv, word);
    }
    return rc;
}

static bool type_listed(const char *list, const char *type)
{
    struct words words = {0};
    bool found = false;

    if (words_split(&words, list) == 0)
        for (size_t i = 0; i < words.n; i++)
            found |= strcmp(words.word[i], type) == 0;
    words_free(&words);
    return found;
}

static int command_make(struct words *argv, struct template *template, const struct template_places *places,
                        struct request *request, char *why, size_t why_len)
{
    int rc = 0;

    for (size_t i = 0; i < ARRAY_SIZE(places->files) && places->files[i] != NULL && rc == 0; i++) {
        template->in_file = false;
        rc = ini_file_read(places->files[i], template_line, template, why, why_len);
        if (rc == -ENOENT)
            rc = 0;
    }
    if (rc != 0)
        return rc;
    if (!template->found)
        return json_command(argv, places, request, template->names, why, why_len);
    if (template->command.n == 0) {
        snprintf(why, why_len, "back-end=%s: its template has no command=", template->name);
        return -EINVAL;
    }
    if (template->type[0] != '\0' && !type_listed(template->type, request->values->type)) {
        snprintf(why, why_len, "back-end=%s: it is for type %s, and this device has type %s", template->name,
                 template->type, request->values->type);
        return -EINVAL;
    }
    request->defaults = &template->defaults;
    return command_fill(argv, request, &template->command, why, why_len);
}

int template_command(struct words *argv, const struct template_places *places, const char *request_text,
                     const struct template_values *values, char *why, size_t why_len)
{
    struct request *request = calloc(1, sizeof(*request));
    struct template *template = calloc(1, sizeof(*template));
    int rc = request != NULL && template != NULL ? 0 : -ENOMEM;

    snprintf(why, why_len, "not enough memory");
    if (rc == 0)
        rc = request_read(request, request_text, why, why_len);
    if (rc == 0) {
        request->values = values;
        template->name = request->name;
        rc = command_make(argv, template, places, request, why, why_len);
    }
    if (rc == 0)
        rc = program_find(argv, request->name, why, why_len);
    if (template != NULL)
        words_free(&template->command);
    free(template);
    free(request);
    return rc;
}

void template_places_default(struct template_places *places, const char *config_dir)
{
    static char user[300], own[512];
    const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

    snprintf(own, sizeof(own), "%s/back-ends.conf", config_dir);
    *places = (struct template_places){
        .files = {BACK_ENDS_DIR "/back-ends.conf", own},
        .json = {"/usr/share/qemu/vhost-user", "/etc/qemu/vhost-user"},
    };
    if (xdg != NULL && xdg[0] == '/')
        snprintf(user, sizeof(user), "%s/qemu/vhost-user", xdg);
    else if (home != NULL && home[0] == '/')
        snprintf(user, sizeof(user), "%s/.config/qemu/vhost-user", home);
    else
        return;
    places->json[2] = user;
}
