// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * probe_json.c - what a probe found as one JSON object, see probe.h.
 */
#include "dm/probe.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/util.h"
#include "common/vhost_user.h"

static void add_string(struct json_object *o, const char *key, const char *value)
{
    json_object_object_add(o, key, json_object_new_string(value));
}

static void add_number(struct json_object *o, const char *key, uint64_t value)
{
    json_object_object_add(o, key, json_object_new_uint64(value));
}

static void add_microseconds(struct json_object *o, const char *key, double value)
{
    char text[32];

    snprintf(text, sizeof(text), "%.3f", value);
    json_object_object_add(o, key, json_object_new_double_s(value, text));
}

static struct json_object *json_features(const struct probe *p, uint64_t bits,
                                         const char *(*name)(const struct probe *p, unsigned bit))
{
    struct json_object *o = json_object_new_object(), *names = json_object_new_array();
    char text[32];

    /* 64 bits do not fit into the numbers of many readers. */
    snprintf(text, sizeof(text), "0x%" PRIx64, bits);
    add_string(o, "bits", text);
    for (unsigned bit = 0; bit < 64; bit++) {
        if ((bits >> bit & 1) == 0)
            continue;
        snprintf(text, sizeof(text), "bit-%u", bit);
        json_object_array_add(names, json_object_new_string(name(p, bit) != NULL ? name(p, bit) : text));
    }
    json_object_object_add(o, "names", names);
    return o;
}

static struct json_object *json_texts(const struct probe_texts *t)
{
    struct json_object *a = json_object_new_array();

    for (unsigned i = 0; i < t->nr; i++) {
        struct json_object *o = json_object_new_object();

        add_string(o, "text", t->texts[i].text);
        add_number(o, "count", t->texts[i].count);
        json_object_array_add(a, o);
    }
    return a;
}

static struct json_object *json_samples(const struct probe_samples *s)
{
    struct json_object *o = json_object_new_object();

    add_number(o, "count", s->count);
    add_number(o, "before_reset", s->at_reset);
    if (s->nr > 0) {
        add_microseconds(o, "median_us", probe_samples_at(s, 50));
        add_microseconds(o, "p99_us", probe_samples_at(s, 99));
    }
    return o;
}

static struct json_object *json_shmem(const struct probe *p)
{
    struct json_object *o = json_object_new_object(), *regions = json_object_new_array();

    for (size_t i = 0; i < shmem_nr_regions(p->shmem); i++) {
        struct shmem_region_info info = shmem_region_at(p->shmem, i);
        struct json_object *region = json_object_new_object();

        add_number(region, "shmid", info.shmid);
        add_number(region, "bytes", info.len);
        json_object_array_add(regions, region);
    }
    json_object_object_add(o, "regions", regions);
    json_object_object_add(o, "maps", json_samples(&p->maps));
    json_object_object_add(o, "unmaps", json_samples(&p->unmaps));
    add_number(o, "mappings_at_end", p->last_stats.nr_mappings);
    add_number(o, "bytes_at_end", p->last_stats.bytes);
    return o;
}

static struct json_object *json_queues(const struct probe *p)
{
    uint64_t protocol = frontend_protocol_features(p->fe);
    struct json_object *o = json_object_new_object();

    add_number(o, "number", frontend_nr_queues(p->fe));
    json_object_object_add(o, "said",
                           json_object_new_boolean((protocol >> VHOST_USER_PROTOCOL_F_MQ & 1) != 0));
    json_object_object_add(o, "started", json_object_new_boolean(p->started));
    json_object_object_add(o, "stopped", json_object_new_boolean(p->stopped));
    return o;
}

void probe_report_json(const struct probe *p)
{
    struct json_object *o = json_object_new_object();
    char hex[2 * FRONTEND_MAX_CONFIG + 1] = "";

    for (size_t i = 0; i < p->config_len; i++)
        snprintf(hex + 2 * i, 3, "%02x", p->config[i]);
    add_string(o, "socket", p->socket);
    json_object_object_add(o, "virtio_features",
                           json_features(p, frontend_offered(p->fe), probe_virtio_name));
    json_object_object_add(o, "protocol_features",
                           json_features(p, frontend_protocol_offered(p->fe), probe_protocol_name));
    json_object_object_add(o, "protocol_features_used",
                           json_features(p, frontend_protocol_features(p->fe), probe_protocol_name));
    if (p->ready)
        json_object_object_add(o, "queues", json_queues(p));
    add_string(o, "config", hex);
    add_number(o, "config_changes", p->config_changes);
    if (p->shmem != NULL)
        json_object_object_add(o, "shared_memory", json_shmem(p));
    if (p->serve)
        add_string(o, "served_until", p->why_end);
    json_object_object_add(o, "notes", json_texts(&p->notes));
    json_object_object_add(o, "violations", json_texts(&p->violations));
    json_object_object_add(o, "ok", json_object_new_boolean(p->violations.nr == 0));
    puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                               JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(o);
}
