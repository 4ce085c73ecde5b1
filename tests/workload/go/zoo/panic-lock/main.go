// SPDX-License-Identifier: GPL-2.0-only

// panic-lock: a handler panics with the mutex held, the panic is recovered, and the mutex stays locked.
package main

import (
	_ "embed"
	"sync"

	"holdup.test/go/truth"
)

//go:embed main.go
var source string

type counter struct {
	name string
	mu   sync.Mutex
	hits map[string]int
}

func (c *counter) hit(page string) {
	c.mu.Lock() // at: locks
	c.hits[page]++
	c.mu.Unlock()
}

func handle(c *counter, page string, over *sync.WaitGroup) {
	defer over.Done()
	defer func() { _ = recover() }()
	c.hit(page)
}

func trouble() []truth.Wait {
	c := &counter{} // hits is nil: the first write panics
	var over sync.WaitGroup
	over.Add(1)
	go handle(c, "/", &over)
	over.Wait()
	over.Add(3)
	for i := 0; i < 3; i++ {
		go handle(c, "/", &over) // at: handles
	}
	return []truth.Wait{
		{Role: "waiter", Kind: "go-mutex", Function: "main.(*counter).hit", At: "locks",
			Created: "handles", Address: truth.Of(&c.mu), Count: 3},
	}
}

func main() {
	truth.Main(source, "orphaned", trouble)
}
