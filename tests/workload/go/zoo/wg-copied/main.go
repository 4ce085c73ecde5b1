// SPDX-License-Identifier: GPL-2.0-only

// wg-copied: a WaitGroup is passed by value: Done counts down a copy.
package main

import (
	_ "embed"
	"sync"

	"holdup.test/go/truth"
)

//go:embed main.go
var source string

//go:noinline
func load(wg sync.WaitGroup) { // (go vet would have told)
	wg.Done()
}

//go:noinline
func gather(wg *sync.WaitGroup) {
	for i := 0; i < 3; i++ {
		wg.Add(1)
		go load(*wg)
	}
	wg.Wait() // at: waits
}

func trouble() []truth.Wait {
	wg := &sync.WaitGroup{}
	go gather(wg) // at: gathers
	return []truth.Wait{
		{Role: "gatherer", Kind: "go-waitgroup", Function: "main.gather", At: "waits",
			Created: "gathers", Address: truth.Of(wg), Count: 1},
	}
}

func main() {
	truth.Main(source, "nobody left", trouble)
}
