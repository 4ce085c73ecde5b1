/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Kernel stacks, most of them without a walk. bpf_get_stack() takes a microsecond or two; a thread that leaves the CPU
 * where it did before has the same return addresses at the same places of its kernel stack, and reading these again
 * takes a tenth of that.
 *
 * What is remembered of a stack are all words from the tracepoint's frame up to the caller of its outermost function
 * that could be one of its return addresses: all of these are among them, and maybe others, left over from earlier
 * calls. While every one of them is unchanged, so are the return addresses, and the kernel's walk, which depends on
 * nothing else, would give the same. The outermost frame, the entry into the kernel, is counted from the other end:
 * between the two the kernel leaves a gap of random size in each system call (CONFIG_RANDOMIZE_KSTACK_OFFSET).
 * A stack is only remembered if each of its addresses was found, in order. (Where the kernel signs return addresses,
 * arm64, none is, and each stack is walked.)
 *
 * --assume check-memo walks all the same and counts differences.
 */
#ifndef HOLDUP_BPF_KSTACK_H
#define HOLDUP_BPF_KSTACK_H

#include "bpf/offcpu_maps.h"
#include "bpf/offcpu_pure.h"

/* Frames below the tracepoint's caller, which bpf_get_stack() begins with: programs and trampolines. */
#define KSTACK_OWN_FRAMES 6

static __always_inline __u64 kstack__hash(const struct hu_kernel_stack *s)
{
	__u64 hash = s->frames;

	for (__u32 i = 0; i < HU_OFF_KFRAMES; i++) {
		if (i >= s->frames)
			break;
		hash = off__mix(hash, s->pcs[i]);
	}
	return hash ? hash : 1;
}

static __always_inline __u64 kstack__store(const struct hu_kernel_stack *s)
{
	__u64 id = kstack__hash(s);

	if (bpf_map_lookup_elem(&hu_off_kstacks, &id))
		return id;
	if (bpf_map_update_elem(&hu_off_kstacks, &id, s, BPF_ANY)) {
		loss__add(HU_LOSS_KSTACK_FULL, 1);
		return 0;
	}
	return id;
}

/*
 * The kernel's own walk, of current; 0: it can't be had. The first frame is this program, where it calls the helper:
 * not the same at each of its calls.
 */
static __always_inline __u64 kstack__walk(void *ctx, struct hu_kernel_stack *s)
{
	long sz = bpf_get_stack(ctx, s->pcs, sizeof(s->pcs), 1);

	if (sz <= 0) {
		loss__add(HU_LOSS_KSTACK_FAIL, 1);
		return 0;
	}
	s->frames = (__u64)sz / sizeof(s->pcs[0]);
	s->pad = 0;
	return kstack__store(s);
}

/* Reads so many bytes from the tracepoint's frame upwards, at most as many as there are below the registers. */
static __always_inline __u32 kstack__read(void *ctx, const arch_regs *regs,
					  struct kernel_scratch *k, __u32 bytes)
{
	__u64 span;

	/* Addresses are put into memory to be had as numbers. */
	k->from = (__u64)ctx;
	k->to = (__u64)regs;
	span = k->to - k->from;
	if (span > bytes)
		span = bytes;
	if (span > sizeof(k->word) || (span & 7))
		return 0;
	return bpf_probe_read_kernel(k->word, span, (void *)k->from) ? 0 : span;
}

struct kstack_search {
	struct kernel_scratch *k;
	struct kernel_memo *memo;
};

static __always_inline __u64 bloom_bit(__u64 pc)
{
	return 1ULL << ((pc * 0x9e3779b97f4a7c15ULL) >> 58);
}

/* Does the word go on with the frames found so far? */
static __always_inline void match_frame(struct kernel_scratch *k, __u64 word)
{
	__u32 next = k->next;

	if (k->started) {
		if (next < HU_OFF_KFRAMES && k->stack.pcs[next] == word)
			k->next = next + 1;
		return;
	}
	for (__u32 i = 0; i < KSTACK_OWN_FRAMES; i++)
		if (k->stack.pcs[i] == word && i < k->stack.frames) {
			k->next = i + 1;
			k->started = 1;
			return;
		}
}

/* One word of the stack; a bpf_loop() callback. */
static long search_step(__u32 i, void *ctx)
{
	struct kstack_search *s = ctx;
	struct kernel_scratch *k = s->k;
	struct kernel_memo *m = s->memo;
	__u64 word;
	__u32 n = m->cnt;

	if (i >= OFF_WINDOW_WORDS)
		return 1;
	word = k->word[i];
	if (word < k->lowest || word > k->highest || !(k->bloom & bloom_bit(word)))
		return 0;
	if (n >= OFF_MEMO_SLOTS) {
		k->started = 0;
		return 1;
	}
	m->off[n] = i;
	m->cnt = n + 1;
	m->hash = off__mix(m->hash, word);
	match_frame(k, word);
	m->bytes = 8 * (i + 1);
	return k->started && k->next + 1 >= k->stack.frames;
}

/* The entry into the kernel, from the registers downwards; false: not found. */
static __always_inline bool find_root(struct kernel_scratch *k, struct kernel_memo *m)
{
	__u32 last = k->stack.frames - 1;

	if (last >= HU_OFF_KFRAMES ||
	    bpf_probe_read_kernel(k->root, sizeof(k->root), (void *)(k->to - sizeof(k->root))))
		return false;
	m->root = k->stack.pcs[last];
	for (__u32 i = OFF_ROOT_WORDS; i; i--)
		if (k->root[i - 1] == m->root) {
			m->root_off = 8 * (OFF_ROOT_WORDS - i + 1);
			return true;
		}
	return false;
}

static __always_inline void kstack__remember(void *ctx, const arch_regs *regs,
					     struct kernel_scratch *k, struct kernel_memo *m,
					     __u64 stack_id)
{
	struct kstack_search search = { .k = k, .memo = m };
	__u32 bytes = kstack__read(ctx, regs, k, sizeof(k->word));

	m->stack_id = 0;
	m->hash = 0;
	m->cnt = 0;
	m->bytes = 0;
	m->nr = arch__nr(regs);
	k->lowest = ~0ULL;
	k->highest = k->bloom = 0;
	k->next = k->started = 0;
	for (__u32 i = 0; i < HU_OFF_KFRAMES; i++) {
		__u64 pc = k->stack.pcs[i];

		if (i >= k->stack.frames)
			break;
		k->bloom |= bloom_bit(pc);
		if (pc < k->lowest)
			k->lowest = pc;
		if (pc > k->highest)
			k->highest = pc;
	}
	bpf_loop(bytes / 8, search_step, &search, 0);
	if (k->started && k->next + 1 == k->stack.frames && k->next + 1 < HU_OFF_KFRAMES &&
	    find_root(k, m))
		m->stack_id = stack_id;
}

static __always_inline bool kstack__fits(const struct kernel_scratch *k,
					 const struct kernel_memo *m, __u32 bytes, __s32 nr)
{
	__u64 hash = 0, root;

	if (!m->stack_id || m->bytes > bytes || m->nr != nr)
		return false;
	for (__u32 i = 0; i < OFF_MEMO_SLOTS; i++) {
		__u32 off;

		if (i >= m->cnt)
			break;
		off = m->off[i];
		if (off >= OFF_WINDOW_WORDS)
			return false;
		hash = off__mix(hash, k->word[off]);
	}
	return hash == m->hash &&
	       !bpf_probe_read_kernel(&root, sizeof(root), (void *)(k->to - m->root_off)) &&
	       root == m->root;
}

static __always_inline void kstack__check(void *ctx, struct kernel_scratch *k, __u64 known)
{
	loss__add(HU_LOSS_KREMEMBERED, 1);
	if (kstack__walk(ctx, &k->stack) != known)
		loss__add(HU_LOSS_KMISREMEMBERED, 1);
}

/* The stack that is remembered, if current is there again; 0: it is not. */
static __always_inline __u64 kstack__recall(void *ctx, const arch_regs *regs, struct off_state *st,
					    struct kernel_scratch *k)
{
	__u32 bytes = st->kernel[0].bytes;

	if (st->kernel[1].bytes > bytes)
		bytes = st->kernel[1].bytes;
	bytes = bytes ? kstack__read(ctx, regs, k, bytes) : 0;
	if (!bytes)
		return 0;
	if (kstack__fits(k, &st->kernel[0], bytes, arch__nr(regs)))
		return st->kernel[0].stack_id;
	if (kstack__fits(k, &st->kernel[1], bytes, arch__nr(regs)))
		return st->kernel[1].stack_id;
	return 0;
}

/* The kernel stack of current, which leaves the CPU; 0: it can't be had. */
static __always_inline __u64 kstack__take(void *ctx, const arch_regs *regs, struct off_state *st,
					  struct kernel_scratch *k)
{
	struct kernel_memo *m;
	__u64 stack_id = hu_cfg.memo ? kstack__recall(ctx, regs, st, k) : 0;

	if (stack_id) {
		if (hu_cfg.memo == HU_MEMO_CHECK)
			kstack__check(ctx, k, stack_id);
		return stack_id;
	}
	stack_id = kstack__walk(ctx, &k->stack);
	if (!stack_id || !hu_cfg.memo)
		return stack_id;
	m = st->next_kernel & 1 ? &st->kernel[1] : &st->kernel[0];
	st->next_kernel++;
	kstack__remember(ctx, regs, k, m, stack_id);
	return stack_id;
}

#endif
