// SPDX-License-Identifier: GPL-2.0-only

// unbounded: a goroutine for each item, faster than they can end.
package main

import (
	_ "embed"
	"flag"
	"time"

	"holdup.test/go/truth"
)

//go:embed main.go
var source string

var (
	first = flag.Int("first", 500, "items before the program is ready")
	every = flag.Duration("every", 0, "ten more items so often, after that, and now and then one less")
)

var backend = make(chan int)

func store(item int) {
	backend <- item // at: stores
}

//go:noinline
func ingest(item int) {
	go store(item) // at: ingests
}

// slowBackend takes an item now and then.
func slowBackend() {
	for range time.Tick(time.Second) {
		<-backend
	}
}

func main() {
	flag.Parse()
	for i := 0; i < *first; i++ {
		ingest(i)
	}
	truth.Ready(source, "growing",
		truth.Wait{Role: "item", Kind: "go-chan", Function: "main.store", At: "stores", Created: "ingests",
			Address: truth.Of(backend), Count: *first})
	if *every > 0 {
		go slowBackend()
		go func() {
			for range time.Tick(*every) {
				for i := 0; i < 10; i++ {
					ingest(i)
				}
			}
		}()
	}
	truth.Serve()
}
