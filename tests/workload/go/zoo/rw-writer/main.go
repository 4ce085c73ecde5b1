// SPDX-License-Identifier: GPL-2.0-only

// rw-writer: a slow reader keeps a writer waiting, and the waiting writer all other readers.
package main

import (
	_ "embed"
	"os"
	"sync"
	"time"

	"holdup.test/go/truth"
)

//go:embed main.go
var source string

var writer *os.File // the garbage collector would close it

type catalogue struct {
	name  string
	rw    sync.RWMutex
	items map[string]int
}

func (c *catalogue) export(to *os.File, reading chan<- bool) {
	c.rw.RLock()
	defer c.rw.RUnlock()
	reading <- true
	page := make([]byte, 64)
	to.Read(page) // at: exports
}

func (c *catalogue) put(name string) {
	c.rw.Lock() // at: writes
	c.items[name]++
	c.rw.Unlock()
}

func (c *catalogue) get(name string) int {
	c.rw.RLock() // at: reads
	defer c.rw.RUnlock()
	return c.items[name]
}

// writerWaits: a reader would have to wait, with nobody writing.
func (c *catalogue) writerWaits() bool {
	if c.rw.TryRLock() {
		c.rw.RUnlock()
		return false
	}
	return true
}

func trouble() []truth.Wait {
	out, in, err := os.Pipe()
	writer = in
	if err != nil {
		panic(err)
	}
	c, reading := &catalogue{items: map[string]int{}}, make(chan bool)
	go c.export(out, reading) // at: export starts
	<-reading
	go c.put("shoe") // at: write starts
	for !c.writerWaits() {
		time.Sleep(time.Millisecond)
	}
	for i := 0; i < 4; i++ {
		go c.get("shoe") // at: read starts
	}
	return []truth.Wait{
		{Role: "holder", Function: "main.(*catalogue).export", At: "exports", Created: "export starts", Count: 1},
		{Role: "writer", Kind: "go-rwmutex", Function: "main.(*catalogue).put", At: "writes",
			Created: "write starts", Address: truth.Of(&c.rw), Count: 1},
		{Role: "reader", Kind: "go-rwmutex", Function: "main.(*catalogue).get", At: "reads",
			Created: "read starts", Address: truth.Of(&c.rw), Count: 4},
	}
}

func main() {
	truth.Main(source, "lock held", trouble)
}
