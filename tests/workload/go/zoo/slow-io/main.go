// SPDX-License-Identifier: GPL-2.0-only

// slow-io: a mutex is held over a read from a peer that does not answer.
package main

import (
	_ "embed"
	"net"
	"sync"

	"holdup.test/go/truth"
)

//go:embed main.go
var source string

var listener net.Listener // the garbage collector would close it

type ledger struct {
	name string
	mu   sync.Mutex
	rows []byte
}

func (l *ledger) audit(peer net.Conn, held chan<- bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	held <- true
	row := make([]byte, 64)
	n, _ := peer.Read(row) // at: reads
	l.rows = append(l.rows, row[:n]...)
}

func (l *ledger) enter(row byte) {
	l.mu.Lock() // at: locks
	l.rows = append(l.rows, row)
	l.mu.Unlock()
}

func trouble() []truth.Wait {
	var err error

	listener, err = net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	peer, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		panic(err)
	}
	books, held := &ledger{name: "books"}, make(chan bool)
	go books.audit(peer, held) // at: audits
	<-held
	for i := 0; i < 3; i++ {
		go books.enter(byte(i)) // at: enters
	}
	return []truth.Wait{
		{Role: "holder", Function: "main.(*ledger).audit", At: "reads", Created: "audits", Count: 1},
		{Role: "waiter", Kind: "go-mutex", Function: "main.(*ledger).enter", At: "locks",
			Created: "enters", Address: truth.Of(&books.mu), Count: 3},
	}
}

func main() {
	truth.Main(source, "lock held", trouble)
}
