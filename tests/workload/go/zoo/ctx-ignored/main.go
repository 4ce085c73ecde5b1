// SPDX-License-Identifier: GPL-2.0-only

// ctx-ignored: workers take a context, which is cancelled, and do not look at it.
package main

import (
	"context"
	_ "embed"

	"holdup.test/go/truth"
)

//go:embed main.go
var source string

type fetcher struct{ results chan string }

func (f *fetcher) follow(ctx context.Context) {
	for range f.results { // at: follows
		if ctx.Err() != nil {
			return
		}
	}
}

//go:noinline
func watch(ctx context.Context) {
	f := &fetcher{results: make(chan string)}
	go f.follow(ctx) // at: watches
}

func trouble() []truth.Wait {
	ctx, cancel := context.WithCancel(context.Background())
	for i := 0; i < 5; i++ {
		watch(ctx)
	}
	cancel()
	return []truth.Wait{
		{Role: "follower", Kind: "go-chan", Function: "main.(*fetcher).follow", At: "follows",
			Created: "watches", Count: 5},
	}
}

func main() {
	truth.Main(source, "leak", trouble)
}
