// SPDX-License-Identifier: GPL-2.0-only

// first-wins: several are asked at once and the first answer is taken: the others can never hand theirs over, and whoever
// counts them waits for ever. Go's own collector finds that as well, from 1.26 on, if it is told to.
package main

import (
	_ "embed"
	"sync"

	"holdup.test/go/truth"
)

//go:embed main.go
var source string

func ask(server int, answers chan<- int) {
	answers <- server // at: answers
}

//go:noinline
func fastest(servers int) int {
	answers := make(chan int)
	asked := &sync.WaitGroup{}
	asked.Add(servers)
	for i := 0; i < servers; i++ {
		go func(i int) { // at: asks
			defer asked.Done()
			ask(i, answers)
		}(i)
	}
	go count(asked) // at: counts
	return <-answers
}

//go:noinline
func count(asked *sync.WaitGroup) {
	asked.Wait() // at: waits
}

func trouble() []truth.Wait {
	fastest(4)
	return []truth.Wait{
		{Role: "loser", Kind: "go-chan", Function: "main.ask", At: "answers", Created: "asks", Count: 3},
		{Role: "counter", Kind: "go-waitgroup", Function: "main.count", At: "waits", Created: "counts", Count: 1},
	}
}

func main() {
	truth.Main(source, "nobody left", trouble)
}
