// SPDX-License-Identifier: GPL-2.0-only

// nil-channel: a channel that was never made: receive, send, and a select without cases.
package main

import (
	_ "embed"

	"holdup.test/go/truth"
)

//go:embed main.go
var source string

type feed struct{ events chan int }

func (f *feed) next() int {
	return <-f.events // at: receives
}

func (f *feed) publish(n int) {
	f.events <- n // at: sends
}

func idle() {
	select {} // at: selects
}

func trouble() []truth.Wait {
	f := &feed{}
	go f.next()     // at: receive starts
	go f.publish(1) // at: send starts
	go idle()       // at: idle starts
	return []truth.Wait{
		{Role: "receiver", Kind: "go-chan", Function: "main.(*feed).next", At: "receives",
			Created: "receive starts", Count: 1},
		{Role: "sender", Kind: "go-chan", Function: "main.(*feed).publish", At: "sends",
			Created: "send starts", Count: 1},
		{Role: "idle", Function: "main.idle", At: "selects", Created: "idle starts", Count: 1},
	}
}

func main() {
	truth.Main(source, "leak", trouble)
}
