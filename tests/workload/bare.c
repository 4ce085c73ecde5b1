// SPDX-License-Identifier: GPL-2.0-only
/*
 * One mutex, taken below assembly that has no call frame information: pushes, with data in rbp; a frame pointer and
 * a height that only it knows; rbp saved by a move; a local function without a symbol; a jump table; a call
 * that never returns, with the next function right behind it.
 */
#include "truth.h"

static pthread_mutex_t ledger_lock = PTHREAD_MUTEX_INITIALIZER;
static int ledger_site;
static uint64_t ledger_balance;

uint64_t bare_pushes(uint64_t order);
void update_ledger(uint64_t amount);

TRUTH_FRAME void update_ledger(uint64_t amount)
{
	TRUTH_WAIT(ledger_site, truth_ok(pthread_mutex_lock(&ledger_lock)));
	ledger_balance += amount;
	truth_hold();
	truth_ok(pthread_mutex_unlock(&ledger_lock));
}

#if defined(__x86_64__)

#define FUNCTION(name) ".globl " name "; .type " name ", @function\n" name ":\n"
#define END(name)      ".size " name ", . - " name "\n"

/* clang-format off */
__asm__(".text\n.balign 16\n"
	FUNCTION("bare_pushes")
	"	push %rbp\n"
	"	push %rbx\n"
	"	sub $24, %rsp\n"
	"	xor %ebp, %ebp\n"
	"	lea 1(%rdi), %rbx\n"
	"	call bare_frame\n"
	"	lea (%rbx, %rbp), %rax\n"
	"	add $24, %rsp\n"
	"	pop %rbx\n"
	"	pop %rbp\n"
	"	ret\n"
	END("bare_pushes")
	FUNCTION("bare_frame")
	"	push %rbp\n"
	"	mov %rsp, %rbp\n"
	"	mov %rdi, %rax\n"
	"	and $0xf0, %eax\n"
	"	sub %rax, %rsp\n"
	"	call bare_slot\n"
	"	leave\n"
	"	ret\n"
	END("bare_frame")
	FUNCTION("bare_slot")
	"	sub $40, %rsp\n"
	"	mov %rbp, 32(%rsp)\n"
	"	mov %rdi, %rbp\n"
	"	call .Lbare_local\n"
	"	mov 32(%rsp), %rbp\n"
	"	add $40, %rsp\n"
	"	ret\n"
	END("bare_slot")
	".Lbare_local:\n"
	"	sub $8, %rsp\n"
	"	call bare_table\n"
	"	add $8, %rsp\n"
	"	ret\n"
	FUNCTION("bare_table")
	"	push %rbx\n"
	"	mov %rdi, %rbx\n"
	"	and $3, %edi\n"
	"	cmp $2, %edi\n"
	"	ja 3f\n"
	"	lea 9f(%rip), %rax\n"
	"	movslq (%rax, %rdi, 4), %rdi\n"
	"	add %rax, %rdi\n"
	"	jmp *%rdi\n"
	"0:	add $1, %rbx\n"
	"	jmp 3f\n"
	"1:	add $2, %rbx\n"
	"	jmp 3f\n"
	"2:	add $3, %rbx\n"
	"3:	mov %rbx, %rdi\n"
	"	call bare_stop\n"
	"	pop %rbx\n"
	"	ret\n"
	END("bare_table")
	FUNCTION("bare_stop")
	"	test %rdi, %rdi\n"
	"	js 6f\n"
	"	sub $8, %rsp\n"
	"	call update_ledger\n"
	"	add $8, %rsp\n"
	"	ret\n"
	"6:	sub $24, %rsp\n"
	"	call bare_trap\n"
	END("bare_stop")
	FUNCTION("bare_unused")
	"	xor %eax, %eax\n"
	"	ret\n"
	END("bare_unused")
	FUNCTION("bare_trap")
	"	ud2\n"
	END("bare_trap")
	".section .rodata\n.balign 4\n"
	"9:	.long 0b - 9b, 1b - 9b, 2b - 9b\n"
	".text\n");
/* clang-format on */

#else

/* Other machines have no rows but the compiler's: the same calls. */
#define CALLS(name, next)                      \
	TRUTH_FRAME void name(uint64_t order); \
	TRUTH_FRAME void name(uint64_t order)  \
	{                                      \
		next(order);                   \
		TRUTH_NO_TAIL_CALL();          \
	}

CALLS(bare_stop, update_ledger)
CALLS(bare_table, bare_stop)
CALLS(bare_slot, bare_table)
CALLS(bare_frame, bare_slot)

TRUTH_FRAME uint64_t bare_pushes(uint64_t order)
{
	bare_frame(order);
	return order + 1;
}

#endif

TRUTH_FRAME static void *worker(void *arg)
{
	uint64_t orders = 0;

	while (truth_more(&orders)) {
		bare_pushes(orders % 100);
		truth_pause();
	}
	truth_worker_ends();
	return arg;
}

int main(int argc, char **argv)
{
	int i;

	truth_start(argc, argv, "bare");
	ledger_site = truth_lock("ledger_lock", &ledger_lock, sizeof(ledger_lock), "mutex",
				 TRUTH_CONTENTION,
				 "update_ledger bare_stop bare_table bare_slot bare_frame "
				 "bare_pushes "
				 "worker");
	for (i = 0; i < truth_opt.threads; i++)
		truth_spawn(worker, NULL);
	return truth_finish();
}
