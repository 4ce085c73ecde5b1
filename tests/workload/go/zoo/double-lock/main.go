// SPDX-License-Identifier: GPL-2.0-only

// double-lock: a method that holds the mutex calls another one that takes it.
package main

import (
	_ "embed"
	"sync"

	"holdup.test/go/truth"
)

//go:embed main.go
var source string

type vault struct {
	mu     sync.Mutex
	amount int
}

func (v *vault) balance() int {
	v.mu.Lock() // at: locks again
	defer v.mu.Unlock()
	return v.amount
}

func (v *vault) deposit(n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.amount = v.balance() + n
}

func trouble() []truth.Wait {
	v := &vault{}
	go v.deposit(1) // at: deposits
	return []truth.Wait{
		{Role: "teller", Kind: "go-mutex", Function: "main.(*vault).balance", At: "locks again",
			Created: "deposits", Address: truth.Of(&v.mu), Count: 1},
	}
}

func main() {
	truth.Main(source, "self-deadlock", trouble)
}
