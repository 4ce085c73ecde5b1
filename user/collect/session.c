// SPDX-License-Identifier: GPL-2.0-only
#include "user/collect/session.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/collect/hold.h"
#include "user/collect/session_internal.h"
#include "user/util/log.h"

/* ---- loading */

static struct bpf_program *switch_program(const struct session *s)
{
	if (s->raw)
		return s->skel->progs.hu_switch_raw;
	return s->unwind ? s->skel->progs.hu_switch : s->skel->progs.hu_switch_fp;
}

static struct bpf_program *waking_program(const struct session *s)
{
	if (s->raw)
		return s->skel->progs.hu_waking_raw;
	return s->unwind ? s->skel->progs.hu_waking : s->skel->progs.hu_waking_fp;
}

static void want(struct bpf_program *prog)
{
	bpf_program__set_autoload(prog, true);
}

static struct bpf_program *birth_program(const struct session *s)
{
	if (s->raw)
		return s->skel->progs.hu_birth_raw;
	if (s->unwind && s->calm)
		return s->skel->progs.hu_birth_calm;
	return s->unwind ? s->skel->progs.hu_birth : s->skel->progs.hu_birth_fp;
}

static struct bpf_program *death_program(const struct session *s)
{
	if (s->raw)
		return s->skel->progs.hu_death_raw;
	if (s->unwind && s->calm)
		return s->skel->progs.hu_death_calm;
	return s->unwind ? s->skel->progs.hu_death : s->skel->progs.hu_death_fp;
}

static void choose_life_programs(struct session *s)
{
	static const char *const calls[] = { SESSION_PTHREAD_PROGRAMS };
	struct holdup_bpf *skel = s->skel;

	if (!s->lives) {
		bpf_map__set_max_entries(skel->maps.hu_pthread_calls, 1);
		bpf_map__set_max_entries(skel->maps.hu_life_sums, 1);
		bpf_map__set_autocreate(skel->maps.hu_birth_scratch, false);
		return;
	}
	want(birth_program(s));
	want(death_program(s));
	want(skel->progs.hu_alive);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		want(session__program(s, calls[i]));
}

static void choose_lock_programs(struct session *s, const struct features *f)
{
	struct holdup_bpf *skel = s->skel;

	want(switch_program(s));
	want(waking_program(s));
	want(skel->progs.hu_pending);
	if (f->task_regs) {
		want(skel->progs.hu_adopt);
		want(skel->progs.hu_where);
	}
	if (s->blame)
		want(skel->progs.hu_settle);
	if (s->calls_by_tp)
		want(skel->progs.hu_futex_tp);
	else if (s->calls_wanted)
		want(skel->progs.hu_futex_fexit);
}

static void choose_programs(struct session *s, const struct session_config *cfg,
			    const struct features *f)
{
	struct holdup_bpf *skel = s->skel;

	if (s->offcpu)
		session__choose_offcpu(s, cfg);
	else
		session__leave_out_offcpu(s);
	choose_life_programs(s);
	if (s->waits)
		choose_lock_programs(s, f);
	want(s->raw ? skel->progs.hu_fork_raw : skel->progs.hu_fork);
	want(s->raw ? skel->progs.hu_exec_raw : skel->progs.hu_exec);
	want(s->raw ? skel->progs.hu_exit_raw : skel->progs.hu_exit);
	if (s->hash)
		bpf_map__set_autocreate(skel->maps.hu_threads, false);
	else
		bpf_map__set_max_entries(skel->maps.hu_threads_hash, 1);
	if (!s->offcpu && (s->hash || !s->unwind))
		bpf_map__set_autocreate(skel->maps.hu_memos, false);
	if (!s->waits) {
		bpf_map__set_max_entries(skel->maps.hu_sums, 1);
		bpf_map__set_max_entries(skel->maps.hu_locks, 1);
	}
	if (!s->calls_wanted)
		bpf_map__set_max_entries(skel->maps.hu_calls, 1);
	if (!s->blame)
		bpf_map__set_max_entries(skel->maps.hu_tracked, 1);
	if (!s->unwind)
		bpf_map__set_max_entries(skel->maps.hu_maps, 1);
}

static void configure(struct session *s, const struct session_config *cfg, const struct features *f)
{
	struct hu_config *c = (struct hu_config *)&s->skel->rodata->hu_cfg;

	c->filters = cfg->filters;
	c->off_mode = cfg->off_mode;
	c->off_min_ns = cfg->off_min_ns;
	for (long nr = 0; nr < 64 * HU_FD_CALL_WORDS; nr++)
		if (cfg->takes_fd && cfg->takes_fd(nr))
			c->fd_calls[nr / 64] |= 1ULL << (nr & 63);
	c->tid = cfg->tid;
	c->self_tgid = getpid();
	c->task_storage = !s->hash;
	c->task_regs = f->task_regs;
	c->switch_state = f->switch_state;
	c->ring_sz = cfg->ring_sz;
	c->join_cpu_ns = cfg->join_cpu_ns;
	c->holder_every_ns = cfg->holder_every_ns;
	c->stacks = cfg->stacks;
	c->lifetimes = s->lives;
	c->unwind = s->unwind;
	c->blame = s->blame;
	c->wakes_seen = s->calls_wanted && !s->calls_by_tp;
	c->memo = s->unwind && !s->hash ? cfg->memo : HU_MEMO_OFF;
	if (cfg->comm)
		c->comm = *cfg->comm;
	bpf_map__set_max_entries(s->skel->maps.hu_ring, cfg->ring_sz);
	if (s->unwind)
		bpf_map__set_max_entries(s->skel->maps.hu_rows, cfg->rows);
	/* A sum has an entry for each CPU on which it is added to. */
	if (s->waits)
		bpf_map__set_max_entries(s->skel->maps.hu_sums, 4096 + 1024 * (uint32_t)s->ncpus);
	if (s->lives)
		bpf_map__set_max_entries(s->skel->maps.hu_life_sums,
					 4096 + 1024 * (uint32_t)s->ncpus);
}

static int fill_targets(struct session *s, const struct session_config *cfg)
{
	uint32_t zero = 0;

	for (size_t i = 0; i < cfg->tgid_cnt; i++) {
		int err = session__add_target(s, cfg->tgids[i]);

		if (err)
			return err;
	}
	if (cfg->filters & HU_FILTER_CGROUP)
		return bpf_map__update_elem(s->skel->maps.hu_cgroup, &zero, sizeof(zero),
					    &cfg->cgroup_fd, sizeof(cfg->cgroup_fd), BPF_ANY);
	return 0;
}

/* Kernels before 5.11 charge maps to RLIMIT_MEMLOCK; a refusal matters only there, and shows there.
 */
static void raise_memlock(void)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };

	if (setrlimit(RLIMIT_MEMLOCK, &all))
		log__info("RLIMIT_MEMLOCK can't be raised: %s (needed before Linux 5.11 only)",
			  strerror(errno));
}

static int open_and_load(struct session *s, const struct session_config *cfg,
			 const struct features *f, const char **why)
{
	int err;

	s->skel = holdup_bpf__open();
	if (!s->skel) {
		*why = "the BPF object can't be opened";
		return -errno;
	}
	choose_programs(s, cfg, f);
	session__hold_choose(s, f, cfg->hold);
	configure(s, cfg, f);
	err = holdup_bpf__load(s->skel);
	if (err == -EPERM || err == -EACCES)
		*why = "the kernel refused the BPF programs: run as root, and see kernel lockdown "
		       "and `holdup doctor`";
	else if (err == -ENOMEM)
		*why = "not enough memory for the BPF maps: try a smaller --ring-size";
	else if (err)
		*why = "the kernel did not accept the BPF programs: `holdup doctor` says what it "
		       "lacks, "
		       "-vv prints its reasons";
	return err;
}

static int on_ring(void *ctx, void *data, size_t sz)
{
	struct session *s = ctx;
	int err = s->source.on_record(s->source.on_record_ctx, data, sz);

	if (err && !s->handler_err)
		s->handler_err = err;
	return err;
}

int session__open(const struct session_config *cfg, const struct features *features,
		  struct session **ret, const char **why)
{
	struct session *s = calloc(1, sizeof(*s));
	int err;

	*why = "out of memory";
	if (!s)
		return -ENOMEM;
#if defined(__aarch64__)
	/* Computing them instead takes more stack than a BPF program has (bpf/arch.h). */
	if (!features->task_regs) {
		*why = "on arm64 the registers of threads need bpf_task_pt_regs(): Linux 5.15";
		free(s);
		return -EOPNOTSUPP;
	}
#endif
	s->offcpu = cfg->what & SESSION_OFFCPU;
	s->sched = cfg->off_mode & HU_OFF_SCHED;
	err = s->offcpu ? session__check_offcpu(cfg, features, why) : 0;
	if (err) {
		free(s);
		return err;
	}
	s->source.ops = &session_ops;
	s->ncpus = libbpf_num_possible_cpus();
	s->raw = cfg->force_raw;
	s->hash = cfg->force_raw || cfg->force_hash || !features->task_storage;
	s->unwind = cfg->stacks && cfg->rows && features->bpf_loop && !s->raw &&
		    !cfg->force_frame_pointers;
	s->waits = cfg->what & SESSION_WAITS;
	s->lives = cfg->what & SESSION_LIVES;
	s->blame = s->waits && s->unwind && cfg->blame;
	s->calm = features->calm;
	s->calls_by_tp = cfg->futex_calls && !features->fentry;
	s->calls_wanted = s->waits && (cfg->futex_calls || features->fentry);
	s->holds = cfg->hold;
	if (cfg->hold && (!s->unwind || s->hash)) {
		*why = "--hold needs bpf_loop() and task storage for tracing programs: Linux 5.17";
		free(s);
		return -EOPNOTSUPP;
	}
	raise_memlock();
	err = open_and_load(s, cfg, features, why);
	if (!err) {
		err = fill_targets(s, cfg);
		if (err)
			*why = "the wanted processes can't be set";
	}
	if (!err) {
		s->ring = ring_buffer__new(bpf_map__fd(s->skel->maps.hu_ring), on_ring, s, NULL);
		err = libbpf_get_error(s->ring);
		if (err)
			*why = "the ring buffer can't be mapped";
	}
	if (err) {
		session__free(s);
		return err;
	}
	*ret = s;
	return 0;
}

static int attach(struct session *s, struct bpf_program *prog)
{
	struct bpf_link *link = bpf_program__attach(prog);
	int err = libbpf_get_error(link);

	if (err)
		return err;
	s->links[s->link_cnt++] = link;
	return 0;
}

static int attach_calls(struct session *s, const char **why)
{
	struct holdup_bpf *skel = s->skel;
	int err;

	if (!s->calls_wanted)
		return 0;
	err = attach(s, s->calls_by_tp ? skel->progs.hu_futex_tp : skel->progs.hu_futex_fexit);
	s->sees_calls = !err;
	if (err && !s->calls_by_tp)
		*why = "fexit programs could be attached a moment ago, and can't be now: try again";
	else if (err && features__tracefs())
		*why = "the futex tracepoint can't be attached (--futex-calls)";
	else if (err)
		*why = "--futex-calls needs tracefs: mount -t tracefs nodev /sys/kernel/tracing";
	return err;
}

int session__attach(struct session *s, const char **why)
{
	struct holdup_bpf *skel = s->skel;
	/* Lives first: a process must not be seen waiting before its end would be noticed. */
	struct bpf_program *const progs[] = {
		s->raw ? skel->progs.hu_fork_raw : skel->progs.hu_fork,
		s->raw ? skel->progs.hu_exec_raw : skel->progs.hu_exec,
		s->raw ? skel->progs.hu_exit_raw : skel->progs.hu_exit,
		s->lives ? death_program(s) : NULL,
		s->lives ? birth_program(s) : NULL,
		s->sched ? skel->progs.hu_off_wakeup_new : NULL,
		s->sched ? skel->progs.hu_off_wakeup : NULL,
		s->offcpu ? skel->progs.hu_off_waking : NULL,
		s->offcpu ? skel->progs.hu_off_switch : NULL,
		s->waits ? waking_program(s) : NULL,
		s->waits ? switch_program(s) : NULL,
		s->holds ? skel->progs.hu_hold_exit : NULL,
		s->holds ? skel->progs.hu_hold_switch : NULL,
	};
	int err;

	/* Before the clock, which relies on it where it is wanted (hu_config.wakes_seen). */
	err = attach_calls(s, why);
	if (err)
		return err;
	for (size_t i = 0; i < sizeof(progs) / sizeof(progs[0]); i++) {
		err = progs[i] ? attach(s, progs[i]) : 0;
		if (err) {
			*why = "the scheduler's tracepoints can't be attached: `holdup doctor` "
			       "says "
			       "what this kernel allows";
			return err;
		}
	}
	return 0;
}

void session__detach(struct session *s)
{
	for (size_t i = 0; i < s->link_cnt; i++)
		bpf_link__destroy(s->links[i]);
	s->link_cnt = 0;
	/* An RCU grace period: tracepoint programs run inside one, so none is running after it. */
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0))
		usleep(20000);
}

int session__add_target(struct session *s, pid_t tgid)
{
	uint32_t key = tgid;
	uint8_t one = 1;

	return bpf_map__update_elem(s->skel->maps.hu_targets, &key, sizeof(key), &one, sizeof(one),
				    BPF_ANY);
}

void session__drop_target(struct session *s, pid_t tgid)
{
	uint32_t key = tgid;

	bpf_map__delete_elem(s->skel->maps.hu_targets, &key, sizeof(key), 0);
}

struct bpf_program *session__program(struct session *s, const char *name)
{
	struct bpf_program *calm = NULL;
	char variant[64];

	snprintf(variant, sizeof(variant), "%s_calm", name);
	if (s->calm)
		calm = bpf_object__find_program_by_name(s->skel->obj, variant);
	return calm ? calm : bpf_object__find_program_by_name(s->skel->obj, name);
}

struct source *session__source(struct session *s)
{
	return &s->source;
}

int session__rows_fd(const struct session *s)
{
	return s->unwind ? bpf_map__fd(s->skel->maps.hu_rows) : -1;
}

int session__maps_fd(const struct session *s)
{
	return s->unwind ? bpf_map__fd(s->skel->maps.hu_maps) : -1;
}

bool session__sees_futex_calls(const struct session *s)
{
	return s->sees_calls;
}

bool session__sees_blame(const struct session *s)
{
	return s->blame;
}

const char *session__hooks(const struct session *s)
{
	return s->raw ? "raw_tp" : "tp_btf";
}

void session__free(struct session *s)
{
	if (!s)
		return;
	session__detach(s);
	ring_buffer__free(s->ring);
	holdup_bpf__destroy(s->skel);
	/* Each takes the kernel up to 100 ms, which nobody's interval has to wait for. */
	for (size_t i = 0; i < s->hold.fd_cnt; i++)
		close(s->hold.fd[i]);
	free(s->hold.fd);
	free(s);
}
