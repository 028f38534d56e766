// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bounce_flight.c - the guest's side of a queue (bounce_queue.h): which of its chains are in flight, how they
 * are taken and given back so that a successor knows of it, and how they are refused when there is no
 * back-end.
 */
#include "dm/bounce_queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- the guest's side: what is in flight ------------------------------------------------------------ */

/* The saved state is read by whoever comes after a kill at any instruction: stores must stay in order. */
static void saved_order(void)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static void chain_taken(struct bounce_queue *q, uint16_t head)
{
    if (++q->saved->sequence == 0)
        q->saved->sequence = 1;
    q->saved->in_flight[head] = q->saved->sequence;
}

bool bounce_chain_put(struct bounce_queue *q, uint16_t head, uint32_t len)
{
    struct bounce_queue_saved *saved = q->saved;
    uint16_t pos = (uint16_t)(saved->used_idx + q->nr_put);

    if (guest_ring_used_put(&q->guest, pos, head, len) != 0) {
        bounce_guest_error(q, "its used ring is no longer in memory");
        return false;
    }
    saved->completing[q->nr_put++] = head;
    return true;
}

bool bounce_chains_show(struct bounce_queue *q)
{
    struct bounce_queue_saved *saved = q->saved;
    unsigned nr = q->nr_put;

    q->nr_put = 0;
    saved_order();
    saved->nr_completing = (uint16_t)nr;
    saved_order();
    if (guest_ring_used_show(&q->guest, (uint16_t)(saved->used_idx + nr)) != 0) {
        bounce_guest_error(q, "its used ring is no longer in memory");
        return false;
    }
    saved_order();
    for (unsigned i = 0; i < nr; i++)
        saved->in_flight[saved->completing[i]] = 0;
    saved_order();
    saved->used_idx = (uint16_t)(saved->used_idx + nr);
    saved_order();
    saved->nr_completing = 0;
    return true;
}

bool bounce_chain_complete(struct bounce_queue *q, uint16_t head, uint32_t len)
{
    return bounce_chain_put(q, head, len) && bounce_chains_show(q);
}

static int by_sequence(const void *a, const void *b, void *arg)
{
    const struct bounce_queue_saved *saved = arg;
    uint32_t age_a = saved->sequence - saved->in_flight[*(const uint16_t *)a];
    uint32_t age_b = saved->sequence - saved->in_flight[*(const uint16_t *)b];

    return age_a > age_b ? -1 : age_a < age_b;
}

int bounce_queue_relist(struct bounce_queue *q)
{
    q->nr_resubmit = q->next_resubmit = q->nr_put = 0;
    if (q->resubmit == NULL)
        q->resubmit = calloc(q->guest.size, sizeof(*q->resubmit));
    if (q->resubmit == NULL)
        return -ENOMEM;
    for (unsigned head = 0; head < q->guest.size; head++)
        if (q->saved->in_flight[head] != 0)
            q->resubmit[q->nr_resubmit++] = (uint16_t)head;
    qsort_r(q->resubmit, q->nr_resubmit, sizeof(*q->resubmit), by_sequence, q->saved);
    return 0;
}

/* A predecessor was killed between any two stores: finds out whether its last completions reached the guest.
 */
static int saved_recover(struct bounce_queue *q)
{
    struct bounce_queue_saved *saved = q->saved;
    uint16_t guest_used, nr = saved->nr_completing;

    if (guest_ring_used_idx(&q->guest, &guest_used) != 0)
        return -EFAULT;
    if (nr != 0 && nr <= q->guest.size && guest_used == (uint16_t)(saved->used_idx + nr)) {
        for (unsigned i = 0; i < nr; i++)
            if (saved->completing[i] < q->guest.size)
                saved->in_flight[saved->completing[i]] = 0;
        saved->used_idx = guest_used;
    }
    saved->nr_completing = 0;
    memset(saved->in_flight + q->guest.size, 0,
           sizeof(saved->in_flight[0]) * (size_t)(VIRTIO_MAX_QUEUE_SIZE - q->guest.size));
    return 0;
}

void bounce_queue_forget(struct bounce_queue *q)
{
    *q->saved = (struct bounce_queue_saved){0};
    saved_order();
}

int bounce_queue_open(struct bounce_queue *q, bool resume, const char **why)
{
    int rc;

    *why = guest_ring_check(&q->guest);
    if (*why != NULL)
        return -EINVAL;
    if (!resume)
        bounce_queue_forget(q);
    else if (saved_recover(q) != 0) {
        *why = "its used ring is no longer in memory";
        return -EINVAL;
    }
    rc = bounce_queue_relist(q);
    if (rc != 0)
        return rc;
    q->last_avail = (uint16_t)(q->saved->used_idx + q->nr_resubmit);
    q->active = true;
    return 0;
}

void bounce_queue_close(struct bounce_queue *q)
{
    bounce_queue_unshadow(q);
    list_remove(&q->kick_work.link);
    chain_free(&q->scratch);
    free(q->resubmit);
    q->resubmit = NULL;
    q->active = false;
}

int bounce_chain_next(struct bounce_queue *q, uint16_t *head)
{
    const char *why = NULL;
    uint16_t avail;
    int rc;

    if (q->next_resubmit < q->nr_resubmit) {
        *head = q->resubmit[q->next_resubmit];
    } else {
        if (guest_ring_avail_idx(&q->guest, &avail) != 0) {
            bounce_guest_error(q, "its avail ring is no longer in memory");
            return -1;
        }
        if (avail == q->last_avail)
            return 0;
        if ((uint16_t)(avail - q->last_avail) > q->guest.size) {
            bounce_guest_error(q, "its avail index has jumped");
            return -1;
        }
        rc = guest_ring_avail_head(&q->guest, q->last_avail, head);
        if (rc != 0 || q->saved->in_flight[*head] != 0) {
            bounce_guest_error(q, rc != 0 ? "its avail ring names a descriptor that does not exist"
                                          : "its avail ring names a chain that is in use");
            return -1;
        }
    }
    rc = guest_ring_chain_read(&q->guest, *head, &q->scratch, &why);
    if (rc != 0) {
        bounce_guest_error(q, why);
        return -1;
    }
    return 1;
}

void bounce_chain_advance(struct bounce_queue *q, uint16_t head)
{
    if (q->next_resubmit < q->nr_resubmit) {
        q->next_resubmit++;
        return;
    }
    chain_taken(q, head);
    q->last_avail++;
}

void bounce_interrupt_if_wanted(struct bounce_queue *q, uint16_t old_used)
{
    if (old_used != q->saved->used_idx && guest_ring_wants_interrupt(&q->guest, old_used, q->saved->used_idx))
        virtio_device_queue_interrupt(q->bounce->dev, q->index);
}

bool bounce_guest_idle(struct bounce_queue *q)
{
    uint16_t avail;

    guest_ring_notify_enable(&q->guest, q->last_avail);
    if (guest_ring_avail_idx(&q->guest, &avail) != 0 || avail == q->last_avail)
        return true;
    guest_ring_notify_disable(&q->guest);
    return false;
}

/* ---- when there is no back-end ------------------------------------------------------------------------ */

static int status_write(struct bounce_queue *q)
{
    const struct chain_segment *last = &q->scratch.segments[q->scratch.nr_segments - 1];

    return guest_memory_write(q->guest.guest, last->gpa + last->len - 1, q->bounce->options.refusal.bytes, 1);
}

/* Copies len bytes from the beginning of a chain's readable part. -EFAULT: there are not so many. */
static int readable_get(struct bounce_queue *q, uint64_t offset, uint8_t *buf, size_t len)
{
    const struct chain *chain = &q->scratch;

    for (unsigned i = 0; i < chain->nr_readable && len > 0; i++) {
        const struct chain_segment *s = &chain->segments[i];
        size_t part = offset < s->len ? MIN(len, s->len - (size_t)offset) : 0;

        if (part > 0 && guest_memory_read(q->guest.guest, s->gpa + offset, buf, part) != 0)
            return -EFAULT;
        offset -= part > 0 ? offset : s->len;
        buf += part;
        len -= part;
    }
    return len == 0 ? 0 : -EFAULT;
}

static int writable_put(struct bounce_queue *q, const uint8_t *buf, size_t len)
{
    const struct chain *chain = &q->scratch;

    for (unsigned i = chain->nr_readable; i < chain->nr_segments && len > 0; i++) {
        size_t part = MIN(len, chain->segments[i].len);

        if (guest_memory_write(q->guest.guest, chain->segments[i].gpa, buf, part) != 0)
            return -EFAULT;
        buf += part;
        len -= part;
    }
    return 0;
}

static int reply_write(struct bounce_queue *q)
{
    const struct bounce_refusal *refusal = &q->bounce->options.refusal;
    uint8_t reply[BOUNCE_REFUSAL_MAX];

    memcpy(reply, refusal->bytes, refusal->len);
    /* A request that is too short to say which it is gets an answer to none. */
    if (refusal->echo_len > 0)
        readable_get(q, refusal->echo_from, reply + refusal->echo_to, refusal->echo_len);
    return writable_put(q, reply, refusal->len);
}

/* Gives the chain back as options.refusal says. False: error told. */
static bool chain_refuse(struct bounce_queue *q, uint16_t head)
{
    const struct bounce_refusal *refusal = &q->bounce->options.refusal;
    uint64_t room = q->scratch.writable_len, len = 0;
    int rc = 0;

    if (refusal->how == REFUSE_BY_STATUS && room > 0) {
        rc = status_write(q);
        len = room;
    } else if (refusal->how == REFUSE_BY_REPLY && room >= refusal->len) {
        rc = reply_write(q);
        len = refusal->len;
    }
    if (rc != 0) {
        bounce_guest_error(q, "a buffer is not in the guest's memory");
        return false;
    }
    q->counts.refused++;
    return bounce_chain_complete(q, head, (uint32_t)MIN(len, UINT32_MAX));
}

static int fail_one(struct bounce_queue *q)
{
    uint16_t head;
    int rc = bounce_chain_next(q, &head);

    if (rc == 0)
        return bounce_guest_idle(q) ? 0 : 1;
    if (rc < 0)
        return rc;
    if (bounce_chain_is_lent(q, &q->scratch)) /* nothing was asked: it waits for the driver's reset */
        return 0;
    bounce_chain_advance(q, head);
    return chain_refuse(q, head) ? 1 : -1;
}

void bounce_queue_fail(struct bounce_queue *q)
{
    uint16_t old_used = q->saved->used_idx;
    int rc = 1;

    for (unsigned n = 0; rc > 0 && n < BOUNCE_BATCH; n++)
        rc = fail_one(q);
    if (rc < 0)
        return;
    if (rc > 0)
        guest_work_queue(q->guest.guest, &q->kick_work);
    bounce_interrupt_if_wanted(q, old_used);
}
