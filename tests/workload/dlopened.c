// SPDX-License-Identifier: GPL-2.0-only
/*
 * A lock in a library that is loaded while the threads already wait for another one: their process's
 * mappings have been read by then. It is taken at first, for as long as it may take to read them again: stacks of
 * what is mapped since are whole from then on. --how close unloads it again before the program ends.
 */
#include "truth.h"
#include <dlfcn.h>

#define BEFORE_NS 100000000
#define LOOK_NS	  50000000

static pthread_mutex_t host_lock = PTHREAD_MUTEX_INITIALIZER;
static int host_site, plugin_site;
static int (*plugin_enter)(void), (*plugin_leave)(void);
static bool loaded;

TRUTH_FRAME static void use_host(void)
{
	TRUTH_WAIT(host_site, truth_ok(pthread_mutex_lock(&host_lock)));
	truth_took(host_site);
	truth_hold();
	truth_ok(pthread_mutex_unlock(&host_lock));
}

TRUTH_FRAME static void use_plugin(void)
{
	TRUTH_WAIT(plugin_site, truth_ok(plugin_enter()));
	truth_took(plugin_site);
	truth_hold();
	truth_ok(plugin_leave());
}

TRUTH_FRAME static void *worker(void *arg)
{
	uint64_t calls = 0;

	while (truth_more(&calls)) {
		if (__atomic_load_n(&loaded, __ATOMIC_ACQUIRE))
			use_plugin();
		else
			use_host();
		truth_pause();
	}
	truth_worker_ends();
	return arg;
}

/* lib/plugin.so beside this program. */
static void *load_plugin(void)
{
	void *library, *(*address)(void);
	char path[4096];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 32);

	if (length < 0)
		truth_die("/proc/self/exe", errno);
	path[length] = '\0';
	strcpy(strrchr(path, '/'), "/lib/plugin.so");
	library = dlopen(path, RTLD_NOW);
	if (!library) {
		fprintf(stderr, "dlopened: %s\n", dlerror());
		exit(1);
	}
	*(void **)&plugin_enter = dlsym(library, "plugin_enter");
	*(void **)&plugin_leave = dlsym(library, "plugin_leave");
	*(void **)&address = dlsym(library, "plugin_lock_address");
	if (!plugin_enter || !plugin_leave || !address)
		truth_die("dlsym", ENOENT);
	plugin_site = truth_lock("plugin_lock", address(), sizeof(pthread_mutex_t), "mutex",
				 TRUTH_CONTENTION, "plugin_enter use_plugin worker");
	truth_ok(plugin_enter());
	truth_took(plugin_site);
	__atomic_store_n(&loaded, true, __ATOMIC_RELEASE);
	truth_sleep(LOOK_NS);
	truth_ok(plugin_leave());
	return library;
}

int main(int argc, char **argv)
{
	void *library;
	int i;

	truth_start(argc, argv, "dlopened");
	host_site = truth_lock("host_lock", &host_lock, sizeof(host_lock), "mutex",
			       TRUTH_CONTENTION, "use_host worker");
	for (i = 0; i < truth_opt.threads; i++)
		truth_spawn(worker, NULL);
	truth_sleep(BEFORE_NS);
	library = load_plugin();
	truth_collect();
	if (truth_opt.how && !strcmp(truth_opt.how, "close"))
		truth_ok(dlclose(library));
	return truth_print();
}
