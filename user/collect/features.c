// SPDX-License-Identifier: GPL-2.0-only
#include "user/collect/features.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "bpf/probe.skel.h"

/* Arguments of a tracepoint's programs: those of its btf_trace_* function but void *data. */
static int tracepoint_args(const struct btf *btf, const char *name)
{
	const struct btf_type *t;
	int id = btf__find_by_name_kind(btf, name, BTF_KIND_TYPEDEF);

	if (id < 0)
		return -1;
	t = btf__type_by_id(btf, btf__type_by_id(btf, id)->type);
	if (!t || !btf_is_ptr(t))
		return -1;
	t = btf__type_by_id(btf, t->type);
	return t && btf_is_func_proto(t) ? btf_vlen(t) - 1 : -1;
}

/* Does the kernel have this helper? enum bpf_func_id lists those it was built with. */
static bool has_helper(const struct btf *btf, const char *name)
{
	int id = btf__find_by_name_kind(btf, "bpf_func_id", BTF_KIND_ENUM);
	const struct btf_type *t = id < 0 ? NULL : btf__type_by_id(btf, id);

	for (int i = 0; t && i < btf_vlen(t); i++)
		if (!strcmp(btf__name_by_offset(btf, btf_enum(t)[i].name_off), name))
			return true;
	return false;
}

static bool has_struct(const struct btf *btf, const char *name)
{
	return btf__find_by_name_kind(btf, name, BTF_KIND_STRUCT) > 0;
}

static bool has_func(const struct btf *btf, const char *name)
{
	return btf__find_by_name_kind(btf, name, BTF_KIND_FUNC) > 0;
}

const char *features__tracefs(void)
{
	static const char *const places[] = { "/sys/kernel/tracing", "/sys/kernel/debug/tracing" };
	struct statfs fs;

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (!statfs(places[i], &fs) && fs.f_type == TRACEFS_MAGIC)
			return places[i];
	return NULL;
}

int features__privileges(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { 0 } };
	unsigned long long have;
	/* CAP_SYS_ADMIN stands for BPF and PERFMON: kernels before 5.8 know only that. */
	const unsigned long long admin = 1ULL << CAP_SYS_ADMIN | 1ULL << CAP_SYS_PTRACE;
	const unsigned long long fine = 1ULL << CAP_BPF | 1ULL << CAP_PERFMON |
					1ULL << CAP_SYS_PTRACE;

	if (syscall(SYS_capget, &head, data))
		return -errno;
	have = data[0].effective | (unsigned long long)data[1].effective << 32;
	return (have & admin) == admin || (have & fine) == fine ? 0 : -EPERM;
}

int features__detect(struct features *ret)
{
	struct btf *btf;
	int err;

	memset(ret, 0, sizeof(*ret));
	ret->tracefs = features__tracefs() != NULL;
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		return -errno;
	btf = btf__parse_raw("/sys/kernel/btf/vmlinux");
	err = libbpf_get_error(btf);
	if (err)
		return err;
	ret->btf = true;
	/* The helper's enum came in 5.9 for LSM programs; tracing programs' own prototype in 5.11. */
	ret->task_storage = has_func(btf, "bpf_task_storage_get") && has_helper(btf, "BPF_FUNC_get_"
										     "current_task_"
										     "btf");
	ret->task_regs = has_helper(btf, "BPF_FUNC_task_pt_regs");
	ret->calm = has_func(btf, "bpf_preempt_disable");
	ret->bpf_loop = has_helper(btf, "BPF_FUNC_loop");
	ret->uprobe_multi = has_func(btf, "bpf_uprobe_multi_link_attach");
	ret->ringbuf = has_helper(btf, "BPF_FUNC_ringbuf_output");
	ret->switch_state = tracepoint_args(btf, "btf_trace_sched_switch") >= 4;
	ret->iter_task = has_struct(btf, "bpf_iter__task") || has_func(btf, "bpf_iter_task");
	btf__free(btf);
	return 0;
}

/* Loads and attaches one program of the skeleton; 0 or -errno. */
static int try_attach(const char *name)
{
	struct probe_bpf *skel = probe_bpf__open();
	struct bpf_program *prog;
	struct bpf_link *link;
	int err;

	if (!skel)
		return -errno;
	prog = bpf_object__find_program_by_name(skel->obj, name);
	err = prog ? bpf_program__set_autoload(prog, true) : -ENOENT;
	if (!err)
		err = probe_bpf__load(skel);
	if (!err) {
		link = bpf_program__attach(prog);
		err = libbpf_get_error(link);
		if (!err)
			bpf_link__destroy(link);
	}
	probe_bpf__destroy(skel);
	return err;
}

void features__probe_fentry(struct features *f)
{
	f->fentry_err = try_attach("hu_probe_fentry");
	f->fentry = !f->fentry_err;
}

void features__probe(struct features *f)
{
	features__probe_fentry(f);
	f->tp_btf_err = try_attach("hu_probe_tp_btf");
	f->raw_tp_err = try_attach("hu_probe_raw_tp");
	f->tp_btf = !f->tp_btf_err;
	f->raw_tp = !f->raw_tp_err;
	/* PMU that uprobes need, kernel/events/core.c (perf_uprobe); since 4.17 no tracefs is asked
	 * for. */
	f->uprobe = !access("/sys/bus/event_source/devices/uprobe/type", R_OK);
}
