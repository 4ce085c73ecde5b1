// SPDX-License-Identifier: GPL-2.0-only

// circular: two goroutines, each of which waits for the other's word before it gives its own.
package main

import (
	_ "embed"

	"holdup.test/go/truth"
)

//go:embed main.go
var source string

//go:noinline
func ping(pings, pongs chan int) {
	<-pongs // at: pings
	pings <- 1
}

//go:noinline
func pong(pings, pongs chan int) {
	<-pings // at: pongs
	pongs <- 1
}

func trouble() []truth.Wait {
	pings, pongs := make(chan int), make(chan int)
	go ping(pings, pongs) // at: ping starts
	go pong(pings, pongs) // at: pong starts
	return []truth.Wait{
		{Role: "ping", Kind: "go-chan", Function: "main.ping", At: "pings", Created: "ping starts",
			Address: truth.Of(pongs), Count: 1},
		{Role: "pong", Kind: "go-chan", Function: "main.pong", At: "pongs", Created: "pong starts",
			Address: truth.Of(pings), Count: 1},
	}
}

func main() {
	truth.Main(source, "deadlock", trouble)
}
