/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Walks that need not be repeated. What a walk by rows finds depends on the thread's ip, sp and fp, on the
 * process's mappings, and on the words of the stack that it reads: return addresses, and saved frame pointers
 * where a frame is found by them; on arm64 also on x30, where a leaf has its return address. A thread that
 * sleeps again with all of these unchanged has the same stack, and comparing them costs a seventh of the walk.
 * Nothing less would do: two callers with frames of one size leave the same ip, sp and innermost return
 * addresses.
 *
 * The words are compared through a hash of 64 bits. Walks that read anything else (signal frames, guesses,
 * frames found through memory) or that did not reach the thread's start are not remembered.
 */
#ifndef HOLDUP_BPF_MEMO_H
#define HOLDUP_BPF_MEMO_H

#include "bpf/arch.h"
#include "bpf/maps.h"

static __always_inline __u64 memo__mix(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
	return hash ^ hash >> 32;
}

static __always_inline void memo__begin(struct stack_memo *m, const arch_regs *r, __u32 generation)
{
	m->stack_id = 0;
	m->ip = arch__ip(r);
	m->sp = arch__sp(r);
	m->fp = arch__fp(r);
	m->ra_reg = arch__ra_reg(r);
	m->hash = 0;
	m->generation = generation;
	m->cnt = 0;
	m->fp_used = 0;
	m->ra_used = 0;
}

static __always_inline void memo__spoil(struct stack_memo *m)
{
	if (m)
		m->cnt = HU_MEMO_SPOILED;
}

/* What the walk finds depends on the register that may hold a return address. */
static __always_inline void memo__use_ra(struct stack_memo *m)
{
	if (m)
		m->ra_used = 1;
}

/* The walk has read this word, and what it finds depends on it. */
static __always_inline void memo__note(struct stack_memo *m, __u64 addr, __u64 word)
{
	__u64 off;
	__u16 n;

	if (!m)
		return;
	off = addr - m->sp;
	n = m->cnt;
	if (n >= HU_MEMO_SLOTS || off & 7 || off >> 3 > 0xffff) {
		m->cnt = HU_MEMO_SPOILED;
		return;
	}
	m->off[n] = off >> 3;
	m->hash = memo__mix(m->hash, word);
	m->cnt = n + 1;
}

/* Could it be this one, as far as the registers tell? */
static __always_inline bool memo__fits(const struct stack_memo *m, const arch_regs *r,
				       __u32 generation)
{
	return m->stack_id && m->ip == arch__ip(r) && m->sp == arch__sp(r) &&
	       m->generation == generation && (!m->fp_used || m->fp == arch__fp(r)) &&
	       (!m->ra_used || m->ra_reg == arch__ra_reg(r));
}

#endif
