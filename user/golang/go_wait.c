// SPDX-License-Identifier: GPL-2.0-only
#include "user/golang/go_wait.h"

#include <string.h>

#define API_DEPTH 24 /* frames of the library at the leaf, inlined ones included */

static bool begins(const char *text, const char *prefix)
{
	return !strncmp(text, prefix, strlen(prefix));
}

/* waitReasonStrings in src/runtime/runtime2.go: "semacquire" for all of them up to 1.19. */
bool go_wait__is_semaphore(const char *reason)
{
	return begins(reason, "semacquire") || begins(reason, "sync.Mutex") ||
	       begins(reason, "sync.RWMutex") || begins(reason, "sync.WaitGroup");
}

bool go_wait__is_runtime(const char *function)
{
	static const char *const packages[] = {
		"runtime.",  "sync.",	     "runtime/", "internal/runtime/", "internal/sync.",
		"internal/", "sync/atomic.", "syscall.", "time.Sleep",
	};

	/* Where programs begin is no less the runtime's. */
	for (size_t i = 0; i < sizeof(packages) / sizeof(packages[0]); i++)
		if (begins(function, packages[i]))
			return true;
	return false;
}

/* src/runtime/traceback.go, isSystemGoroutine(): those that run the program's code are not. */
static bool is_system(const char *start)
{
	return begins(start, "runtime.") && strcmp(start, "runtime.main") &&
	       strcmp(start, "runtime.handleAsyncEvent") && strcmp(start, "runtime.corostart");
}

/* ---- semaphores: which object has them */

static const struct function {
	const char *prefix;
	enum lock_kind kind;
	enum go_wait_way way;
	int off; /* of the semaphore in the object: src/sync, src/internal/poll/fd_mutex.go */
	const char *label;
} functions[] = {
	{ "sync.(*Mutex).", LOCK_GO_MUTEX, GO_WAY_NONE, 4, "" },
	{ "internal/sync.(*Mutex).", LOCK_GO_MUTEX, GO_WAY_NONE, 4, "" },
	{ "sync.(*RWMutex).RLock", LOCK_GO_RWMUTEX, GO_WAY_READ, 12, "" },
	{ "sync.(*RWMutex).Lock", LOCK_GO_RWMUTEX, GO_WAY_WRITE, 8, "" },
	{ "sync.(*WaitGroup).Wait", LOCK_GO_WAITGROUP, GO_WAY_NONE, 8, "" },
	{ "internal/poll.(*fdMutex).", LOCK_GO_MUTEX, GO_WAY_NONE, 0, "lock of a file" },
};

static const struct function *find_function(const char *name)
{
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		if (begins(name, functions[i].prefix))
			return &functions[i];
	return NULL;
}

/* The outermost tells what it is, the innermost whose semaphore it is: writers of a RWMutex have a Mutex at 0. */
static void use_functions(const struct go_goroutine *g, const struct go_frame *frames, size_t cnt,
			  struct go_wait *w)
{
	const struct function *inner = NULL, *outer = NULL;

	for (size_t i = 0; i < cnt && i < API_DEPTH; i++) {
		const struct function *f = find_function(frames[i].function);

		if (f) {
			inner = inner ? inner : f;
			outer = f;
		} else if (!go_wait__is_runtime(frames[i].function)) {
			break;
		}
	}
	if (!outer) {
		w->kind = LOCK_GO_MUTEX;
		w->label = GO_RUNTIME_LOCK;
		w->object = g->sema;
		return;
	}
	w->kind = outer->kind;
	w->way = outer->way;
	w->label = outer->label;
	if (outer->kind == LOCK_GO_RWMUTEX && inner->kind == LOCK_GO_MUTEX)
		w->way = GO_WAY_TURN;
	if (g->sema)
		w->object = g->sema - inner->off;
}

/* ---- the runtime's words: waitReasonStrings in src/runtime/runtime2.go */

#define COND_NOTIFY_OFF 16 /* of the list of waiters: src/sync/cond.go */

static const struct word {
	const char *prefix;
	enum lock_kind kind;
	enum go_wait_way way;
	bool idle, patient, timed;
} words[] = {
	{ "chan receive", LOCK_GO_CHAN, GO_WAY_RECEIVE, false, true, false },
	{ "chan send", LOCK_GO_CHAN, GO_WAY_SEND, false, false, false },
	{ "select (no cases)", LOCK_INVALID, GO_WAY_NONE, true, false, false },
	{ "select", LOCK_GO_SELECT, GO_WAY_NONE, false, true, false },
	{ "sync.Cond.Wait", LOCK_GO_COND, GO_WAY_NONE, true, false, false },
	{ "sleep", LOCK_INVALID, GO_WAY_NONE, true, false, true },
	{ "IO wait", LOCK_INVALID, GO_WAY_NONE, true, false, false },
	{ "GC ", LOCK_INVALID, GO_WAY_NONE, true, false, false },
	{ "finalizer wait", LOCK_INVALID, GO_WAY_NONE, true, false, false },
	{ "cleanup wait", LOCK_INVALID, GO_WAY_NONE, true, false, false },
	{ "timer goroutine", LOCK_INVALID, GO_WAY_NONE, true, false, false },
	{ "coroutine", LOCK_INVALID, GO_WAY_NONE, true, false, false },
};

static void use_words(const struct go_goroutine *g, const char *reason, uint64_t chan,
		      struct go_wait *w)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		const struct word *word = &words[i];

		if (!begins(reason, word->prefix))
			continue;
		w->kind = word->kind;
		w->way = word->way;
		w->idle = word->idle;
		w->patient = word->patient;
		w->timed = word->timed;
		break;
	}
	w->never = strstr(reason, "(nil chan)") != NULL;
	w->patient &= !w->never;
	if (w->kind == LOCK_GO_CHAN || (w->kind == LOCK_GO_SELECT && g->chans == 1))
		w->object = chan;
	else if (w->kind == LOCK_GO_COND && g->sema)
		w->object = g->sema - COND_NOTIFY_OFF;
}

static int count_api(const struct go_frame *frames, size_t cnt)
{
	size_t i = 0;

	while (i < cnt && i < API_DEPTH && go_wait__is_runtime(frames[i].function))
		i++;
	/* Stacks of nothing else are shown as they are. */
	return i < cnt && i < API_DEPTH ? (int)i - 1 : -1;
}

void go_wait__classify(const struct go_goroutine *g, const char *reason,
		       const struct go_frame *frames, size_t cnt, const char *start, uint64_t chan,
		       struct go_wait *ret)
{
	*ret = (struct go_wait){ .label = "", .api = count_api(frames, cnt) };
	ret->system = is_system(start);
	if (g->status == GO_WAITING || g->status == GO_LEAKED) {
		if (go_wait__is_semaphore(reason))
			use_functions(g, frames, cnt, ret);
		else
			use_words(g, reason, chan, ret);
		ret->patient |= ret->kind == LOCK_GO_WAITGROUP;
	}
	ret->idle |= ret->system || begins(start, "os/signal.");
	ret->patient &= !ret->idle;
}
