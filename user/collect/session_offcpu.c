// SPDX-License-Identifier: GPL-2.0-only
#include "user/collect/session_offcpu.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/collect/session_internal.h"

#define SITES_ROOM     4096 /* and … */
#define SITES_PER_CPU  2048 /* … for each CPU, on which a site has an entry of its own */
#define CPUS_WITH_ROOM 64

void session__leave_out_offcpu(struct session *s)
{
	const struct holdup_bpf *k = s->skel;
	struct bpf_map *const maps[] = {
		k->maps.hu_off_threads, k->maps.hu_off_sites,	k->maps.hu_off_sums,
		k->maps.hu_off_wakers,	k->maps.hu_off_kstacks, k->maps.hu_off_scratch,
		k->maps.hu_off_ask,	k->maps.hu_off_queues,	k->maps.hu_off_waking_scratch,
	};

	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++)
		bpf_map__set_autocreate(maps[i], false);
}

int session__check_offcpu(const struct session_config *cfg, const struct features *f,
			  const char **why)
{
	if (cfg->force_raw || cfg->force_hash || !f->task_storage || !f->task_regs ||
	    !f->bpf_loop) {
		*why = "time off the CPU is accounted from Linux 5.17 on (task storage, "
		       "bpf_task_pt_regs(), bpf_loop())";
		return -EOPNOTSUPP;
	}
	return 0;
}

static uint32_t sites_room(const struct session *s)
{
	return SITES_ROOM +
	       SITES_PER_CPU * (uint32_t)(s->ncpus < CPUS_WITH_ROOM ? s->ncpus : CPUS_WITH_ROOM);
}

void session__choose_offcpu(struct session *s, const struct session_config *cfg)
{
	struct holdup_bpf *skel = s->skel;

	bpf_program__set_autoload(skel->progs.hu_off_switch, true);
	bpf_program__set_autoload(skel->progs.hu_off_waking, true);
	bpf_program__set_autoload(skel->progs.hu_off_pending, true);
	bpf_program__set_autoload(skel->progs.hu_off_adopt, true);
	if (s->sched) {
		bpf_program__set_autoload(skel->progs.hu_off_wakeup, true);
		bpf_program__set_autoload(skel->progs.hu_off_wakeup_new, true);
	}
	bpf_map__set_max_entries(skel->maps.hu_off_sites, sites_room(s));
	bpf_map__set_max_entries(skel->maps.hu_off_queues, s->ncpus);
	bpf_map__set_max_entries(skel->maps.hu_locks, 1);
}

size_t session__off_room(const struct session *s)
{
	return sites_room(s);
}

void session__off_trim_kernel_stacks(struct session *s, bool (*known)(void *ctx, uint64_t id),
				     void *ctx)
{
	int fd = bpf_map__fd(s->skel->maps.hu_off_kstacks);
	uint64_t key, next;
	bool more = !bpf_map_get_next_key(fd, NULL, &next);

	while (more) {
		key = next;
		more = !bpf_map_get_next_key(fd, &key, &next);
		if (known(ctx, key))
			bpf_map_delete_elem(fd, &key);
	}
}

static int each_site(int fd, off_site_fn fn, void *ctx)
{
	struct hu_off_key key, next;
	struct hu_off_site site;
	bool more = !bpf_map_get_next_key(fd, NULL, &next);
	int err = 0;

	while (more && !err) {
		key = next;
		more = !bpf_map_get_next_key(fd, &key, &next);
		/* It may have gone, or is being made. */
		if (!bpf_map_lookup_elem(fd, &key, &site) && site.waits)
			err = fn(ctx, &key, &site);
	}
	return err;
}

int session__off_sites(struct session *s, off_site_fn fn, void *ctx)
{
	int err = each_site(bpf_map__fd(s->skel->maps.hu_off_sites), fn, ctx);

	return err ? err : each_site(bpf_map__fd(s->skel->maps.hu_off_sums), fn, ctx);
}

int session__off_wakers(struct session *s, off_waker_fn fn, void *ctx)
{
	int err = 0, fd = bpf_map__fd(s->skel->maps.hu_off_wakers);
	struct hu_off_waker_key key, next;
	struct hu_off_waker waker;
	bool more = !bpf_map_get_next_key(fd, NULL, &next);

	while (more && !err) {
		key = next;
		more = !bpf_map_get_next_key(fd, &key, &next);
		if (!bpf_map_lookup_elem(fd, &key, &waker) && waker.samples)
			err = fn(ctx, &key, &waker);
	}
	return err;
}

void session__off_drop(struct session *s, const struct hu_off_key *key)
{
	bpf_map_delete_elem(bpf_map__fd(s->skel->maps.hu_off_sites), key);
}

void session__off_drop_waker(struct session *s, const struct hu_off_waker_key *key)
{
	bpf_map_delete_elem(bpf_map__fd(s->skel->maps.hu_off_wakers), key);
}

int session__off_pending(struct session *s, source_record_fn fn, void *ctx)
{
	return session__iterate(s->skel->progs.hu_off_pending, sizeof(struct hu_off_now), fn, ctx);
}

int session__off_adopt(struct session *s, source_record_fn fn, void *ctx)
{
	return session__iterate(s->skel->progs.hu_off_adopt, sizeof(struct hu_off_now), fn, ctx);
}

int session__off_kernel_stack(struct session *s, uint64_t id, struct hu_kernel_stack *ret)
{
	int err = bpf_map__lookup_elem(s->skel->maps.hu_off_kstacks, &id, sizeof(id), ret,
				       sizeof(*ret), 0);

	if (!err && ret->frames > HU_OFF_KFRAMES)
		ret->frames = HU_OFF_KFRAMES;
	return err;
}

int session__off_queue(struct session *s, int cpu, struct hu_off_queue *ret)
{
	uint32_t key = cpu;

	if (cpu < 0 || cpu >= s->ncpus)
		return -ENOENT;
	return bpf_map__lookup_elem(s->skel->maps.hu_off_queues, &key, sizeof(key), ret,
				    sizeof(*ret), 0);
}

int session__off_turn(struct session *s, uint32_t turn)
{
	struct hu_off_ask ask = { .turn = turn };
	uint32_t zero = 0;

	return bpf_map__update_elem(s->skel->maps.hu_off_ask, &zero, sizeof(zero), &ask,
				    sizeof(ask), BPF_ANY);
}
