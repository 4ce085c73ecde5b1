// SPDX-License-Identifier: GPL-2.0-only

// churn: goroutines are born and end as fast as the machine can, and their stacks grow.
//
// Each is of a family, whose name all its functions carry, and their numbers say in which order they
// call one another: a stack that mixes two goroutines, or two moments of one, is seen to be wrong.
// Asked for "rate" on standard input it prints how many were born so far, and for how long it runs.
package main

import (
	"bufio"
	"encoding/json"
	"os"
	"runtime"
	"sync/atomic"
	"time"
)

const (
	batch = 150
	most  = 1500 // that live at a time
)

type gate chan struct{}

var born, alive int64

//go:noinline
func redMake(g gate) {
	go red0(g)
}

//go:noinline
func red0(g gate) {
	atomic.AddInt64(&born, 1)
	defer atomic.AddInt64(&alive, -1)
	if red1(g) == 255 {
		panic("never")
	}
}

//go:noinline
func red1(g gate) byte {
	var room [100]byte
	room[len(g)] = 1
	return red2(g) + room[cap(g)] - room[0]
}

//go:noinline
func red2(g gate) byte {
	var room [700]byte
	room[len(g)] = 1
	return red3(g) + room[cap(g)] - room[0]
}

//go:noinline
func red3(g gate) byte {
	var room [60]byte
	room[len(g)] = 1
	return red4(g) + room[cap(g)] - room[0]
}

//go:noinline
func red4(g gate) byte {
	var room [1500]byte
	room[len(g)] = 1
	return red5(g) + room[cap(g)] - room[0]
}

//go:noinline
func red5(g gate) byte {
	var room [300]byte
	room[len(g)] = 1
	return red6(g) + room[cap(g)] - room[0]
}

//go:noinline
func red6(g gate) byte {
	var room [2500]byte
	room[len(g)] = 1
	return red7(g) + room[cap(g)] - room[0]
}

//go:noinline
func red7(g gate) byte {
	var room [40]byte
	room[len(g)] = 1
	return redWait(g) + room[cap(g)] - room[0]
}

//go:noinline
func redWait(g gate) byte {
	<-g
	return 0
}

//go:noinline
func greenMake(g gate) {
	go green0(g)
}

//go:noinline
func green0(g gate) {
	atomic.AddInt64(&born, 1)
	defer atomic.AddInt64(&alive, -1)
	if green1(g) == 255 {
		panic("never")
	}
}

//go:noinline
func green1(g gate) byte {
	var room [1200]byte
	room[len(g)] = 1
	return green2(g) + room[cap(g)] - room[0]
}

//go:noinline
func green2(g gate) byte {
	var room [50]byte
	room[len(g)] = 1
	return green3(g) + room[cap(g)] - room[0]
}

//go:noinline
func green3(g gate) byte {
	var room [800]byte
	room[len(g)] = 1
	return green4(g) + room[cap(g)] - room[0]
}

//go:noinline
func green4(g gate) byte {
	var room [90]byte
	room[len(g)] = 1
	return green5(g) + room[cap(g)] - room[0]
}

//go:noinline
func green5(g gate) byte {
	var room [3000]byte
	room[len(g)] = 1
	return green6(g) + room[cap(g)] - room[0]
}

//go:noinline
func green6(g gate) byte {
	var room [70]byte
	room[len(g)] = 1
	return green7(g) + room[cap(g)] - room[0]
}

//go:noinline
func green7(g gate) byte {
	var room [500]byte
	room[len(g)] = 1
	return greenWait(g) + room[cap(g)] - room[0]
}

//go:noinline
func greenWait(g gate) byte {
	<-g
	return 0
}

//go:noinline
func blueMake(g gate) {
	go blue0(g)
}

//go:noinline
func blue0(g gate) {
	atomic.AddInt64(&born, 1)
	defer atomic.AddInt64(&alive, -1)
	if blue1(g) == 255 {
		panic("never")
	}
}

//go:noinline
func blue1(g gate) byte {
	var room [60]byte
	room[len(g)] = 1
	return blue2(g) + room[cap(g)] - room[0]
}

//go:noinline
func blue2(g gate) byte {
	var room [60]byte
	room[len(g)] = 1
	return blue3(g) + room[cap(g)] - room[0]
}

//go:noinline
func blue3(g gate) byte {
	var room [60]byte
	room[len(g)] = 1
	return blue4(g) + room[cap(g)] - room[0]
}

//go:noinline
func blue4(g gate) byte {
	var room [4000]byte
	room[len(g)] = 1
	return blue5(g) + room[cap(g)] - room[0]
}

//go:noinline
func blue5(g gate) byte {
	var room [60]byte
	room[len(g)] = 1
	return blue6(g) + room[cap(g)] - room[0]
}

//go:noinline
func blue6(g gate) byte {
	var room [60]byte
	room[len(g)] = 1
	return blue7(g) + room[cap(g)] - room[0]
}

//go:noinline
func blue7(g gate) byte {
	var room [60]byte
	room[len(g)] = 1
	return blueWait(g) + room[cap(g)] - room[0]
}

//go:noinline
func blueWait(g gate) byte {
	<-g
	return 0
}

// start makes a batch, which lives until its gate is closed.
func start() gate {
	g := make(gate)
	atomic.AddInt64(&alive, batch)
	for i := 0; i < batch/3; i++ {
		redMake(g)
		greenMake(g)
		blueMake(g)
	}
	return g
}

func churn() {
	older := start()
	for {
		newer := start()
		close(older)
		older = newer
		for atomic.LoadInt64(&alive) > most {
			runtime.Gosched()
		}
	}
}

func main() {
	begun := time.Now()
	time.AfterFunc(10*time.Minute, func() { os.Exit(0) })
	for i := 0; i < 2; i++ {
		go churn()
	}
	say := json.NewEncoder(os.Stdout)
	say.Encode(map[string]any{"workload": "churn", "pid": os.Getpid()})
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		say.Encode(map[string]any{"born": atomic.LoadInt64(&born), "seconds": time.Since(begun).Seconds()})
	}
}
