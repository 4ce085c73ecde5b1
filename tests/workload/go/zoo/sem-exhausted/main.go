// SPDX-License-Identifier: GPL-2.0-only

// sem-exhausted: a channel limits how many work at once; on errors the place is never given back.
package main

import (
	_ "embed"
	"errors"

	"holdup.test/go/truth"
)

//go:embed main.go
var source string

type limiter struct{ places chan struct{} }

func (l *limiter) acquire() {
	l.places <- struct{}{} // at: acquires
}

func (l *limiter) release() { <-l.places }

func (l *limiter) do(work func() error) error {
	l.acquire()
	if err := work(); err != nil {
		return err // without release
	}
	l.release()
	return nil
}

func trouble() []truth.Wait {
	l := &limiter{places: make(chan struct{}, 2)}
	failing := func() error { return errors.New("refused") }
	for i := 0; i < 2; i++ {
		l.do(failing)
	}
	for i := 0; i < 3; i++ {
		go l.do(failing) // at: starts
	}
	return []truth.Wait{
		{Role: "worker", Kind: "go-chan", Function: "main.(*limiter).acquire", At: "acquires",
			Created: "starts", Address: truth.Of(l.places), Count: 3},
	}
}

func main() {
	truth.Main(source, "blocked", trouble)
}
