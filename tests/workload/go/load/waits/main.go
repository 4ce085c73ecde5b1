// SPDX-License-Identifier: GPL-2.0-only

// waits: goroutines that wait for one another all the time, and know for how long. Each times every call that
// may wait, by its own clock.
//
//	-how mutex      all want the lock, whose holder sleeps
//	     rwmutex    readers wait for a writer that sleeps with the lock
//	     waitgroup  they wait until others have slept
//	     chan       they send to one that sleeps before it takes the next
//	     select     they choose between two channels to which something comes now and then
//	     cond       they are woken now and then
//	     short      the lock again, held for a moment only, by computing
//	     yield      the lock again, whose holder lets the others run first: on one CPU they all come to sleep
//
// With -rounds each gives up after so many, and the program prints its totals and ends, and how many of the waits slept by
// Go's own block profile: who loses its CPU before it waits may find that it need not. Otherwise it prints a line when
// all are at work, and one for each line on its standard input, with the totals up to then; what goes on is in them.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

var (
	how     = flag.String("how", "mutex", "what they wait for")
	workers = flag.Int("workers", 4, "that wait")
	hold    = flag.Duration("hold", 5*time.Millisecond, "for how long they have to")
	rounds  = flag.Int("rounds", 0, "of each worker; 0: for ever")

	ledger  sync.Mutex
	catalog sync.RWMutex
	batch   sync.WaitGroup
	orders  = make(chan int)
	refunds = make(chan int)
	bell    = sync.NewCond(&sync.Mutex{})
	rung    int
	began   = time.Now()
	meters  []*meter
)

// meter is one worker's: what it has waited so far, and since when it waits now.
type meter struct {
	total, since, waits, longest int64
}

func now() int64 { return int64(time.Since(began)) + 1 }

func (m *meter) begin() { atomic.StoreInt64(&m.since, now()) }

func (m *meter) end() {
	ns := now() - atomic.LoadInt64(&m.since)
	atomic.AddInt64(&m.total, ns)
	atomic.StoreInt64(&m.since, 0)
	atomic.AddInt64(&m.waits, 1)
	if ns > m.longest {
		m.longest = ns
	}
}

//go:noinline
func update(m *meter) {
	m.begin()
	ledger.Lock()
	m.end()
	writeRecord()
	ledger.Unlock()
	runtime.Gosched()
}

//go:noinline
func writeRecord() {
	time.Sleep(*hold)
}

//go:noinline
func addUp(m *meter) {
	m.begin()
	ledger.Lock()
	m.end()
	for end := now() + int64(*hold); now() < end; {
	}
	ledger.Unlock()
}

//go:noinline
func passOn(m *meter) {
	m.begin()
	ledger.Lock()
	m.end()
	runtime.Gosched()
	ledger.Unlock()
}

//go:noinline
func lookUp(m *meter) {
	m.begin()
	catalog.RLock()
	m.end()
	catalog.RUnlock()
	time.Sleep(*hold / 4)
}

func rewrite() {
	for {
		catalog.Lock()
		time.Sleep(*hold)
		catalog.Unlock()
		time.Sleep(*hold / 4)
	}
}

//go:noinline
func runBatch(m *meter) {
	var wait sync.WaitGroup

	for i := 0; i < 3; i++ {
		wait.Add(1)
		go func() {
			time.Sleep(*hold)
			wait.Done()
		}()
	}
	m.begin()
	wait.Wait()
	m.end()
}

//go:noinline
func order(m *meter) {
	m.begin()
	orders <- 1
	m.end()
}

func ship() {
	for range orders {
		time.Sleep(*hold)
	}
}

//go:noinline
func choose(m *meter) {
	m.begin()
	select {
	case <-orders:
	case <-refunds:
	}
	m.end()
}

func feed() {
	for {
		time.Sleep(*hold)
		orders <- 1
		refunds <- 1
	}
}

//go:noinline
func listen(m *meter) {
	bell.L.Lock()
	for seen := rung; rung == seen; {
		m.begin()
		bell.Wait()
		m.end()
	}
	bell.L.Unlock()
}

func ring() {
	for {
		time.Sleep(*hold)
		bell.L.Lock()
		rung++
		bell.L.Unlock()
		bell.Broadcast()
	}
}

func totals() map[string]any {
	var total, waits, longest int64

	for _, m := range meters {
		if since := atomic.LoadInt64(&m.since); since != 0 {
			total += now() - since
		}
		total += atomic.LoadInt64(&m.total)
		waits += atomic.LoadInt64(&m.waits)
		if *rounds > 0 && m.longest > longest {
			longest = m.longest
		}
	}
	return map[string]any{"workload": "waits", "pid": os.Getpid(), "now_ns": now(), "wait_ns": total,
		"waits": waits, "longest_ns": longest, "go": runtime.Version()}
}

// slept is how often a function came to sleep in package sync (src/runtime/sema.go, semacquire1()).
func slept(function string) int64 {
	var count int64

	records := make([]runtime.BlockProfileRecord, 1000)
	n, ok := runtime.BlockProfile(records)
	if !ok {
		panic("more places than expected")
	}
	for _, record := range records[:n] {
		frames := runtime.CallersFrames(record.Stack())
		for more := true; more; {
			var frame runtime.Frame

			if frame, more = frames.Next(); frame.Function == function {
				count += record.Count
				break
			}
		}
	}
	return count
}

func main() {
	flag.Parse()
	if *rounds > 0 {
		runtime.SetBlockProfileRate(1)
	}
	time.AfterFunc(10*time.Minute, func() { os.Exit(0) })
	work := map[string]func(*meter){"mutex": update, "rwmutex": lookUp, "waitgroup": runBatch, "chan": order,
		"select": choose, "cond": listen, "short": addUp, "yield": passOn}[*how]
	others := map[string]func(){"rwmutex": rewrite, "chan": ship, "select": feed, "cond": ring}[*how]

	if others != nil {
		go others()
	}
	for i := 0; i < *workers; i++ {
		m := &meter{}
		meters = append(meters, m)
		batch.Add(1)
		go func() {
			for i := 0; *rounds == 0 || i < *rounds; i++ {
				work(m)
			}
			batch.Done()
		}()
	}
	say := json.NewEncoder(os.Stdout)
	if *rounds > 0 {
		batch.Wait()
		all := totals()
		all["slept"] = slept(runtime.FuncForPC(reflect.ValueOf(work).Pointer()).Name())
		say.Encode(all)
		return
	}
	say.Encode(totals())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		say.Encode(totals())
	}
}
