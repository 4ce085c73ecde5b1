// SPDX-License-Identifier: GPL-2.0-only

// signals: healthy. A goroutine waits for signals, as services do all their lives.
package main

import (
	_ "embed"
	"os"
	"os/signal"
	"syscall"

	"holdup.test/go/truth"
)

//go:embed main.go
var source string

func reload(on <-chan os.Signal) {
	for range on { // at: waits
	}
}

func main() {
	on := make(chan os.Signal, 1)
	signal.Notify(on, syscall.SIGHUP)
	go reload(on) // at: starts
	truth.Ready(source, "healthy",
		truth.Wait{Role: "reload", Kind: "go-chan", Function: "main.reload", At: "waits", Created: "starts",
			Address: truth.Of(on), Count: 1})
	truth.Serve()
}
