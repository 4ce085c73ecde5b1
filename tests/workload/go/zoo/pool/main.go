// SPDX-License-Identifier: GPL-2.0-only

// pool: healthy. Workers wait for jobs; there are none at present.
package main

import (
	_ "embed"
	"sync"
	"time"

	"holdup.test/go/truth"
)

//go:embed main.go
var source string

type pool struct {
	jobs chan func()
	done chan struct{}
	wg   sync.WaitGroup
}

func (p *pool) work() {
	defer p.wg.Done()
	for {
		select { // at: idles
		case job := <-p.jobs:
			job()
		case <-p.done:
			return
		}
	}
}

func (p *pool) drain(results <-chan int) {
	defer p.wg.Done()
	for range results { // at: drains
	}
}

// feed gives a job now and then, for as long as the program runs.
func (p *pool) feed(results chan<- int) {
	for range time.Tick(100 * time.Millisecond) {
		select {
		case p.jobs <- func() { results <- 1 }:
		default:
		}
	}
}

func main() {
	p, results := &pool{jobs: make(chan func()), done: make(chan struct{})}, make(chan int)
	p.wg.Add(9)
	for i := 0; i < 8; i++ {
		go p.work() // at: works
	}
	go p.drain(results) // at: drain starts
	truth.Ready(source, "healthy",
		truth.Wait{Role: "worker", Kind: "go-select", Function: "main.(*pool).work", At: "idles", Created: "works", Count: 8},
		truth.Wait{Role: "drain", Kind: "go-chan", Function: "main.(*pool).drain", At: "drains",
			Created: "drain starts", Address: truth.Of(results), Count: 1})
	go p.feed(results)
	truth.Serve()
}
