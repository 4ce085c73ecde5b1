// SPDX-License-Identifier: GPL-2.0-only

// cond-workers: healthy. Workers wait on a sync.Cond for jobs that come now and then.
package main

import (
	_ "embed"
	"sync"
	"time"

	"holdup.test/go/truth"
)

//go:embed main.go
var source string

type queue struct {
	mu       sync.Mutex
	nonempty *sync.Cond
	jobs     []int
	done     int
}

func (q *queue) take() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.jobs) == 0 {
		q.nonempty.Wait() // at: waits
	}
	job := q.jobs[0]
	q.jobs = q.jobs[1:]
	return job
}

func (q *queue) work() {
	for {
		q.done += q.take()
	}
}

func (q *queue) fill() {
	for range time.Tick(50 * time.Millisecond) {
		q.mu.Lock()
		q.jobs = append(q.jobs, 1)
		q.mu.Unlock()
		q.nonempty.Signal()
	}
}

func main() {
	q := &queue{}
	q.nonempty = sync.NewCond(&q.mu)
	for i := 0; i < 5; i++ {
		go q.work() // at: works
	}
	truth.Ready(source, "healthy",
		truth.Wait{Role: "worker", Kind: "go-cond", Function: "main.(*queue).take", At: "waits", Created: "works", Count: 5})
	go q.fill()
	truth.Serve()
}
