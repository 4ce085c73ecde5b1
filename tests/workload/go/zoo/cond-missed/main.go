// SPDX-License-Identifier: GPL-2.0-only

// cond-missed: the signal was given before anyone waited for it.
package main

import (
	_ "embed"
	"sync"

	"holdup.test/go/truth"
)

//go:embed main.go
var source string

type gate struct {
	mu   sync.Mutex
	cond *sync.Cond
}

func (g *gate) pass() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cond.Wait() // at: waits
}

func trouble() []truth.Wait {
	g := &gate{}
	g.cond = sync.NewCond(&g.mu)
	g.cond.Broadcast()
	for i := 0; i < 2; i++ {
		go g.pass() // at: passes
	}
	return []truth.Wait{
		{Role: "passer", Kind: "go-cond", Function: "main.(*gate).pass", At: "waits", Created: "passes", Count: 2},
	}
}

func main() {
	truth.Main(source, "blocked", trouble)
}
