// SPDX-License-Identifier: GPL-2.0-only
#include "user/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/model/offcpu.h"
#include "user/util/log.h"
#include "user/util/parse.h"
#include "user/util/text.h"
#include "user/view/view.h"

#define RING_SZ_DEFAULT	   (16ULL << 20)
#define UNWIND_MEM_DEFAULT (16ULL << 20)
#define UNWIND_MEM_MAX	   (2ULL << 30)
#define RING_SZ_MAX	   (1ULL << 30)
#define PID_MAX_LIMIT	   (4 << 20) /* include/linux/threads.h */

enum {
	OPT_COMM = 256,
	OPT_CGROUP,
	OPT_JSON,
	OPT_JSON_SCHEMA,
	OPT_SORT,
	OPT_BY,
	OPT_MIN_WAIT,
	OPT_IDLE,
	OPT_FUTEX_CALLS,
	OPT_DEBUGINFOD,
	OPT_RING_SIZE,
	OPT_UNWIND_MEM,
	OPT_ASSUME,
	OPT_ALL,
	OPT_RAW,
	OPT_DOT,
	OPT_WATCH,
	OPT_LONGER,
	OPT_FOR,
	OPT_TIMEOUT,
	OPT_STATE,
	OPT_SCHED,
	OPT_FOLDED,
	OPT_IGNORE,
	OPT_MIN_AGE,
	OPT_BASELINE,
	OPT_HOLD,
	OPT_GO_PROBES,
};

static const struct option long_options[] = {
	{ "pid", required_argument, NULL, 'p' },
	{ "tid", required_argument, NULL, 't' },
	{ "comm", required_argument, NULL, OPT_COMM },
	{ "cgroup", required_argument, NULL, OPT_CGROUP },
	{ "duration", required_argument, NULL, 'd' },
	{ "interval", required_argument, NULL, 'i' },
	{ "rows", required_argument, NULL, 'n' },
	{ "output", required_argument, NULL, 'o' },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "json-schema", no_argument, NULL, OPT_JSON_SCHEMA },
	{ "sort", required_argument, NULL, OPT_SORT },
	{ "by", required_argument, NULL, OPT_BY },
	{ "min-wait", required_argument, NULL, OPT_MIN_WAIT },
	{ "idle", no_argument, NULL, OPT_IDLE },
	{ "futex-calls", no_argument, NULL, OPT_FUTEX_CALLS },
	{ "debuginfod", no_argument, NULL, OPT_DEBUGINFOD },
	{ "ring-size", required_argument, NULL, OPT_RING_SIZE },
	{ "unwind-mem", required_argument, NULL, OPT_UNWIND_MEM },
	{ "assume", required_argument, NULL, OPT_ASSUME },
	{ "all", no_argument, NULL, OPT_ALL },
	{ "raw", no_argument, NULL, OPT_RAW },
	{ "dot", no_argument, NULL, OPT_DOT },
	{ "watch", no_argument, NULL, OPT_WATCH },
	{ "longer-than", required_argument, NULL, OPT_LONGER },
	{ "for", required_argument, NULL, OPT_FOR },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "state", required_argument, NULL, OPT_STATE },
	{ "sched", no_argument, NULL, OPT_SCHED },
	{ "folded", no_argument, NULL, OPT_FOLDED },
	{ "ignore", required_argument, NULL, OPT_IGNORE },
	{ "min-age", required_argument, NULL, OPT_MIN_AGE },
	{ "baseline", required_argument, NULL, OPT_BASELINE },
	{ "hold", no_argument, NULL, OPT_HOLD },
	{ "go-probes", no_argument, NULL, OPT_GO_PROBES },
	{ "verbose", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

struct choice {
	const char *name;
	int value;
};

static const struct choice sorts[] = {
	{ "wait", SORT_WAIT }, { "waits", SORT_WAITS }, { "max", SORT_MAX },
	{ "avg", SORT_AVG },   { "p99", SORT_P99 },	{ "waiters", SORT_WAITERS },
	{ NULL, 0 },
};
static const struct choice bys[] = {
	{ "lock", BY_LOCK },
	{ "site", BY_SITE },
	{ "process", BY_PROCESS },
	{ NULL, 0 },
};

static const struct choice off_bys[] = {
	{ "stack", OFF_BY_STACK },   { "reason", OFF_BY_REASON }, { "process", OFF_BY_PROCESS },
	{ "thread", OFF_BY_THREAD }, { "waker", OFF_BY_WAKER },	  { NULL, 0 },
};

static int complain(const char *option, const char *value, const char *expected)
{
	char shown[128];

	text__escape(value, strlen(value), shown, sizeof(shown));
	log__msg("%s %s: expected %s", option, shown, expected);
	return -EINVAL;
}

static int choose(const char *option, const char *value, const struct choice *choices, int *ret)
{
	char names[128] = "";
	size_t used = 0;

	for (const struct choice *c = choices; c->name; c++) {
		if (!strcmp(c->name, value)) {
			*ret = c->value;
			return 0;
		}
		used += snprintf(names + used, sizeof(names) - used, "%s%s", used ? ", " : "",
				 c->name);
	}
	return complain(option, value, names);
}

static int parse_pids(const char *text, struct options *o)
{
	const char *expected = "process IDs separated by commas, such as 123,456";
	char *copy = strdup(text), *rest = copy, *one;
	uint64_t pid;
	int err = copy ? 0 : -ENOMEM;

	while (!err && (one = strsep(&rest, ","))) {
		if (parse__u64(one, 1, PID_MAX_LIMIT, &pid))
			err = complain("-p", text, expected);
		else if (o->pid_cnt == OPTIONS_PIDS_MAX)
			err = complain("-p", text, "at most 256 process IDs");
		else
			o->pids[o->pid_cnt++] = pid;
	}
	free(copy);
	return err;
}

static int parse_time(const char *option, const char *text, uint64_t min_ns, uint64_t *ret_ns)
{
	if (parse__duration(text, ret_ns) || *ret_ns < min_ns)
		return complain(option, text, "a time above 0, such as 10s, 500ms or 2m");
	return 0;
}

static int parse_ring(const char *text, uint64_t *ret)
{
	uint64_t page = sysconf(_SC_PAGESIZE);

	if (parse__size(text, ret) || (*ret & (*ret - 1)) || *ret < page || *ret > RING_SZ_MAX)
		return complain("--ring-size", text,
				"a power of two from the page size to 1G, such as 16M");
	return 0;
}

static int parse_unwind_mem(const char *text, uint64_t *ret)
{
	uint64_t page = sysconf(_SC_PAGESIZE);

	if (parse__size(text, ret) || *ret < page || *ret > UNWIND_MEM_MAX)
		return complain("--unwind-mem", text,
				"a size from the page size to 2G, such as 64M");
	*ret &= ~(page - 1);
	return 0;
}

static int parse_assume(const char *text, struct options *o)
{
	if (!strcmp(text, "hash-state"))
		o->force_hash = true;
	else if (!strcmp(text, "raw-tracepoints"))
		o->force_raw = true;
	else if (!strcmp(text, "frame-pointers"))
		o->force_frame_pointers = true;
	else if (!strcmp(text, "no-stacks"))
		o->no_stacks = true;
	else if (!strcmp(text, "no-blame"))
		o->no_blame = true;
	else if (!strcmp(text, "no-iterator"))
		o->by_proc = true;
	else if (!strcmp(text, "no-last-look"))
		o->no_last_look = true;
	else if (!strcmp(text, "no-memo"))
		o->memo = HU_MEMO_OFF;
	else if (!strcmp(text, "check-memo"))
		o->memo = HU_MEMO_CHECK;
	else
		return complain("--assume", text,
				"hash-state, raw-tracepoints, frame-pointers, no-iterator, "
				"no-last-look, no-stacks, no-blame, no-memo "
				"or check-memo");
	return 0;
}

static int parse_one(int c, const char *arg, struct options *o)
{
	uint64_t number;
	int value, err;

	switch (c) {
	case 'p':
		return parse_pids(arg, o);
	case 't':
		if (parse__u64(arg, 1, PID_MAX_LIMIT, &number))
			return complain("-t", arg, "a thread ID");
		o->tid = number;
		return 0;
	case OPT_COMM:
		o->comm = arg;
		return 0;
	case OPT_CGROUP:
		o->cgroup = arg;
		return 0;
	case 'd':
		return parse_time("-d", arg, 1, &o->duration_ns);
	case 'i':
		return parse_time("-i", arg, 1000000, &o->interval_ns);
	case 'n':
		if (parse__u64(arg, 1, 100000, &number))
			return complain("-n", arg, "a number of rows from 1 to 100000");
		o->query.rows = number;
		return 0;
	case 'o':
		o->output = arg;
		return 0;
	case OPT_JSON:
		o->json = true;
		return 0;
	case OPT_SORT:
		err = choose("--sort", arg, sorts, &value);
		o->query.sort = err ? SORT_WAIT : value;
		return err;
	case OPT_BY:
		if (o->off_by)
			return choose("--by", arg, off_bys, &o->off_by);
		err = choose("--by", arg, bys, &value);
		o->query.by = err ? BY_LOCK : value;
		return err;
	case OPT_STATE:
		if (!*arg || arg[strspn(arg, "RSDTtI")])
			return complain("--state", arg, "some of the letters R, S, D, T, t and I");
		o->states = arg;
		return 0;
	case OPT_SCHED:
		o->sched = true;
		return 0;
	case OPT_FOLDED:
		o->folded = true;
		return 0;
	case OPT_MIN_WAIT:
		return parse_time("--min-wait", arg, 1, &o->min_wait_ns);
	case OPT_IDLE:
		o->query.idle = true;
		return 0;
	case OPT_HOLD:
		o->hold = true;
		return 0;
	case OPT_GO_PROBES:
		o->go_probes = true;
		return 0;
	case OPT_FUTEX_CALLS:
		o->futex_calls = true;
		return 0;
	case OPT_DEBUGINFOD:
		o->debuginfod = true;
		return 0;
	case OPT_RING_SIZE:
		return parse_ring(arg, &o->ring_sz);
	case OPT_UNWIND_MEM:
		return parse_unwind_mem(arg, &o->unwind_mem);
	case OPT_ASSUME:
		return parse_assume(arg, o);
	case OPT_RAW:
		o->all = o->raw = true;
		return 0;
	case OPT_ALL:
		o->all = true;
		return 0;
	case OPT_DOT:
		o->dot = true;
		return 0;
	case OPT_WATCH:
		o->watch = true;
		return 0;
	case OPT_LONGER:
		return parse_time("--longer-than", arg, 1000000, &o->longer_ns);
	case OPT_FOR:
		return parse_time("--for", arg, 1, &o->for_ns);
	case OPT_TIMEOUT:
		return parse_time("--timeout", arg, 1, &o->timeout_ns);
	case OPT_MIN_AGE:
		return parse_time("--min-age", arg, 1, &o->min_age_ns);
	case OPT_BASELINE:
		o->baseline = arg;
		return 0;
	case OPT_IGNORE:
		if (!*arg || o->ignore_cnt == OPTIONS_IGNORE_MAX)
			return complain("--ignore", arg,
					"a pattern of functions, at most 64 times");
		o->ignore[o->ignore_cnt++] = arg;
		return 0;
	case 'v':
		o->verbose++;
		return 0;
	}
	return -EINVAL;
}

static const struct option *find_option(int c)
{
	const struct option *o = long_options;

	while (o->name && o->val != c)
		o++;
	return o->name ? o : NULL;
}

/* Does the command's help have this option? --assume is for tests, and in none. */
static bool is_offered(int c, const char *help)
{
	const struct option *o = find_option(c);
	char name[40];
	const char *at;

	if (!o || c == OPT_ASSUME)
		return o;
	snprintf(name, sizeof(name), "--%s", o->name);
	for (at = strstr(help, name); at; at = strstr(at + 1, name))
		if (strchr(" \n", at[strlen(name)]))
			return true;
	return false;
}

/* Another command's option; its value may be a word of its own, so that argv does not tell which word it is. */
static int tell_not_offered(int c, const char *command)
{
	const struct option *o = find_option(c);

	if (c < 256)
		log__msg("%s has no option -%c (see holdup %s --help)", command, c, command);
	else
		log__msg("%s has no option --%s (see holdup %s --help)", command, o ? o->name : "?",
			 command);
	return EXIT_USAGE + 1;
}

static int tell_bad_option(int c, char **argv)
{
	char shown[128];

	text__escape(argv[optind - 1], strlen(argv[optind - 1]), shown, sizeof(shown));
	if (optopt && optopt < 256 && c == '?')
		log__msg("unknown option -%c (see holdup %s --help)", optopt, argv[0]);
	else
		log__msg("%s %s (see holdup %s --help)",
			 c == ':' ? "a value is missing after" : "unknown option", shown, argv[0]);
	return EXIT_USAGE + 1;
}

static int check_together(const struct options *o, int argc, char **argv)
{
	unsigned chosen = (o->pid_cnt > 0) + (o->tid > 0) + (o->comm != NULL) +
			  (o->cgroup != NULL) + (o->program != NULL);
	char shown[128];

	if (optind < argc && !o->program) {
		text__escape(argv[optind], strlen(argv[optind]), shown, sizeof(shown));
		log__msg("what is %s? Processes are chosen by -p, and a program to run follows --",
			 shown);
		return EXIT_USAGE + 1;
	}
	if (chosen > 1) {
		log__msg("choose one of -p, -t, --comm, --cgroup and -- PROGRAM");
		return EXIT_USAGE + 1;
	}
	if (o->hold && !o->pid_cnt && !o->program) {
		log__msg("--hold puts probes on each lock and unlock of chosen processes: name "
			 "them by "
			 "-p, or a program to run after --");
		return EXIT_USAGE + 1;
	}
	if (o->go_probes && !o->pid_cnt && !o->program) {
		log__msg("--go-probes puts probes on chosen Go programs: name them by -p, or a "
			 "program to run after --");
		return EXIT_USAGE + 1;
	}
	if (o->hold && o->query.by != BY_LOCK) {
		log__msg("--hold tells of locks: it goes with --by lock only");
		return EXIT_USAGE + 1;
	}
	if (o->interval_ns && o->duration_ns && o->interval_ns > o->duration_ns) {
		log__msg("-i is longer than -d");
		return EXIT_USAGE + 1;
	}
	return 0;
}

int options__parse(int argc, char **argv, const char *help, struct options *ret)
{
	struct options o = {
		.query = { .sort = SORT_WAIT, .by = BY_LOCK, .rows = 20 },
		.ring_sz = RING_SZ_DEFAULT,
		.unwind_mem = UNWIND_MEM_DEFAULT,
		.memo = HU_MEMO_ON,
		.off_by = !strcmp(argv[0], "offcpu") ? OFF_BY_STACK : 0,
	};
	int c, err;

	opterr = 0;
	optind = 0; /* glibc, musl: also forget where in a word an earlier parse ended */
	while ((c = getopt_long(argc, argv, "+:p:t:d:i:n:o:vh", long_options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			return view__flush(stdout) ? EXIT_FAILED + 1 : EXIT_FINE + 1;
		}
		if (c == OPT_JSON_SCHEMA)
			return view__json_schema(stdout) ? EXIT_FAILED + 1 : EXIT_FINE + 1;
		if (c == '?' || c == ':')
			return tell_bad_option(c, argv);
		if (!is_offered(c, help))
			return tell_not_offered(c, argv[0]);
		if (parse_one(c, optarg, &o))
			return EXIT_USAGE + 1;
	}
	if (optind < argc && optind > 1 && !strcmp(argv[optind - 1], "--"))
		o.program = &argv[optind];
	else if (optind == argc && optind > 1 && !strcmp(argv[optind - 1], "--")) {
		log__msg("a program is missing after --");
		return EXIT_USAGE + 1;
	}
	err = check_together(&o, argc, argv);
	if (err)
		return err;
	*ret = o;
	return 0;
}
