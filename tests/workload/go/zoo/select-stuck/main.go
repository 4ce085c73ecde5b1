// SPDX-License-Identifier: GPL-2.0-only

// select-stuck: a select whose channels nobody uses any more, and that has no timeout and no context.
package main

import (
	_ "embed"

	"holdup.test/go/truth"
)

//go:embed main.go
var source string

//go:noinline
func relay(requests <-chan int, replies chan<- string) {
	for {
		select { // at: selects
		case <-requests:
		case replies <- "none":
		}
	}
}

//go:noinline
func start() {
	requests, replies := make(chan int), make(chan string)
	go relay(requests, replies) // at: relays
}

func trouble() []truth.Wait {
	for i := 0; i < 4; i++ {
		start()
	}
	return []truth.Wait{
		{Role: "relay", Kind: "go-select", Function: "main.relay", At: "selects", Created: "relays", Count: 4},
	}
}

func main() {
	truth.Main(source, "leak", trouble)
}
