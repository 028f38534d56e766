/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * shared_eventfd.h - using an eventfd that a back-end has as well. That it does not block (O_NONBLOCK) is a
 * property of the open file, which the back-end can change at any time: then a full counter, or one that was
 * emptied between poll and read, would stop the event loop and with it every device of the guest. So each use
 * ends after a time. Called from the thread of the event loop alone. Owns a timer and the signal SIGRTMIN.
 */
#ifndef VHOST_DM_SHARED_EVENTFD_H
#define VHOST_DM_SHARED_EVENTFD_H

/* Adds 1 to the counter; a full one wakes whoever waits anyway. 0; -ETIMEDOUT: it blocks, nobody who means
 * well makes it so; other negative errno of write(). */
int shared_eventfd_signal(int fd);
/* Sets the counter to 0, if it is not. 0; -ETIMEDOUT: it blocks; other negative errno of read(). */
int shared_eventfd_clear(int fd);

#endif
