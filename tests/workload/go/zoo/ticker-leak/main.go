// SPDX-License-Identifier: GPL-2.0-only

// ticker-leak: each request starts a goroutine with a ticker, and none ever stops.
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
	first = flag.Int("first", 20, "requests before the program is ready")
	every = flag.Duration("every", 0, "one more request so often, after that")
)

type session struct{ beats int }

func (s *session) beat() {
	for range time.NewTicker(time.Hour).C { // at: ticks
		s.beats++
	}
}

//go:noinline
func serve() {
	go new(session).beat() // at: beats
}

func main() {
	flag.Parse()
	for i := 0; i < *first; i++ {
		serve()
	}
	truth.Ready(source, "growing",
		truth.Wait{Role: "ticker", Kind: "go-chan", Function: "main.(*session).beat", At: "ticks",
			Created: "beats", Count: *first})
	if *every > 0 {
		go func() {
			for range time.Tick(*every) {
				serve()
			}
		}()
	}
	truth.Serve()
}
