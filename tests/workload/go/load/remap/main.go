// SPDX-License-Identifier: GPL-2.0-only

// remap: a program whose address space is locked by a writer most of the time: a thread changes the protection of -mib MiB,
// back and forth. Two goroutines wait for each other's mutexes meanwhile.
package main

import (
	"encoding/json"
	"flag"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

var (
	mib = flag.Int("mib", 256, "whose protection is changed")

	ledger, audit sync.Mutex
)

const madvNoHugePage = 15 // include/uapi/asm-generic/mman-common.h: with huge pages there is little to change

//go:noinline
func transfer(both *sync.WaitGroup) {
	ledger.Lock()
	both.Done()
	both.Wait()
	audit.Lock()
	audit.Unlock()
	ledger.Unlock()
}

//go:noinline
func refund(both *sync.WaitGroup) {
	audit.Lock()
	both.Done()
	both.Wait()
	ledger.Lock()
	ledger.Unlock()
	audit.Unlock()
}

func change(region []byte) {
	runtime.LockOSThread()
	for protection := syscall.PROT_READ; ; protection ^= syscall.PROT_WRITE {
		if err := syscall.Mprotect(region, protection); err != nil {
			panic(err)
		}
	}
}

func main() {
	var both sync.WaitGroup

	flag.Parse()
	time.AfterFunc(10*time.Minute, func() { os.Exit(0) })
	region, err := syscall.Mmap(-1, 0, *mib<<20, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		panic(err)
	}
	if err := syscall.Madvise(region, madvNoHugePage); err != nil {
		panic(err)
	}
	for i := 0; i < len(region); i += 4096 {
		region[i] = 1
	}
	both.Add(2)
	go transfer(&both)
	go refund(&both)
	both.Wait()
	time.Sleep(100 * time.Millisecond)
	go change(region)
	json.NewEncoder(os.Stdout).Encode(map[string]any{"workload": "remap", "pid": os.Getpid(), "go": runtime.Version()})
	select {}
}
