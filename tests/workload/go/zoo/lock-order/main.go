// SPDX-License-Identifier: GPL-2.0-only

// lock-order: two accounts are locked in one order by one goroutine and in the other by another.
package main

import (
	_ "embed"
	"sync"

	"holdup.test/go/truth"
)

//go:embed main.go
var source string

type account struct {
	mu      sync.Mutex
	balance int
}

//go:noinline
func transfer(from, to *account, met *sync.WaitGroup) {
	from.mu.Lock()
	defer from.mu.Unlock()
	met.Done()
	met.Wait()
	to.mu.Lock() // at: locks second
	defer to.mu.Unlock()
	from.balance--
	to.balance++
}

//go:noinline
func refund(from, to *account, met *sync.WaitGroup) {
	to.mu.Lock()
	defer to.mu.Unlock()
	met.Done()
	met.Wait()
	from.mu.Lock() // at: locks first
	defer from.mu.Unlock()
	from.balance++
	to.balance--
}

func trouble() []truth.Wait {
	from, to, met := &account{}, &account{}, &sync.WaitGroup{}
	met.Add(2)
	go transfer(from, to, met) // at: transfers
	go refund(from, to, met)   // at: refunds
	return []truth.Wait{
		{Role: "transfer", Kind: "go-mutex", Function: "main.transfer", At: "locks second",
			Created: "transfers", Address: truth.Of(&to.mu), Count: 1},
		{Role: "refund", Kind: "go-mutex", Function: "main.refund", At: "locks first",
			Created: "refunds", Address: truth.Of(&from.mu), Count: 1},
	}
}

func main() {
	truth.Main(source, "deadlock", trouble)
}
