// SPDX-License-Identifier: GPL-2.0-only
/* A lock in the data of a library that a program loads when it has long been running. */
#include <pthread.h>

int plugin_enter(void);
int plugin_leave(void);
void *plugin_lock_address(void);

static pthread_mutex_t plugin_lock = PTHREAD_MUTEX_INITIALIZER;
static volatile unsigned long plugin_visits;

__attribute__((noipa)) int plugin_enter(void)
{
	int rc = pthread_mutex_lock(&plugin_lock);

	plugin_visits += !rc; /* and no tail call */
	return rc;
}

int plugin_leave(void)
{
	return pthread_mutex_unlock(&plugin_lock);
}

void *plugin_lock_address(void)
{
	return &plugin_lock;
}
