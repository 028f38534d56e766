/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * util.h - the few helpers that C lacks and every part uses: sizes, alignment, ranges, lists.
 * Owns nothing.
 */
#ifndef VHOST_DM_UTIL_H
#define VHOST_DM_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_SIZE(a)                   (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)                       ((a) < (b) ? (a) : (b))
#define MAX(a, b)                       ((a) > (b) ? (a) : (b))
#define KIB(n)                          ((uint64_t)(n) << 10)
#define MIB(n)                          ((uint64_t)(n) << 20)
#define GIB(n)                          ((uint64_t)(n) << 30)
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* The page of guests, of Xen's interfaces and of x86 and Arm dom0s. */
#define GUEST_PAGE_SHIFT 12
#define GUEST_PAGE_SIZE  ((uint64_t)1 << GUEST_PAGE_SHIFT)

static inline uint64_t align_down(uint64_t value, uint64_t align)
{
    return value & ~(align - 1);
}

static inline uint64_t align_up(uint64_t value, uint64_t align)
{
    return (value + align - 1) & ~(align - 1);
}

/* Whether [offset, offset + len) lies within [0, limit); safe whatever the three numbers are. */
static inline bool range_within(uint64_t offset, uint64_t len, uint64_t limit)
{
    return offset <= limit && len <= limit - offset;
}

/* A circular doubly linked list; a head is a link that belongs to no element. */
struct list_link {
    struct list_link *prev, *next;
};

static inline void list_init(struct list_link *head)
{
    head->prev = head->next = head;
}

static inline bool list_is_empty(const struct list_link *head)
{
    return head->next == head;
}

static inline void list_append(struct list_link *head, struct list_link *link)
{
    link->prev = head->prev;
    link->next = head;
    head->prev->next = link;
    head->prev = link;
}

/* Leaves the link as an empty list of its own, so that removing it twice is harmless. */
static inline void list_remove(struct list_link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

#define list_for_each(item, head, member)                                                       \
    for (item = container_of((head)->next, __typeof__(*item), member); &item->member != (head); \
         item = container_of(item->member.next, __typeof__(*item), member))

#define list_for_each_safe(item, tmp, head, member)                       \
    for (item = container_of((head)->next, __typeof__(*item), member),    \
        tmp = container_of(item->member.next, __typeof__(*item), member); \
         &item->member != (head);                                         \
         item = tmp, tmp = container_of(tmp->member.next, __typeof__(*item), member))

#endif
