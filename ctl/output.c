// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * output.c - text for people and the reading of answers, see ctl.h.
 */
#include "ctl/ctl.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/util.h"

#define MAX_COLUMNS 16

/* ---- lines -------------------------------------------------------------------------------------- */

/* Nothing that came from others may send escape sequences to a terminal. */
static void clean(char *text)
{
    for (; *text != '\0'; text++)
        if (((unsigned char)*text < ' ' && *text != '\n') || *text == 0x7f)
            *text = '?';
}

__attribute__((format(printf, 2, 0))) static void print(FILE *f, const char *fmt, va_list ap)
{
    char *text;

    if (vasprintf(&text, fmt, ap) < 0)
        return;
    clean(text);
    fputs(text, f);
    free(text);
}

void ctl_error(const char *fmt, ...)
{
    va_list ap;

    fflush(stdout);
    fputs("vhost-dmctl: ", stderr);
    va_start(ap, fmt);
    print(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

void ctl_print(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    print(stdout, fmt, ap);
    va_end(ap);
}

const char *ctl_size(uint64_t bytes)
{
    static const char units[] = "BKMGTPE";
    static char texts[8][24];
    static unsigned next;
    char *text = texts[next++ % ARRAY_SIZE(texts)];
    unsigned unit = 0;
    uint64_t rest = 0;

    for (; bytes >= 1024 && units[unit + 1] != '\0'; unit++) {
        rest = bytes % 1024;
        bytes /= 1024;
    }
    if (unit == 0)
        snprintf(text, sizeof(texts[0]), "%" PRIu64, bytes);
    else if (rest == 0 || bytes >= 100)
        snprintf(text, sizeof(texts[0]), "%" PRIu64 "%c", bytes, units[unit]);
    else
        snprintf(text, sizeof(texts[0]), "%" PRIu64 ".%" PRIu64 "%c", bytes, rest * 10 / 1024, units[unit]);
    return text;
}

/* ---- tables ------------------------------------------------------------------------------------- */

struct ctl_table {
    size_t nr_columns, nr_cells, capacity;
    bool left[MAX_COLUMNS];
    int width[MAX_COLUMNS];
    char **cells; /* owned, with the headings */
};

static void cell_put(struct ctl_table *table, char *text)
{
    size_t column = table->nr_cells % table->nr_columns;

    if (table->nr_cells == table->capacity) {
        size_t capacity = table->capacity * 2 + 64;
        char **cells = realloc(table->cells, capacity * sizeof(*cells));

        if (cells == NULL) {
            free(text);
            return;
        }
        table->cells = cells;
        table->capacity = capacity;
    }
    clean(text);
    table->cells[table->nr_cells++] = text;
    table->width[column] = MAX(table->width[column], (int)strlen(text));
}

void ctl_table_add(struct ctl_table *table, const char *fmt, ...)
{
    char *text;
    va_list ap;

    if (table == NULL)
        return;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    va_end(ap);
    if (text != NULL)
        cell_put(table, text);
}

struct ctl_table *ctl_table_new(size_t nr_columns, const char *const *headings)
{
    struct ctl_table *table = calloc(1, sizeof(*table));

    if (table == NULL)
        return NULL;
    table->nr_columns = MIN(nr_columns, (size_t)MAX_COLUMNS);
    for (size_t i = 0; i < table->nr_columns; i++) {
        table->left[i] = headings[i][0] == '<';
        ctl_table_add(table, "%s", headings[i] + table->left[i]);
    }
    return table;
}

void ctl_table_print(struct ctl_table *table, const char *indent)
{
    if (table == NULL)
        return;
    for (size_t i = 0; i < table->nr_cells; i++) {
        size_t column = i % table->nr_columns;
        bool last = column + 1 == table->nr_columns || i + 1 == table->nr_cells;
        int width = table->left[column] ? (last ? 0 : -table->width[column]) : table->width[column];

        printf("%s%*s%s", column == 0 ? indent : "", width, table->cells[i], last ? "\n" : "  ");
        free(table->cells[i]);
    }
    free(table->cells);
    free(table);
}

/* ---- answers ------------------------------------------------------------------------------------ */

static struct json_object *member(struct json_object *o, const char *key, enum json_type type)
{
    struct json_object *value;

    return json_object_is_type(o, json_type_object) && json_object_object_get_ex(o, key, &value) &&
                   json_object_is_type(value, type)
               ? value
               : NULL;
}

const char *ctl_string(struct json_object *o, const char *key)
{
    struct json_object *value = member(o, key, json_type_string);

    return value != NULL ? json_object_get_string(value) : "";
}

uint64_t ctl_number(struct json_object *o, const char *key)
{
    struct json_object *value = member(o, key, json_type_int);

    return value != NULL ? json_object_get_uint64(value) : 0;
}

uint64_t ctl_hex(struct json_object *o, const char *key)
{
    return strtoull(ctl_string(o, key), NULL, 16);
}

bool ctl_bool(struct json_object *o, const char *key)
{
    struct json_object *value = member(o, key, json_type_boolean);

    return value != NULL && json_object_get_boolean(value);
}

struct json_object *ctl_object(struct json_object *o, const char *key)
{
    return member(o, key, json_type_object);
}

size_t ctl_nr(struct json_object *o, const char *key)
{
    struct json_object *value = member(o, key, json_type_array);

    return value != NULL ? json_object_array_length(value) : 0;
}

struct json_object *ctl_at(struct json_object *o, const char *key, size_t i)
{
    return i < ctl_nr(o, key) ? json_object_array_get_idx(member(o, key, json_type_array), i) : NULL;
}

void ctl_print_json(struct json_object *o)
{
    puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                               JSON_C_TO_STRING_NOSLASHESCAPE));
}
