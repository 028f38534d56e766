// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * frontend_steps.c - runs the jobs of frontend_jobs.c on the main channel: sends the message of each step, at
 * most one reply outstanding, so the reply that arrives can only be that of the present step; anything else
 * ends the connection. Messages that have no reply by nature are acknowledged when REPLY_ACK is negotiated,
 * so that a refusal can be named.
 */
#include "dm/frontend_internal.h"

#include <errno.h>
#include <string.h>

/* The rings that a grouped step of the present job is for. */
static bool queue_wanted(const struct frontend *fe, unsigned queue)
{
    if (fe->job == FRONTEND_JOB_START)
        return fe->setup->queues[queue].enabled;
    return (fe->live_queues >> queue & 1) != 0;
}

/* The first wanted ring from the given one on, or FRONTEND_MAX_QUEUES. */
static unsigned queue_from(const struct frontend *fe, unsigned queue)
{
    while (queue < FRONTEND_MAX_QUEUES && !queue_wanted(fe, queue))
        queue++;
    return queue;
}

/* Sets fe->queue for the step that fe->step has come to; steps over groups that no ring wants. */
static void step_enter(struct frontend *fe)
{
    const struct frontend_step *table = frontend_jobs[fe->job];

    while (table[fe->step].group != 0) {
        unsigned group = table[fe->step].group;

        fe->queue = queue_from(fe, 0);
        if (fe->queue < FRONTEND_MAX_QUEUES)
            return;
        while (table[fe->step].group == group)
            fe->step++;
    }
}

static void step_next(struct frontend *fe)
{
    const struct frontend_step *table = frontend_jobs[fe->job];
    unsigned group = table[fe->step].group, queue;

    if (table[fe->step].more != NULL && table[fe->step].more(fe))
        return;
    fe->step++;
    if (group != 0 && table[fe->step].group == group)
        return;
    queue = group != 0 ? queue_from(fe, fe->queue + 1) : FRONTEND_MAX_QUEUES;
    if (queue == FRONTEND_MAX_QUEUES) {
        step_enter(fe);
        return;
    }
    /* The same group again, for the next ring. */
    fe->queue = queue;
    while (fe->step > 0 && table[fe->step - 1].group == group)
        fe->step--;
}

static bool step_is_end(const struct frontend_step *step)
{
    return step->request == 0 && step->answer != FRONTEND_STEP_LOCAL;
}

static void job_begin(struct frontend *fe, enum frontend_job job)
{
    fe->job = job;
    fe->todo &= ~(1u << job);
    fe->step = 0;
    switch (job) {
    case FRONTEND_JOB_HANDSHAKE:
        fe->probe_len = fe->was_ready ? fe->config_len : fe->config_wanted;
        fe->probe_bad = fe->probe_len + 1;
        if (!fe->was_ready)
            fe->config_len = 0;
        break;
    case FRONTEND_JOB_CONFIG_READ:
        fe->probe_len = fe->config_len;
        break;
    case FRONTEND_JOB_STOP:
    case FRONTEND_JOB_START:
    case FRONTEND_JOB_MEMORY:
    case FRONTEND_JOB_CONFIG_WRITE:
    case FRONTEND_NO_JOB:
        break;
    }
    step_enter(fe);
}

static void job_end(struct frontend *fe)
{
    enum frontend_job job = fe->job;

    fe->job = FRONTEND_NO_JOB;
    switch (job) {
    case FRONTEND_JOB_HANDSHAKE:
        fe->report = FRONTEND_REPORT_READY;
        /* What the driver wrote meanwhile comes after what was read. */
        if (fe->config_written)
            fe->todo |= 1u << FRONTEND_JOB_CONFIG_READ;
        break;
    case FRONTEND_JOB_START:
        frontend_setup_free(fe);
        if (fe->state == FRONTEND_STARTING)
            fe->report = FRONTEND_REPORT_STARTED;
        break;
    case FRONTEND_JOB_STOP:
        frontend_setup_free(fe);
        fe->live_queues = 0;
        fe->report = FRONTEND_REPORT_STOPPED;
        break;
    case FRONTEND_JOB_MEMORY:
        frontend_plan_free(fe);
        break;
    case FRONTEND_JOB_CONFIG_WRITE:
        if (!list_is_empty(&fe->config_writes))
            fe->todo |= 1u << FRONTEND_JOB_CONFIG_WRITE;
        break;
    case FRONTEND_JOB_CONFIG_READ:
    case FRONTEND_NO_JOB:
        break;
    }
    if (fe->report != FRONTEND_REPORT_NONE || fe->todo != 0)
        frontend_schedule(fe);
}

static bool step_acked(const struct frontend *fe, const struct frontend_step *step)
{
    return step->answer == FRONTEND_STEP_ACK && frontend_has(fe, VHOST_USER_PROTOCOL_F_REPLY_ACK);
}

/* Sends the message of the present step. 1: sent; 0: the channel is full; negative errno. */
static int step_send(struct frontend *fe)
{
    const struct frontend_step *step = &frontend_jobs[fe->job][fe->step];
    struct vhost_user_msg msg;
    bool acked = step_acked(fe, step);
    int err;

    if (step->prepare != NULL) {
        err = step->prepare(fe);
        if (err < 0)
            return err;
    }
    if (step->answer == FRONTEND_STEP_LOCAL) {
        step_next(fe);
        return 1;
    }
    vhost_user_msg_init(&msg, step->request, 0);
    if (acked)
        msg.header.flags |= VHOST_USER_FLAG_NEED_REPLY;
    if (step->build != NULL)
        step->build(fe, &msg);
    err = vhost_user_channel_send(fe->main, &msg);
    if (err == -ENOBUFS)
        return 0;
    if (err < 0)
        return frontend_fail(
            fe, err, "sending %s: %s", vhost_user_request_name(VHOST_USER_FRONTEND, step->request),
            vhost_user_channel_error(fe->main)[0] != '\0' ? vhost_user_channel_error(fe->main)
                                                          : strerror(-err));
    if (step->sent != NULL)
        step->sent(fe);
    if (acked || step->answer == FRONTEND_STEP_REPLY)
        fe->awaiting = step->request;
    else
        step_next(fe);
    return 1;
}

/* The next job that waits, by its place in the enum; jobs that follow a change of state wait for its report.
 */
static enum frontend_job job_next(const struct frontend *fe)
{
    for (enum frontend_job job = 0; job < FRONTEND_NR_JOBS; job++)
        if ((fe->todo >> job & 1) != 0)
            return job;
    return FRONTEND_NO_JOB;
}

/* Whether nobody wants the rest of the present job any more. */
static bool job_is_over(const struct frontend *fe)
{
    return fe->state == FRONTEND_STOPPING &&
           (fe->job == FRONTEND_JOB_START || fe->job == FRONTEND_JOB_MEMORY);
}

int frontend_run(struct frontend *fe)
{
    while (fe->awaiting == 0) {
        const struct frontend_step *step;
        int err;

        if (fe->job == FRONTEND_NO_JOB) {
            enum frontend_job job = job_next(fe);

            if (job == FRONTEND_NO_JOB)
                return 0;
            job_begin(fe, job);
        }
        step = &frontend_jobs[fe->job][fe->step];
        if (step_is_end(step) || job_is_over(fe)) {
            job_end(fe);
        } else if (step->wanted != NULL && !step->wanted(fe)) {
            step_next(fe);
        } else {
            err = step_send(fe);
            if (err <= 0)
                return err;
        }
    }
    return 0;
}

/* ---- replies ------------------------------------------------------------------------------------ */

static int reply_check(struct frontend *fe, const struct vhost_user_msg *msg)
{
    const char *name = vhost_user_request_name(VHOST_USER_FRONTEND, fe->awaiting);

    if (fe->awaiting == 0)
        return frontend_fail(fe, -EPROTO, "it sent a message that nothing had asked for (number %u)",
                             msg->header.request);
    if (msg->header.request != fe->awaiting)
        return frontend_fail(fe, -EPROTO, "it answered %s with a reply to another message (number %u)", name,
                             msg->header.request);
    if (msg->header.flags != (VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY))
        return frontend_fail(fe, -EPROTO, "its reply to %s has flags 0x%x", name, msg->header.flags);
    if (msg->nr_fds > 0 || msg->fds_lost)
        return frontend_fail(fe, -EPROTO, "its reply to %s comes with fds", name);
    return 0;
}

static int reply_handle(struct frontend *fe, const struct vhost_user_msg *msg)
{
    const struct frontend_step *step;
    const char *name;
    int err = reply_check(fe, msg);

    if (err < 0)
        return err;
    step = &frontend_jobs[fe->job][fe->step];
    name = vhost_user_request_name(VHOST_USER_FRONTEND, fe->awaiting);
    if (step->answer == FRONTEND_STEP_ACK || step->reply_size != 0) {
        size_t size = step->answer == FRONTEND_STEP_ACK ? sizeof(uint64_t) : step->reply_size;

        if (msg->header.size != size)
            return frontend_fail(fe, -EPROTO, "its reply to %s has %u bytes instead of %zu", name,
                                 msg->header.size, size);
    }
    if (step->reply != NULL)
        err = step->reply(fe, msg);
    else if (msg->payload.u64 != 0)
        err = frontend_fail(fe, -EREMOTEIO, "it refused %s (reply 0x%llx)", name,
                            (unsigned long long)msg->payload.u64);
    if (err < 0)
        return err;
    fe->awaiting = 0;
    fe->progress++;
    if (err != FRONTEND_STEP_AGAIN)
        step_next(fe);
    return 0;
}

/* The connection broke while receiving: say what was waited for. */
static int receive_failed(struct frontend *fe, int err)
{
    const char *why = vhost_user_channel_error(fe->main);

    if (fe->awaiting == 0)
        return frontend_fail(fe, err, "%s", why);
    return frontend_fail(fe, err, "%s (waiting for the reply to %s)", why,
                         vhost_user_request_name(VHOST_USER_FRONTEND, fe->awaiting));
}

int frontend_main_readable(struct frontend *fe)
{
    struct vhost_user_msg msg;

    for (unsigned i = 0; i < FRONTEND_BURST; i++) {
        int err = vhost_user_channel_receive(fe->main, &msg);

        if (err == 0)
            return 0;
        if (err < 0)
            return receive_failed(fe, err);
        err = reply_handle(fe, &msg);
        vhost_user_msg_close_fds(&msg);
        if (err == 0)
            err = frontend_run(fe);
        if (err < 0)
            return err;
    }
    return 0;
}
