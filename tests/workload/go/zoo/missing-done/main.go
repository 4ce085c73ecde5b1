// SPDX-License-Identifier: GPL-2.0-only

// missing-done: a worker returns early and never calls Done; nobody is left who could.
package main

import (
	_ "embed"
	"sync"

	"holdup.test/go/truth"
)

//go:embed main.go
var source string

type batch struct {
	wg    sync.WaitGroup
	total int
}

func (b *batch) load(n int) {
	if n == 2 {
		return // without Done
	}
	b.total += n
	b.wg.Done()
}

func (b *batch) collect() {
	b.wg.Wait() // at: waits
}

func trouble() []truth.Wait {
	b := &batch{}
	b.wg.Add(1)
	go b.collect() // at: collects
	go b.load(2)
	return []truth.Wait{
		{Role: "collector", Kind: "go-waitgroup", Function: "main.(*batch).collect", At: "waits",
			Created: "collects", Address: truth.Of(&b.wg), Count: 1},
	}
}

func main() {
	truth.Main(source, "nobody left", trouble)
}
