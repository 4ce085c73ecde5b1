// SPDX-License-Identifier: GPL-2.0-only
#include "user/view/view.h"

#include <errno.h>
#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/util/log.h"

/* The linker places the file's bytes here; user/view/schema.json is the source. */
__asm__(".section .rodata\n"
	"holdup_schema: .incbin \"user/view/schema.json\"\n"
	"holdup_schema_end: .byte 0\n"
	".previous\n");
extern const char holdup_schema[], holdup_schema_end[];

struct view_style view__style(FILE *out)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	return (struct view_style){
		.colour = isatty(fileno(out)) && !(no_color && *no_color) &&
			  !(term && !strcmp(term, "dumb")),
		.utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8"),
	};
}

int view__flush(FILE *out)
{
	int err;

	errno = 0;
	if (!fflush(out) && !ferror(out))
		return 0;
	err = errno ? errno : EIO;
	log__msg("the report can't be written: %s", strerror(err));
	return -err;
}

int view__json_schema(FILE *out)
{
	fwrite(holdup_schema, 1, holdup_schema_end - holdup_schema, out);
	return view__flush(out);
}
