// SPDX-License-Identifier: GPL-2.0-only
/* Whose code a frame is: the program's own, or a runtime's that views fold away. */
#include <string.h>

#include "user/target/table.h"

/* Files, by their base names. */
static const struct {
	const char *pattern;
	const char *interpreter; /* see target__interpreter() */
} modules[] = {
	{ "libc.so*", NULL },	   { "libc-2.*", NULL },	 { "libpthread*", NULL },
	{ "ld-musl*", NULL },	   { "ld-linux*", NULL },	 { "libstdc++.so*", NULL },
	{ "libc++*", NULL },	   { "libgcc_s*", NULL },	 { "\\[vdso]", NULL },
	{ "libuv.so*", NULL },	   { "libjvm.so", "HotSpot" },	 { "libjli.so", "HotSpot" },
	{ "python3*", "CPython" }, { "libpython3*", "CPython" },
};

/* Functions in programs of any name: templates, and libraries that are linked in. */
static const char *const names[] = { "std::*",	    "__gnu_cxx::*", "__gthread_*", "core::*",
				     "alloc::*",    "parking_lot*", "lock_api::*", "<std::*",
				     "<core::*",    "<alloc::*",    "uv_*",	   "uv__*",
				     "v8::base::*", "runtime.*",    "sync.(\\**",  "sync.runtime_*",
				     "internal/*",  "syscall.*",    "time.Sleep" };

bool target__is_runtime(const struct sym_frame *f)
{
	const struct target_function *function;

	for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++)
		if (target__matches(modules[i].pattern, f->module))
			return true;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (target__matches(names[i], f->function))
			return true;
	/* Static programs: the library has no module. */
	function = target__function(f, "");
	return (function && function->rank != RANK_LABEL) || !strcmp(f->raw, "syscall");
}

const char *target__short_name(const char *function)
{
	size_t end = strcspn(function, "([<"), slash = end;

	while (slash && function[slash - 1] != '/')
		slash--;
	return slash && memchr(function + slash, '.', end - slash) ? function + slash : function;
}

const char *target__interpreter(const struct sym_frame *f)
{
	if (!*f->module)
		return *f->function ? NULL : "generated code";
	for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++)
		if (modules[i].interpreter && target__matches(modules[i].pattern, f->module))
			return modules[i].interpreter;
	return NULL;
}

void target__runtime(const char *module, const char **ret)
{
	static const struct {
		const char *pattern, *runtime;
	} files[] = {
		{ "libjvm.so", "java" },	{ "python[23]*", "python" },
		{ "libpython[23]*", "python" }, { "node", "node" },
		{ "nodejs", "node" },
	};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (target__matches(files[i].pattern, module))
			*ret = files[i].runtime;
}
