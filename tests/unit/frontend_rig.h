/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * frontend_events.h - an event loop for tests of the front-end, and the callbacks that it has called, in
 * order.
 */
#ifndef VHOST_DM_TESTS_FRONTEND_RIG_H
#define VHOST_DM_TESTS_FRONTEND_RIG_H

#include <ev.h>
#include <stdbool.h>

#include "common/util.h"
#include "dm/frontend.h"
#include "tests/unit/fake_backend.h"

enum frontend_event {
    EVENT_NONE, /* none within the time limit */
    EVENT_READY,
    EVENT_STARTED,
    EVENT_STOPPED,
    EVENT_LOST,
    EVENT_CONFIG,
};

#define EVENTS_MAX     64
#define EVENTS_SECONDS 20.0 /* nothing takes so long, on any machine */

struct frontend_events {
    struct ev_loop *loop;
    ev_timer guard;
    bool expired;
    bool in_call; /* set by a test around calls of frontend_*: no callback may come then */
    enum frontend_event queue[EVENTS_MAX];
    unsigned nr, taken;
    int err;                         /* of the last lost() */
    char why[256];                   /* of the last lost() */
    struct frontend **free_at_event; /* freed, and set to NULL, inside the next callback; or NULL */
};

/* Give them with a struct frontend_events as ctx. */
extern const struct frontend_callbacks frontend_events_callbacks;

void frontend_events_init(struct frontend_events *e);
void frontend_events_fini(struct frontend_events *e);

/* Runs the loop until there is an event that was not taken yet, at most so many seconds. */
enum frontend_event frontend_events_next(struct frontend_events *e, double seconds);

/* Runs the loop until the condition holds; what changes it must wake the loop. Fails the test after
 * EVENTS_SECONDS. */
#define frontend_events_until(e, condition)         \
    do {                                            \
        frontend_events_guard((e), EVENTS_SECONDS); \
        while (!(condition)) {                      \
            ck_assert(!(e)->expired);               \
            ev_run((e)->loop, EVRUN_ONCE);          \
        }                                           \
        ev_timer_stop((e)->loop, &(e)->guard);      \
    } while (0)
/* Starts the time that a wait may take. */
void frontend_events_guard(struct frontend_events *e, double seconds);

const char *frontend_event_name(enum frontend_event event);

/* The next event must be this one. */
#define expect_event(e, event)                                                                              \
    do {                                                                                                    \
        enum frontend_event got_ = frontend_events_next((e), EVENTS_SECONDS);                               \
                                                                                                            \
        if (got_ != (event))                                                                                \
            ck_abort_msg("%s instead of %s: %d, %s", frontend_event_name(got_), frontend_event_name(event), \
                         (e)->err, (e)->why);                                                               \
    } while (0)

/* ---- a front-end and a fake back-end ---- */

#define NR_QUEUES      3
#define VERSION_1      ((uint64_t)1 << 32)
#define PROTOCOL(name) ((uint64_t)1 << VHOST_USER_PROTOCOL_F_##name)

extern struct fake_backend fake;
extern struct frontend_events events;
extern struct frontend_options options;
extern struct frontend *fe;
/* Before rig_connect; rig_setup sets it to frontend_events_callbacks. */
extern const struct frontend_callbacks *rig_callbacks;
/* What is given to the back-end. */
extern int memfd, kicks[NR_QUEUES], calls[NR_QUEUES];

/* Fixtures. The fake back-end is not started; rig_teardown stops it if it was. */
void rig_setup(void);
void rig_teardown(void);

/* Begins to connect to the fake back-end. */
void rig_connect(void);
/* The same, and starts the fake back-end before. */
void rig_begin(void);
/* Starts all queues but number 1. As frontend_start. */
int rig_start(void);
/* As frontend_stop. */
int rig_stop(void);
/* For fake_backend_do: closes the connection. */
void rig_do_close(struct fake_backend *f);
/* The back-end closes the connection, and lost() comes. */
void rig_lose(void);
/* The next event must be lost(), with this error and with these words in the reason. */
void rig_expect_lost(int err, const char *why);

#endif
