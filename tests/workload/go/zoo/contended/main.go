// SPDX-License-Identifier: GPL-2.0-only

// contended: healthy, but slow. Goroutines queue for locks that are held for a millisecond and go on.
package main

import (
	_ "embed"
	"sync"
	"time"

	"holdup.test/go/truth"
)

//go:embed main.go
var source string

type store struct {
	mu   sync.Mutex
	rw   sync.RWMutex
	rows int
}

func (s *store) update() {
	for {
		s.mu.Lock()
		s.rows++
		time.Sleep(time.Millisecond)
		s.mu.Unlock()
	}
}

func (s *store) write() {
	for {
		s.rw.Lock()
		time.Sleep(time.Millisecond)
		s.rw.Unlock()
	}
}

func (s *store) read() {
	for {
		s.rw.RLock()
		time.Sleep(time.Millisecond)
		s.rw.RUnlock()
	}
}

func main() {
	s := &store{}
	for i := 0; i < 6; i++ {
		go s.update()
		go s.read()
	}
	go s.write()
	truth.Ready(source, "healthy")
	truth.Serve()
}
