// SPDX-License-Identifier: GPL-2.0-only

// send-timeout: an answer is sent on an unbuffered channel to someone who has stopped waiting for it.
package main

import (
	_ "embed"
	"errors"
	"time"

	"holdup.test/go/truth"
)

//go:embed main.go
var source string

func answer(question int, slow <-chan bool) int {
	<-slow
	return question + 1
}

//go:noinline
func ask(question int, slow <-chan bool) (int, error) {
	answers := make(chan int)
	go func() { // at: asks
		answers <- answer(question, slow) // at: sends
	}()
	select {
	case a := <-answers:
		return a, nil
	case <-time.After(time.Millisecond):
		return 0, errors.New("timed out")
	}
}

func trouble() []truth.Wait {
	slow := make(chan bool)
	for i := 0; i < 7; i++ {
		if _, err := ask(i, slow); err == nil {
			panic("answered")
		}
	}
	close(slow)
	return []truth.Wait{
		{Role: "sender", Kind: "go-chan", Function: "main.ask.func1", At: "sends", Created: "asks", Count: 7},
	}
}

func main() {
	truth.Main(source, "leak", trouble)
}
