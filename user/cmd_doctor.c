// SPDX-License-Identifier: GPL-2.0-only
/* holdup doctor: what this kernel and machine can do, what is missing, and how to get it. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "user/collect/features.h"
#include "user/collect/go_probes.h"
#include "user/collect/hold.h"
#include "user/collect/session.h"
#include "user/collect/threads.h"
#include "user/commands.h"
#include "user/options.h"
#include "user/util/log.h"
#include "user/util/text.h"
#include "user/view/view.h"

static const char help[] = "usage: holdup doctor\n\n"
			   "Lists what the kernel offers and what holdup will use. Exit status 0: "
			   "holdup\n"
			   "locks works here; 3: it does not, and the lines marked NO say why.\n";

enum verdict {
	YES,
	NO,
	PARTLY
};

static void line(enum verdict v, const char *what, const char *meaning)
{
	static const char *const words[] = { [YES] = "yes", [NO] = "NO", [PARTLY] = "no" };

	printf("%-4s %-22s %s\n", words[v], what, meaning);
}

static void print_kernel(const struct features *f)
{
	line(f->btf ? YES : NO, "BTF",
	     f->btf ? "/sys/kernel/btf/vmlinux"
		    : "the kernel must be built with CONFIG_DEBUG_INFO_BTF (5.2 and newer)");
	line(f->ringbuf ? YES : NO, "ring buffer",
	     f->ringbuf ? "events" : "needs Linux 5.8 or newer");
	line(f->iter_task ? YES : NO, "task iterator",
	     f->iter_task ? "waits that are not over" : "needs Linux 5.8 or newer");
	line(f->task_storage ? YES : PARTLY, "task storage",
	     f->task_storage ? "state of each thread"
			     : "Linux 5.11: a hash for 32,768 threads is used instead");
	line(f->task_regs ? YES : PARTLY, "user registers",
	     f->task_regs ? "bpf_task_pt_regs()"
			  : "Linux 5.15: computed from the stack instead; stacks and check go by "
			    "/proc");
	line(f->switch_state ? YES : PARTLY, "state at switch",
	     f->switch_state ? "sched_switch passes it"
			     : "Linux 5.18: read from the task, which can miss a sleep that is "
			       "ended at once");
	line(f->tracefs ? YES : PARTLY, "tracefs",
	     f->tracefs ? "for --futex-calls where fexit is refused"
			: "not mounted: only --futex-calls would need it (mount -t tracefs nodev "
			  "/sys/kernel/tracing)");
}

static void print_attach(const struct features *f)
{
	char text[256];

	snprintf(text, sizeof(text), "%s",
		 f->tp_btf ? "the clock: sched_switch, sched_waking" : strerror(-f->tp_btf_err));
	line(f->tp_btf ? YES : NO, "tp_btf", text);
	line(f->raw_tp ? YES : PARTLY, "raw tracepoints",
	     f->raw_tp ? "used where tp_btf is refused" : strerror(-f->raw_tp_err));
	snprintf(text, sizeof(text),
		 "%s: futex calls that do not sleep and return codes are not counted by default; "
		 "--futex-calls counts them by the tracepoint, which slows every system call of "
		 "every process",
		 strerror(-f->fentry_err));
	line(f->fentry ? YES : PARTLY, "fentry, fexit",
	     f->fentry ? "futex calls and their results, at no cost to others" : text);
	line(f->uprobe ? YES : PARTLY, "uprobes",
	     f->uprobe ? "threads and leaks, --hold, --go-probes" : "no uprobe PMU");
}

/* ---- the proof: what commands would load is loaded, and attached */

static int fail(enum verdict v, const char *what, const char *why, int err)
{
	char text[512];

	snprintf(text, sizeof(text), "%s (%s)", why, strerror(-err));
	line(v, what, text);
	return err;
}

static void describe_hold(struct session *s, char *text, size_t sz)
{
	struct hold_price price;

	if (session__hold_price(s, &price))
		snprintf(text, sz, "loads and attaches; what a probe costs can't be measured");
	else
		snprintf(text, sz,
			 "a probe costs %.1f us where the kernel emulates the instruction, %.1f us "
			 "where not",
			 (double)price.emulated_ns / 1000, (double)price.stepped_ns / 1000);
}

static void describe(struct session *s, const struct session_config *cfg, char *text, size_t sz)
{
	const char *stacks = session__rows_fd(s) < 0 ? "by frame pointers, which most programs "
						       "lack (Linux 5.17)"
						     : "by unwind tables";

	if (cfg->hold)
		describe_hold(s, text, sz);
	else if (cfg->what & SESSION_WAITS)
		snprintf(text, sz,
			 "loads and attaches by %s; call stacks %s; what holders do is %s",
			 session__hooks(s), stacks,
			 session__sees_blame(s) ? "known" : "not known (Linux 5.17)");
	else
		snprintf(text, sz, "loads and attaches; call stacks %s", stacks);
}

/* failed: what to say when it does not work. */
static int try_session(const struct features *f, enum verdict failed, const char *what,
		       const struct session_config *chosen)
{
	struct session_config cfg = *chosen;
	struct session *s;
	const char *why = "";
	char text[256];
	int err;

	cfg.cgroup_fd = -1;
	cfg.ring_sz = 1 << 20;
	cfg.stacks = true;
	cfg.rows = 4096;
	cfg.memo = HU_MEMO_ON;
	cfg.force_raw = (cfg.what & SESSION_WAITS) && !cfg.hold && !f->tp_btf && f->raw_tp;
	err = session__open(&cfg, f, &s, &why);
	if (err)
		return fail(failed, what, why, err);
	err = session__attach(s, &why);
	if (!err)
		describe(s, &cfg, text, sizeof(text));
	session__free(s);
	if (err)
		return fail(failed, what, why, err);
	line(YES, what, text);
	return 0;
}

static void try_stacks(const struct features *f)
{
	static const struct threads_config all;
	const char *const what = "holdup stacks, check";
	struct threads *threads;
	const char *why = "";
	int err = threads__open(&all, f, &threads, &why);

	if (err) {
		fail(PARTLY, what, why, err);
		return;
	}
	threads__free(threads);
	line(f->task_regs ? YES : PARTLY, what,
	     f->task_regs ? "by the task iterator"
			  : "by /proc: since when threads wait is not known (Linux 5.15)");
}

static void try_go_probes(void)
{
	struct go_probes *probes;
	const char *why = "";
	int err = go_probes__open(&probes, &why);

	if (err) {
		fail(PARTLY, "locks --go-probes", why, err);
		return;
	}
	go_probes__free(probes);
	line(YES, "locks --go-probes", "loads; without it Go's locks are looked at from outside");
}

/* What `holdup locks` comes to; the others are told. */
static int try_commands(const struct features *f)
{
	static const struct session_config locks = { .what = SESSION_WAITS, .blame = true };
	static const struct session_config hold = { .what = SESSION_WAITS, .hold = true };
	static const struct session_config lives = { .what = SESSION_LIVES };
	static const struct session_config offcpu = { .what = SESSION_OFFCPU,
						      .off_mode = HU_OFF_WAKERS };
	static const struct session_config sched = { .what = SESSION_OFFCPU,
						     .off_mode = HU_OFF_SCHED };
	int err = try_session(f, NO, "holdup locks", &locks);

	try_session(f, PARTLY, "locks --hold", &hold);
	try_go_probes();
	try_stacks(f);
	try_session(f, PARTLY, "holdup threads, leaks", &lives);
	try_session(f, PARTLY, "holdup offcpu", &offcpu);
	try_session(f, PARTLY, "offcpu --sched", &sched);
	return err;
}

static int parse(int argc, char **argv)
{
	static const struct option options[] = { { "help", no_argument, NULL, 'h' },
						 { "verbose", no_argument, NULL, 'v' },
						 { 0 } };
	char shown[64];
	int c, verbose = 0;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "hv", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			return view__flush(stdout) ? EXIT_FAILED + 1 : EXIT_FINE + 1;
		}
		if (c != 'v') {
			log__msg("unknown option %s (see holdup doctor --help)",
				 text__escape(argv[optind - 1], strlen(argv[optind - 1]), shown,
					      sizeof(shown)));
			return EXIT_USAGE + 1;
		}
		log__set_verbose(++verbose);
	}
	if (optind < argc) {
		log__msg("holdup doctor takes no argument");
		return EXIT_USAGE + 1;
	}
	return 0;
}

int cmd_doctor(int argc, char **argv)
{
	struct features f;
	struct utsname kernel;
	int status = parse(argc, argv), err;
	bool root;

	if (status)
		return status - 1;
	if (uname(&kernel))
		return EXIT_FAILED;
	printf("holdup %s on Linux %s, %s\n\n", HOLDUP_VERSION, kernel.release, kernel.machine);
	root = !features__privileges();
	line(root ? YES : NO, "privileges",
	     root ? "enough"
		  : "run as root (sudo), or with CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE");
	features__detect(&f);
	print_kernel(&f);
	err = -EPERM;
	if (root && f.btf) {
		features__probe(&f);
		print_attach(&f);
		err = try_commands(&f);
	}
	if (view__flush(stdout))
		return EXIT_FAILED;
	return err ? EXIT_UNSUPPORTED : EXIT_FINE;
}
