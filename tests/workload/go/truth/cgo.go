// SPDX-License-Identifier: GPL-2.0-only

//go:build with_c

package truth

// #include <unistd.h>
import "C"

// A program with C in it is linked by the C compiler, and has a thread or more of C's.
var _ = C.getpid()
