// SPDX-License-Identifier: GPL-2.0-only
/*
 * One lock taken by call chains that look alike: functions with frames of one size, so that a thread sleeps
 * with the same instruction, stack pointer and innermost return addresses, whoever called. Only words further
 * up tell them apart. Half of the chains have a frame that is found by the frame pointer.
 */
#include "truth.h"
#include <alloca.h>
#include <semaphore.h>

static sem_t slots;
static int site[2][2][2]; /* by the innermost twin, the one above it, and its frame */

TRUTH_FRAME static void take_slot(int which)
{
	TRUTH_WAIT(which, truth_ok(sem_wait(&slots)));
	truth_hold();
	truth_ok(sem_post(&slots));
}

#define TWIN(name, callee)                      \
	TRUTH_FRAME static void name(int which) \
	{                                       \
		callee(which);                  \
		TRUTH_NO_TAIL_CALL();           \
	}

TWIN(castor, take_slot)
TWIN(pollux, take_slot)

#define OUTER(name)                                                  \
	TRUTH_FRAME static void name(int inner, int which)           \
	{                                                            \
		(inner ? pollux : castor)(which);                    \
		TRUTH_NO_TAIL_CALL();                                \
	}                                                            \
	TRUTH_FRAME static void name##_framed(int inner, int which)  \
	{                                                            \
		volatile char *room = alloca(16 + 16 * (which & 1)); \
                                                                     \
		room[0] = 0;                                         \
		(inner ? pollux : castor)(which);                    \
		TRUTH_NO_TAIL_CALL();                                \
	}

OUTER(romulus)
OUTER(remus)

static void (*const outer[2][2])(int, int) = { { romulus, romulus_framed },
					       { remus, remus_framed } };

TRUTH_FRAME static void *worker(void *arg)
{
	uint64_t turns = 0, random = (uintptr_t)arg + 1;

	while (truth_more(&turns)) {
		unsigned int pick;

		random = random * 6364136223846793005ULL + 1442695040888963407ULL;
		pick = random >> 61;
		outer[pick >> 1 & 1][pick >> 2](pick & 1, site[pick & 1][pick >> 1 & 1][pick >> 2]);
		truth_pause();
	}
	truth_worker_ends();
	return arg;
}

int main(int argc, char **argv)
{
	static const char *const chain[2][2][2] = {
		{ { "take_slot castor romulus worker", "take_slot castor romulus_framed worker" },
		  { "take_slot castor remus worker", "take_slot castor remus_framed worker" } },
		{ { "take_slot pollux romulus worker", "take_slot pollux romulus_framed worker" },
		  { "take_slot pollux remus worker", "take_slot pollux remus_framed worker" } },
	};

	truth_start(argc, argv, "twins");
	truth_ok(sem_init(&slots, 0, 1));
	for (int i = 0; i < 8; i++)
		site[i >> 2][i >> 1 & 1][i & 1] = truth_lock("slots", &slots, sizeof(slots),
							     "semaphore", TRUTH_CONTENTION,
							     chain[i >> 2][i >> 1 & 1][i & 1]);
	for (int i = 0; i < truth_opt.threads; i++)
		truth_spawn(worker, (void *)(intptr_t)i);
	return truth_finish();
}
