// SPDX-License-Identifier: GPL-2.0-only

// errgroup: healthy. A group of goroutines that work, and one that waits for all of them.
package main

import (
	"context"
	_ "embed"
	"sync"
	"time"

	"holdup.test/go/truth"
)

//go:embed main.go
var source string

// group is what golang.org/x/sync/errgroup is.
type group struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
	once   sync.Once
	err    error
}

func (g *group) start(f func() error) {
	g.wg.Add(1)
	go func() { // at: starts
		defer g.wg.Done()
		if err := f(); err != nil {
			g.once.Do(func() { g.err = err; g.cancel() })
		}
	}()
}

func (g *group) wait() error {
	g.wg.Wait() // at: waits
	return g.err
}

//go:noinline
func poll(ctx context.Context) error {
	t := time.NewTicker(50 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	g := &group{cancel: cancel}
	for i := 0; i < 3; i++ {
		g.start(func() error { return poll(ctx) })
	}
	go g.wait() // at: wait starts
	truth.Ready(source, "healthy",
		truth.Wait{Role: "waiter", Kind: "go-waitgroup", Function: "main.(*group).wait", At: "waits",
			Created: "wait starts", Address: truth.Of(&g.wg), Count: 1})
	truth.Serve()
}
