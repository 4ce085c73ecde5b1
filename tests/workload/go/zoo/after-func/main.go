// SPDX-License-Identifier: GPL-2.0-only

// after-func: healthy. Timers that fire again and again, tickers that are read, sleepers.
package main

import (
	_ "embed"
	"sync/atomic"
	"time"

	"holdup.test/go/truth"
)

//go:embed main.go
var source string

var refreshed int64

func refresh() {
	atomic.AddInt64(&refreshed, 1)
	time.AfterFunc(20*time.Millisecond, refresh)
}

func janitor() {
	for {
		time.Sleep(time.Hour) // at: sleeps
	}
}

func report(stop <-chan bool) {
	t := time.NewTicker(time.Hour)
	defer t.Stop()
	for {
		select { // at: reports
		case <-t.C:
		case <-stop:
			return
		}
	}
}

func main() {
	refresh()
	stop := make(chan bool)
	go janitor()    // at: janitor starts
	go report(stop) // at: report starts
	truth.Ready(source, "healthy",
		truth.Wait{Role: "janitor", Function: "main.janitor", At: "sleeps", Created: "janitor starts", Count: 1},
		truth.Wait{Role: "report", Kind: "go-select", Function: "main.report", At: "reports",
			Created: "report starts", Count: 1})
	truth.Serve()
	close(stop)
}
