// SPDX-License-Identifier: GPL-2.0-only

// hidden-holders: healthy. Locks that somebody has for long, each in a way that makes it hard to see who: nobody may be
// told to wait for ever.
package main

import (
	_ "embed"
	"sync"
	"time"

	"holdup.test/go/truth"
)

//go:embed main.go
var source string

const (
	waiters = 2
	long    = 9 * time.Minute // longer than any test; a little less than the program lives
)

// start lets others wait for a lock once its holder has it.
func start(lock sync.Locker, hold func(has chan<- bool)) {
	has := make(chan bool)
	go hold(has)
	<-has
	for i := 0; i < waiters; i++ {
		go enter(lock) // at: enters
	}
}

//go:noinline
func enter(lock sync.Locker) {
	lock.Lock() // at: locks
	lock.Unlock()
}

//go:noinline
func pause(has chan<- bool) {
	has <- true
	time.Sleep(long)
}

// A lock that is known as an interface only.
type vault struct {
	key  sync.Locker
	gold int
}

//go:noinline
func (v *vault) audit(has chan<- bool) {
	v.key.Lock()
	pause(has)
	v.gold++
	v.key.Unlock()
}

// A lock in an object to which only another one leads.
type store struct {
	mu   sync.Mutex
	rows int
}

type server struct {
	store *store
	name  string
}

//go:noinline
func (s *server) sync(has chan<- bool) {
	s.store.mu.Lock()
	pause(has)
	s.store.rows++
	s.store.mu.Unlock()
}

// A lock far from where its object begins.
type wide struct {
	page [8192]byte
	mu   sync.Mutex
}

//go:noinline
func (w *wide) fill(has chan<- bool) {
	w.mu.Lock()
	pause(has)
	w.page[0]++
	w.mu.Unlock()
}

// A lock that was taken much further up in the stack.
type tree struct {
	mu   sync.Mutex
	rows int
}

//go:noinline
func (t *tree) walk(has chan<- bool) {
	t.mu.Lock()
	descend(15, has)
	t.rows++
	t.mu.Unlock()
}

//go:noinline
func descend(depth int, has chan<- bool) (sum byte) {
	var pad [4096]byte
	pad[depth] = byte(depth)
	if depth == 0 {
		pause(has)
	} else {
		sum = descend(depth-1, has)
	}
	for _, b := range pad {
		sum += b
	}
	return sum
}

// A lock that is taken on the line where what takes so long is done.
type line struct {
	mu   sync.Mutex
	rows int
}

//go:noinline
func (l *line) write(has chan<- bool) {
	func() { l.mu.Lock(); pause(has); l.rows++; l.mu.Unlock() }()
}

// A lock that is given back by another goroutine than took it.
type baton struct {
	mu   sync.Mutex
	rows int
}

//go:noinline
func (b *baton) run(has chan<- bool) {
	b.mu.Lock()
	go b.finish(has)
}

//go:noinline
func (b *baton) finish(has chan<- bool) {
	pause(has)
	b.rows++
	b.mu.Unlock()
}

// A lock that functions of functions take.
type layers struct {
	mu   sync.Mutex
	rows int
}

//go:noinline
func (l *layers) lock() { l.mu.Lock() }

//go:noinline
func (l *layers) acquire() { l.lock() }

//go:noinline
func (l *layers) release() { l.mu.Unlock() }

//go:noinline
func (l *layers) use(has chan<- bool) {
	l.acquire()
	pause(has)
	l.rows++
	l.release()
}

// A lock that is given back by what the function that took it returned.
type lease struct {
	mu   sync.Mutex
	rows int
}

//go:noinline
func (l *lease) take() func() {
	l.mu.Lock()
	return func() { l.rows++; l.mu.Unlock() }
}

//go:noinline
func (l *lease) use(has chan<- bool) {
	defer l.take()()
	pause(has)
}

// A lock of readers, by interface.
type book struct {
	mu   sync.RWMutex
	rows int
}

//go:noinline
func (b *book) read(has chan<- bool) {
	reader := b.mu.RLocker()
	reader.Lock()
	pause(has)
	reader.Unlock()
}

//go:noinline
func (b *book) write() {
	b.mu.Lock() // at: locks all
	b.rows++
	b.mu.Unlock()
}

// Two locks in one object: who has the first and waits for the second has not locked that twice.
type pair struct {
	first  sync.Mutex
	second sync.Mutex
	rows   int
}

//go:noinline
func (p *pair) keep(second sync.Locker, has chan<- bool) {
	second.Lock()
	pause(has)
	p.rows++
	second.Unlock()
}

//go:noinline
func (p *pair) both() {
	p.first.Lock()
	p.second.Lock() // at: locks second
	p.rows++
	p.second.Unlock()
	p.first.Unlock()
}

func main() {
	v := &vault{key: &sync.Mutex{}}
	start(v.key, v.audit)
	s := &server{store: &store{}}
	start(&s.store.mu, s.sync)
	w := &wide{}
	start(&w.mu, w.fill)
	t := &tree{}
	start(&t.mu, t.walk)
	l := &line{}
	start(&l.mu, l.write)
	b := &baton{}
	start(&b.mu, b.run)
	y := &layers{}
	start(&y.mu, y.use)
	e := &lease{}
	start(&e.mu, e.use)
	k, has := &book{}, make(chan bool)
	go k.read(has)
	<-has
	go k.write() // at: writes
	two := &pair{}
	go two.keep(&two.second, has)
	<-has
	go two.both() // at: takes both
	truth.Ready(source, "healthy",
		truth.Wait{Role: "waiter", Kind: "go-mutex", Function: "main.enter", At: "locks", Created: "enters", Count: 8 * waiters},
		truth.Wait{Role: "writer", Kind: "go-rwmutex", Function: "main.(*book).write", At: "locks all",
			Created: "writes", Address: truth.Of(&k.mu), Count: 1},
		truth.Wait{Role: "second", Kind: "go-mutex", Function: "main.(*pair).both", At: "locks second",
			Created: "takes both", Address: truth.Of(&two.second), Count: 1})
	truth.Serve()
}
