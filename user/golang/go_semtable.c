// SPDX-License-Identifier: GPL-2.0-only
/*
 * src/runtime/sema.go, the same from 1.18 to 1.27: a semaphore's address tells its root, (addr >> 3) % 251. The trees
 * are of one sudog for each semaphore, ordered by address (prev, next); further waiters hang on waitlink.
 */
#include "user/golang/go_semtable.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/golang/go_read.h"

#define ROOTS	  251 /* semTabSize */
#define ROOT_MAX  128
#define TABLE_MAX (ROOTS * ROOT_MAX)
#define ADDR_MAX  ((1ULL << 47) - 1)
#define BATCH	  1024	/* sudogs that are read together */
#define CALLS_MAX 16384 /* reads of memory for one look at the table */

/* Each root has a cache line of its own: CacheLinePadSize in src/internal/cpu. */
static size_t root_sz(const struct go_process *p)
{
	return p->binary->elf->ehdr.e_machine == EM_AARCH64 ? 128 : 64;
}

static uint64_t word(const uint8_t *bytes, size_t off)
{
	uint64_t value;

	memcpy(&value, bytes + off, sizeof(value));
	return value;
}

static size_t root_of(uint64_t sema)
{
	return (sema >> 3) % ROOTS;
}

/* ---- reading */

/* A sudog to be read, and what it may be: of a semaphore between these, or in the list of one (both the same). */
struct node {
	uint64_t addr, first, last;
	uint32_t root;
	bool listed; /* not in the tree itself */
};

/*
 * Long lists are followed one by one, but their records mostly lie close to each other: the runtime has them in spans
 * of 8 KiB, each in one span (src/runtime/sizeclasses.go, classes 96 and 112).
 */
#define BLOCK_SZ   8192
#define BLOCKS	   512
#define NARROW	   8 /* so few records in a batch are worth their surroundings … */
#define WIDE_STEPS 4 /* … after so many steps */

struct block {
	uint64_t addr;
	bool ok;
	uint8_t bytes[BLOCK_SZ];
};

struct reader {
	const struct go_process *p;
	struct node *node; /* found, and not read yet from `next` on */
	size_t nodes, next, cap;
	struct go_sema_waiter *waiter;
	size_t cnt, waiter_cap;
	size_t calls;
	struct block *block; /* BLOCKS of them, by address; NULL until they are needed */
	uint8_t (*bytes)[GO_SUDOG_MAX];
};

static int grow(void **array, size_t *cap, size_t cnt, size_t sz)
{
	size_t more = *cap ? 2 * *cap : 64;
	void *grown;

	if (cnt < *cap)
		return 0;
	grown = reallocarray(*array, more, sz);
	if (!grown)
		return -ENOMEM;
	*array = grown;
	*cap = more;
	return 0;
}

static int add_node(struct reader *r, struct node node)
{
	int err;

	if (!go_memory__plausible(node.addr) || node.first > node.last)
		return 0;
	err = grow((void **)&r->node, &r->cap, r->nodes, sizeof(*r->node));
	if (!err)
		r->node[r->nodes++] = node;
	return err;
}

static int add_waiter(struct reader *r, uint64_t g, uint64_t sema)
{
	int err = grow((void **)&r->waiter, &r->waiter_cap, r->cnt, sizeof(*r->waiter));

	if (!err)
		r->waiter[r->cnt++] = (struct go_sema_waiter){ g, sema };
	return err;
}

/* A sudog that was taken off, or used again, names another semaphore or none. */
static int use(struct reader *r, const struct node *n, const uint8_t *bytes)
{
	const struct go_layout *l = &r->p->binary->layout;
	uint64_t g = word(bytes, l->s_g), sema = word(bytes, l->s_elem_kept);
	int err;

	if (sema < n->first || sema > n->last || (sema & 3) || root_of(sema) != n->root ||
	    !go_memory__plausible(g) || word(bytes, l->s_c_kept))
		return 0;
	err = add_waiter(r, g, sema);
	if (!err)
		err = add_node(r, (struct node){ word(bytes, l->s_waitlink), sema, sema, n->root,
						 true });
	if (!err && !n->listed)
		err = add_node(r, (struct node){ word(bytes, l->s_prev), n->first, sema - 1,
						 n->root, false });
	if (!err && !n->listed)
		err = add_node(r, (struct node){ word(bytes, l->s_next), sema + 1, n->last, n->root,
						 false });
	return err;
}

/* Each by itself. */
static void read_wide(struct reader *r, const struct node *n, size_t cnt, bool *ok)
{
	struct go_piece piece[BATCH];

	for (size_t i = 0; i < cnt; i++)
		piece[i] = (struct go_piece){ n[i].addr, r->bytes[i], r->p->binary->layout.s_size,
					      false };
	r->p->memory.read_many(r->p->memory.ctx, piece, cnt);
	r->calls++;
	for (size_t i = 0; i < cnt; i++) {
		ok[i] = piece[i].ok;
		r->calls += !ok[i];
	}
}

static bool read_near(struct reader *r, uint64_t addr, uint8_t *to)
{
	size_t sz = r->p->binary->layout.s_size, off = addr % BLOCK_SZ;
	struct block *b = &r->block[addr / BLOCK_SZ % BLOCKS];

	if (b->addr != addr - off) {
		b->addr = addr - off;
		b->ok = !go_memory__read(&r->p->memory, b->addr, b->bytes, BLOCK_SZ);
		r->calls++;
	}
	if (b->ok && off + sz <= BLOCK_SZ) {
		memcpy(to, b->bytes + off, sz);
		return true;
	}
	r->calls++;
	return !go_memory__read(&r->p->memory, addr, to, sz);
}

static int read_batch(struct reader *r, size_t step)
{
	size_t cnt = r->nodes - r->next, room = GO_SEMA_WAITERS_MAX - r->cnt;
	struct node node[BATCH]; /* the array grows meanwhile */
	bool ok[BATCH];
	int err = 0;

	room = room < BATCH ? room : BATCH;
	cnt = cnt < room ? cnt : room;
	memcpy(node, r->node + r->next, cnt * sizeof(*node));
	r->next += cnt;
	if (r->next == r->nodes)
		r->next = r->nodes = 0;
	if (!r->block && cnt <= NARROW && step >= WIDE_STEPS)
		r->block = calloc(BLOCKS, sizeof(*r->block));
	if (r->block && cnt <= NARROW)
		for (size_t i = 0; i < cnt; i++)
			ok[i] = read_near(r, node[i].addr, r->bytes[i]);
	else
		read_wide(r, node, cnt, ok);
	for (size_t i = 0; i < cnt && !err; i++)
		if (ok[i])
			err = use(r, &node[i], r->bytes[i]);
	return err;
}

static int by_g(const void *a, const void *b)
{
	const struct go_sema_waiter *x = a, *y = b;

	return x->g < y->g ? -1 : x->g > y->g;
}

/* Nobody waits for two: one who is met twice has moved on, or the list leads to itself. */
static void sort(struct reader *r)
{
	size_t kept = 0;

	if (!r->cnt)
		return;
	qsort(r->waiter, r->cnt, sizeof(*r->waiter), by_g);
	for (size_t i = 0; i < r->cnt; i++)
		if (!kept || r->waiter[i].g != r->waiter[kept - 1].g)
			r->waiter[kept++] = r->waiter[i];
	r->cnt = kept;
}

static uint32_t waiting_at(const struct go_process *p, const uint8_t *root)
{
	uint32_t cnt;

	memcpy(&cnt, root + p->binary->layout.r_nwait, sizeof(cnt));
	return cnt;
}

static int add_roots(struct reader *r, const uint8_t *table)
{
	size_t sz = root_sz(r->p);
	int err = 0;

	for (size_t i = 0; i < ROOTS && !err; i++)
		err = add_node(r, (struct node){ word(table + i * sz, r->p->binary->layout.r_treap),
						 4096, ADDR_MAX, i, false });
	return err;
}

/* All of a table's trees, by its bytes. */
static int walk(const struct go_process *p, const uint8_t *table, struct go_sema_waiter **ret,
		size_t *ret_cnt)
{
	struct reader r = { .p = p, .bytes = malloc(BATCH * sizeof(*r.bytes)) };
	int err = r.bytes ? add_roots(&r, table) : -ENOMEM;

	for (size_t step = 0; !err && r.next < r.nodes; step++) {
		if (r.cnt >= GO_SEMA_WAITERS_MAX || r.calls >= CALLS_MAX)
			break;
		err = read_batch(&r, step);
	}
	free(r.bytes);
	free(r.block);
	free(r.node);
	if (err) {
		free(r.waiter);
		return err;
	}
	sort(&r);
	*ret = r.waiter;
	*ret_cnt = r.cnt;
	return 0;
}

int go_semtable__read(const struct go_process *p, struct go_semtable *t,
		      struct go_sema_waiter **ret, size_t *ret_cnt)
{
	size_t sz = root_sz(p);
	uint8_t table[TABLE_MAX];
	uint64_t waiting = 0;
	int err;

	if (!t->addr)
		return -ENOENT;
	if (go_memory__read(&p->memory, t->addr, table, ROOTS * sz))
		return -EFAULT;
	err = walk(p, table, ret, ret_cnt);
	if (err)
		return err;
	for (size_t i = 0; i < ROOTS; i++)
		waiting += waiting_at(p, table + i * sz);
	t->missed = waiting > *ret_cnt ? waiting - *ret_cnt : 0;
	return 0;
}

/* ---- finding */

#define HINTS_MAX  8
#define CHUNK_SZ   (256u << 10)
#define SCAN_MAX   (64u << 20) /* bytes of one section */
#define PROOFS_MAX 64	       /* candidates that are followed: more are hostile */

struct hint {
	uint64_t g, sema;
	size_t off; /* in the table, of the pointer that leads to it */
};

struct finder {
	const struct go_process *p;
	struct hint hint[HINTS_MAX];
	size_t hints, proofs;
	uint64_t found;
};

static void take_hints(struct finder *f, const struct go_snapshot *s)
{
	for (size_t i = 0; i < s->cnt && f->hints < HINTS_MAX; i++) {
		const struct go_goroutine *g = &s->goroutine[i];

		if (g->sema && go_read__in_semaphore(f->p, g))
			f->hint[f->hints++] = (struct hint){ g->addr, g->sema,
							     root_of(g->sema) * root_sz(f->p) +
								     f->p->binary->layout.r_treap };
	}
}

/* Nothing but zeros follows each root in its cache line, and who waits there is counted. */
static bool is_shaped(const struct go_process *p, const uint8_t *table)
{
	const struct go_layout *l = &p->binary->layout;
	size_t sz = root_sz(p);

	for (size_t i = 0; i < ROOTS; i++) {
		const uint8_t *root = table + i * sz;
		uint64_t treap = word(root, l->r_treap);

		if (treap && !go_memory__plausible(treap))
			return false;
		for (size_t at = l->r_nwait + sizeof(uint32_t); at < sz; at++)
			if (root[at])
				return false;
	}
	return true;
}

static bool leads_to(struct finder *f, const uint8_t *table, const struct hint *h)
{
	struct go_sema_waiter *waiter, *at;
	size_t cnt;
	bool found;

	if (f->proofs++ >= PROOFS_MAX || walk(f->p, table, &waiter, &cnt))
		return false;
	at = cnt ? bsearch(&(struct go_sema_waiter){ .g = h->g }, waiter, cnt, sizeof(*at), by_g)
		 : NULL;
	found = at && at->sema == h->sema;
	free(waiter);
	return found;
}

static void try(struct finder *f, uint64_t addr, const uint8_t *table)
{
	for (size_t i = 0; i < f->hints; i++) {
		const struct hint *h = &f->hint[i];
		uint64_t treap = word(table, h->off);

		if (!treap || !go_memory__plausible(treap) || !is_shaped(f->p, table) ||
		    !leads_to(f, table, h))
			continue;
		f->found = addr;
		return;
	}
}

static void scan(struct finder *f, uint8_t *bytes, const struct go_range *r)
{
	size_t table_sz = ROOTS * root_sz(f->p);
	uint64_t from = (r->from + 7) & ~7ULL, to = r->to;

	if (to < from)
		return;
	if (to - from > SCAN_MAX)
		to = from + SCAN_MAX;
	for (; from < to && to - from >= table_sz && !f->found; from += CHUNK_SZ) {
		size_t sz = to - from < CHUNK_SZ + table_sz ? to - from : CHUNK_SZ + table_sz;

		if (go_memory__read(&f->p->memory, from, bytes, sz))
			continue;
		for (size_t i = 0; i < CHUNK_SZ && i + table_sz <= sz && !f->found; i += 8)
			try(f, from + i, bytes + i);
	}
}

int go_semtable__find(const struct go_process *p, const struct go_snapshot *s,
		      struct go_semtable *ret)
{
	struct finder f = { .p = p };
	uint8_t *bytes;

	if (p->binary->semtable) {
		*ret = (struct go_semtable){ .addr = p->binary->semtable + p->bias };
		return 0;
	}
	take_hints(&f, s);
	if (!f.hints)
		return -ENOENT;
	bytes = malloc(CHUNK_SZ + TABLE_MAX);
	if (!bytes)
		return -ENOMEM;
	scan(&f, bytes, &p->bss);
	if (!f.found)
		scan(&f, bytes, &p->noptrbss);
	free(bytes);
	if (!f.found)
		return -ENOENT;
	*ret = (struct go_semtable){ .addr = f.found, .by_proof = true };
	return 0;
}
