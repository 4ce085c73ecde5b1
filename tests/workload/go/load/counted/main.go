// SPDX-License-Identifier: GPL-2.0-only

// counted: waits for locks whose number is known, and whose time lies between two that are measured.
//
// Asked for a "round" on standard input it lets goroutines wait for a lock that it holds, until Go's own
// traceback says that all of them do; it holds it for some time more, and lets go. That is done with a
// Mutex, a RWMutex that is written, and one that is read. The answer has for each the address of the
// semaphore, how many waited, how long it was held after all of them did ("held_ns": each waited longer),
// and what they say that they waited together ("ns": it was not longer).
package main

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"
	"sync"
	"time"
	"unsafe"

	"holdup.test/go/truth"
)

const (
	waiters = 5
	hold    = 5 * time.Millisecond
	within  = 60 * time.Second
)

type scene struct {
	mu      sync.Mutex
	written sync.RWMutex
	read    sync.RWMutex
}

type result struct {
	Sema  uintptr `json:"sema"`
	Waits int     `json:"waits"`
	Held  int64   `json:"held_ns"`
	NS    int64   `json:"ns"`
}

//go:noinline
func (s *scene) take() { s.mu.Lock() }

//go:noinline
func (s *scene) give() { s.mu.Unlock() }

//go:noinline
func (s *scene) letGo() { s.mu.Unlock() }

//go:noinline
func (s *scene) startReading() { s.written.RLock() }

//go:noinline
func (s *scene) endWriting() { s.written.Unlock() }

//go:noinline
func (s *scene) startWriting() { s.read.Lock() }

//go:noinline
func (s *scene) endReading() { s.read.RUnlock() }

// asleep is how many goroutines Go shows as waiting in a function.
func asleep(function string) int {
	count := 0
	for _, g := range truth.Goroutines() {
		if !strings.HasPrefix(g.State, "sync.") && !strings.HasPrefix(g.State, "semacquire") {
			continue
		}
		for _, f := range g.Stack {
			if f.Function == function {
				count++
			}
		}
	}
	return count
}

// wait lets n goroutines wait in take, which is called function, until free ends it.
func wait(n int, function string, take, give, free func()) result {
	spent := make(chan int64, n)
	for i := 0; i < n; i++ {
		go func() {
			from := time.Now()
			take()
			spent <- int64(time.Since(from))
			give()
		}()
	}
	for deadline := time.Now().Add(within); asleep(function) < n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			panic("they do not wait in " + function)
		}
	}
	r, from := result{Waits: n}, time.Now()
	time.Sleep(hold)
	r.Held = int64(time.Since(from))
	free()
	for i := 0; i < n; i++ {
		r.NS += <-spent
	}
	return r
}

func (s *scene) round() map[string]result {
	s.mu.Lock()
	mutex := wait(waiters, "main.(*scene).take", s.take, s.give, s.letGo)
	mutex.Sema = uintptr(unsafe.Pointer(&s.mu)) + 4
	s.written.Lock()
	read := wait(waiters, "main.(*scene).startReading", s.startReading, s.written.RUnlock, s.endWriting)
	read.Sema = uintptr(unsafe.Pointer(&s.written)) + 12
	s.read.RLock()
	write := wait(1, "main.(*scene).startWriting", s.startWriting, s.read.Unlock, s.endReading)
	write.Sema = uintptr(unsafe.Pointer(&s.read)) + 8
	return map[string]result{"mutex": mutex, "read": read, "write": write}
}

func main() {
	time.AfterFunc(10*time.Minute, func() { os.Exit(0) })
	s := &scene{}
	say := json.NewEncoder(os.Stdout)
	say.Encode(map[string]any{"workload": "counted", "pid": os.Getpid()})
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		say.Encode(s.round())
	}
}
