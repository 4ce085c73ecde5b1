// SPDX-License-Identifier: GPL-2.0-only
#include "user/sym/module.h"

#include <libiberty/demangle.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#define MANGLED_MAX 4096  /* bytes; longer names stay as they are */
#define OUTPUT_MAX  16384 /* substitutions let a short name expand exponentially */

/* Text as the demangler emits it; over: it was too much, and we left by longjmp. */
struct output {
	char *buf;
	size_t len;
	jmp_buf over;
};

/*
 * The demanglers can't be told to stop, but keep all that they allocate on the stack when they
 * print through a callback, so leaving them by longjmp loses nothing.
 */
static void emit(const char *text, size_t len, void *arg)
{
	struct output *out = arg;

	if (len > OUTPUT_MAX - out->len)
		longjmp(out->over, 1);
	memcpy(out->buf + out->len, text, len);
	out->len += len;
}

/* The recursion limit is left on in both: names are hostile. No parameter lists: they hide the
 * name. */
static bool demangle(const char *name, struct output *out)
{
	if (setjmp(out->over))
		return false;
	if (rust_demangle_callback(name, DMGL_NO_OPTS, emit, out))
		return true;
	out->len = 0;
	return cplus_demangle_v3_callback(name, DMGL_ANSI, emit, out);
}

char *demangle__name(const char *name)
{
	struct output out = { 0 };
	char *ret = NULL;

	/* Itanium C++ ABI and Rust legacy: _Z; Rust v0: _R. */
	if (name[0] != '_' || (name[1] != 'Z' && name[1] != 'R') ||
	    strnlen(name, MANGLED_MAX + 1) > MANGLED_MAX)
		return strdup(name);
	out.buf = malloc(OUTPUT_MAX);
	if (!out.buf)
		return NULL;
	if (demangle(name, &out) && out.len && !memchr(out.buf, '\0', out.len))
		ret = strndup(out.buf, out.len);
	else
		ret = strdup(name);
	free(out.buf);
	return ret;
}
