// SPDX-License-Identifier: GPL-2.0-only

// finalizer: healthy. A cache that nobody uses any more has a janitor, which its finalizer will end: with the next garbage
// collection, which is yet to come.
package main

import (
	_ "embed"
	"runtime"
	"runtime/debug"

	"holdup.test/go/truth"
)

//go:embed main.go
var source string

type cache struct {
	entries map[string]string
	stop    chan struct{}
}

//go:noinline
func janitor(stop <-chan struct{}) {
	<-stop // at: waits
}

//go:noinline
func start() {
	c := &cache{entries: map[string]string{}, stop: make(chan struct{})}
	runtime.SetFinalizer(c, func(c *cache) { close(c.stop) })
	go janitor(c.stop) // at: starts
}

func trouble() []truth.Wait {
	debug.SetGCPercent(-1)
	start()
	return []truth.Wait{
		{Role: "janitor", Kind: "go-chan", Function: "main.janitor", At: "waits", Created: "starts", Count: 1},
	}
}

func main() {
	truth.Main(source, "healthy", trouble)
}
