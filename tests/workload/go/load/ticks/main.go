// SPDX-License-Identifier: GPL-2.0-only

// ticks: what does it feel, when others look at it? A goroutine sleeps a millisecond again and again and
// notes the longest time from one waking to the next; many others are parked.
//
// Asked for "worst" on standard input it prints the longest since it was last asked, in nanoseconds.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"os"
	"sync/atomic"
	"time"
)

var (
	parked = flag.Int("goroutines", 10000, "that are parked meanwhile")
	worst  int64
	count  int64
)

//go:noinline
func park(on <-chan int, depth int) int {
	if depth > 0 {
		return park(on, depth-1) + 1
	}
	return <-on
}

func tick() {
	for last := time.Now(); ; {
		time.Sleep(time.Millisecond)
		now := time.Now()
		if gap := int64(now.Sub(last)); gap > atomic.LoadInt64(&worst) {
			atomic.StoreInt64(&worst, gap)
		}
		atomic.AddInt64(&count, 1)
		last = now
	}
}

func main() {
	flag.Parse()
	time.AfterFunc(10*time.Minute, func() { os.Exit(0) })
	on := make(chan int)
	for i := 0; i < *parked; i++ {
		go park(on, 4)
	}
	go tick()
	say := json.NewEncoder(os.Stdout)
	say.Encode(map[string]any{"workload": "ticks", "pid": os.Getpid()})
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		say.Encode(map[string]any{"worst_ns": atomic.SwapInt64(&worst, 0), "ticks": atomic.SwapInt64(&count, 0)})
	}
}
