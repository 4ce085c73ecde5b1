// SPDX-License-Identifier: GPL-2.0-only
#include "user/sym/module.h"

#include <libiberty/demangle.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MANGLED_MAX 4096  /* bytes; longer names stay as they are */
#define OUTPUT_MAX  16384 /* substitutions let a short name expand exponentially */
#define COLD	    " [cold]"

/* Text as the demangler emits it; over: it was too much, and we left by longjmp. */
struct output {
	char *buf;
	size_t len;
	jmp_buf over;
};

/*
 * What compilers put behind the name of a function that they split or specialised; a number may
 * follow. gcc: part, isra, constprop, lto_priv, localalias, cold (clone_function_name() in
 * gcc/cgraphclones.c and its callers); LLVM: llvm (ThinLTO's promoted locals), __uniq
 * (-funique-internal-linkage-names), cold. Others stay: .actor or .destroy of a coroutine and .avx2
 * of a multi-versioned function are code of their own.
 */
static const char *const clone[] = {
	"cold", "part", "isra", "constprop", "lto_priv", "localalias", "llvm", "__uniq",
};

static bool is_clone(const char *word, size_t len)
{
	for (size_t i = 0; i < sizeof(clone) / sizeof(clone[0]); i++)
		if (strlen(clone[i]) == len && memcmp(word, clone[i], len) == 0)
			return true;
	return false;
}

/* The length of name[0, len) without ".DIGITS" at its end. */
static size_t without_number(const char *name, size_t len)
{
	size_t at = len;

	while (at > 0 && name[at - 1] >= '0' && name[at - 1] <= '9')
		at--;
	return at > 1 && at < len && name[at - 1] == '.' ? at - 1 : len;
}

/* How much of a symbol is the name that its programmer wrote, mangled or not. */
static size_t source_len(const char *name, bool *ret_cold)
{
	size_t len = strlen(name), plain;
	const char *dot;

	*ret_cold = false;
	for (;;) {
		plain = without_number(name, len);
		dot = memrchr(name, '.', plain);
		if (!dot || dot == name || !is_clone(dot + 1, name + plain - dot - 1))
			break;
		*ret_cold |= name + plain - dot - 1 == 4 && memcmp(dot + 1, "cold", 4) == 0;
		len = dot - name;
	}
	/* A static variable within a function. In Go dots are part of names, so only after the only
	 * one. */
	return memchr(name, '.', plain) ? len : plain;
}

/*
 * The demanglers can't be told to stop, but keep all that they allocate on the stack when they
 * print through a callback, so leaving them by longjmp loses nothing.
 */
static void emit(const char *text, size_t len, void *arg)
{
	struct output *out = arg;

	if (len > OUTPUT_MAX - out->len)
		longjmp(out->over, 1);
	if (len) /* text may be NULL then */
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

/* Itanium C++ ABI and Rust legacy: _Z; Rust v0: _R. NULL: not mangled, or no memory. */
static char *try_demangle(const char *name)
{
	struct output out = { 0 };
	char *ret = NULL;

	if (name[0] != '_' || (name[1] != 'Z' && name[1] != 'R'))
		return NULL;
	out.buf = malloc(OUTPUT_MAX);
	if (out.buf && demangle(name, &out) && out.len && !memchr(out.buf, '\0', out.len))
		ret = strndup(out.buf, out.len);
	free(out.buf);
	return ret;
}

char *demangle__name(const char *name)
{
	char *source, *readable, *ret;
	bool cold;

	if (strnlen(name, MANGLED_MAX + 1) > MANGLED_MAX)
		return strdup(name);
	source = strndup(name, source_len(name, &cold));
	readable = source ? try_demangle(source) : NULL;
	if (!readable) {
		readable = source;
		source = NULL;
	}
	free(source);
	if (!cold || !readable)
		return readable;
	if (asprintf(&ret, "%s" COLD, readable) < 0)
		ret = NULL;
	free(readable);
	return ret;
}
