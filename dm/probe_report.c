// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * probe_report.c - what a probe prints for people, as soon as it is known, see probe.h.
 */
#include "dm/probe.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/util.h"
#include "common/vhost_user.h"

double probe_samples_at(const struct probe_samples *s, unsigned percent)
{
    return s->nr == 0 ? 0 : (double)s->ns[(s->nr - 1) * percent / 100] / 1000.;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static void samples_sort(struct probe_samples *s)
{
    if (s->nr > 0)
        qsort(s->ns, s->nr, sizeof(s->ns[0]), by_value);
}

const char *probe_virtio_name(const struct probe *p, unsigned bit)
{
    return virtio_feature_name(p->type, bit);
}

const char *probe_protocol_name(const struct probe *p, unsigned bit)
{
    (void)p;
    return vhost_user_protocol_feature_name(bit);
}

/* ---- for people --------------------------------------------------------------------------------- */

#define COLUMN 20

static void print_names(const struct probe *p, const char *what, uint64_t bits,
                        const char *(*name)(const struct probe *p, unsigned bit))
{
    size_t column = COLUMN - 1; /* of the last character */

    printf("%-*s", COLUMN - 1, what);
    if (bits == 0)
        printf(" none");
    for (unsigned bit = 0; bit < 64; bit++) {
        char text[32];

        if ((bits >> bit & 1) == 0)
            continue;
        if (name(p, bit) != NULL)
            snprintf(text, sizeof(text), "%s", name(p, bit));
        else
            snprintf(text, sizeof(text), "bit-%u", bit);
        if (column + 1 + strlen(text) > 100) {
            printf("\n%*s", COLUMN - 1, "");
            column = COLUMN - 1;
        }
        printf(" %s", text);
        column += 1 + strlen(text);
    }
    putchar('\n');
}

static void print_size(uint64_t len)
{
    if (len >= GIB(1) && len % GIB(1) == 0)
        printf("%" PRIu64 " GiB", len >> 30);
    else if (len >= MIB(1) && len % MIB(1) == 0)
        printf("%" PRIu64 " MiB", len >> 20);
    else
        printf("%" PRIu64 " KiB", len >> 10);
}

static void print_config(const struct probe *p)
{
    printf("%-*s%zu bytes%s\n", COLUMN, "config space", p->config_len,
           p->config_len == 0 ? ": none served" : "");
    for (size_t i = 0; i < p->config_len; i++)
        printf("%*s%02x%s", i % 16 == 0 ? COLUMN : 1, "", p->config[i],
               i % 16 == 15 || i + 1 == p->config_len ? "\n" : "");
}

static void print_regions(const struct probe *p)
{
    printf("%-*s", COLUMN, "shared memory");
    if (p->shmem == NULL)
        printf("none\n");
    for (size_t i = 0; p->shmem != NULL && i < shmem_nr_regions(p->shmem); i++) {
        struct shmem_region_info info = shmem_region_at(p->shmem, i);

        printf("%*sregion %u: ", i == 0 ? 0 : COLUMN, "", info.shmid);
        print_size(info.len);
        putchar('\n');
    }
}

void probe_report_offer(const struct probe *p)
{
    uint64_t protocol = frontend_protocol_features(p->fe);

    printf("%-*s%s\n", COLUMN, "back-end", p->socket);
    print_names(p, "virtio features", frontend_offered(p->fe), probe_virtio_name);
    print_names(p, "protocol, used", protocol, probe_protocol_name);
    print_names(p, "protocol, unused", frontend_protocol_offered(p->fe) & ~protocol, probe_protocol_name);
    printf("%-*s%u%s\n", COLUMN, "queues", frontend_nr_queues(p->fe),
           (protocol >> VHOST_USER_PROTOCOL_F_MQ & 1) == 0 ? " (it does not say how many it has)" : "");
    print_config(p);
    print_regions(p);
    fflush(stdout);
}

static void print_samples(const char *what, const struct probe_samples *s)
{
    printf("%-*s%" PRIu64, COLUMN, what, s->count);
    if (s->at_reset > 0 && s->at_reset < s->count)
        printf(", the last %" PRIu64 " of them after the reset", s->count - s->at_reset);
    if (s->nr > 0)
        printf("; the device model took %.1f us for one (median; 99th percentile %.1f us)",
               probe_samples_at(s, 50), probe_samples_at(s, 99));
    putchar('\n');
}

static void print_texts(const char *what, const struct probe_texts *t)
{
    for (unsigned i = 0; i < t->nr; i++) {
        printf("%-*s%s", COLUMN, what, t->texts[i].text);
        if (t->texts[i].count > 1)
            printf(" (%" PRIu64 " times)", t->texts[i].count);
        putchar('\n');
    }
    if (t->others > 0)
        printf("%-*sand %" PRIu64 " others\n", COLUMN, what, t->others);
}

static void print_end(const struct probe *p)
{
    if (p->started)
        printf("%-*sstarted, kicked once each%s\n", COLUMN, "all queues", p->stopped ? ", stopped" : "");
    if (p->serve)
        printf("%-*suntil %s\n", COLUMN, "served", p->why_end);
    if (p->shmem != NULL) {
        print_samples("maps", &p->maps);
        print_samples("unmaps", &p->unmaps);
        printf("%-*s%" PRIu64 " mappings, ", COLUMN, "mapped at the end", p->last_stats.nr_mappings);
        print_size(p->last_stats.bytes);
        putchar('\n');
    }
    if (p->config_changes > 0)
        printf("%-*s%" PRIu64 "\n", COLUMN, "config changes", p->config_changes);
    print_texts("note", &p->notes);
    print_texts("VIOLATION", &p->violations);
    printf("%-*s%s\n", COLUMN, "result",
           p->violations.nr == 0 ? "no violation of the protocol" : "VIOLATIONS");
}

void probe_report_end(struct probe *p)
{
    samples_sort(&p->maps);
    samples_sort(&p->unmaps);
    if (p->why_end == NULL)
        p->why_end = "its end";
#ifdef HAVE_JSON
    if (p->json)
        probe_report_json(p);
    else
#endif
        print_end(p);
    fflush(stdout);
}
