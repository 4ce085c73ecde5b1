/* SPDX-License-Identifier: GPL-2.0-only */
/* The commands: each parses its own arguments, prints, and returns the exit status. */
#ifndef HOLDUP_COMMANDS_H
#define HOLDUP_COMMANDS_H

int cmd_check(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_leaks(int argc, char **argv);
int cmd_locks(int argc, char **argv);
int cmd_stacks(int argc, char **argv);
int cmd_threads(int argc, char **argv);

#endif
