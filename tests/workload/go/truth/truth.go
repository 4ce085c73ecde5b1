// SPDX-License-Identifier: GPL-2.0-only

// Package truth lets a program say what its goroutines wait for, as its source and Go's own
// tracebacks have it.
//
// A program declares which goroutines are to block and at which marked line of its source ("// at:
// NAME"). Ready waits until Go's own traceback shows them there, prints a line of JSON with the
// functions and lines, and answers requests from standard input until that ends:
//
//	goroutines	a line of JSON with every goroutine, as runtime.Stack has it
//	leaks		how many goroutines Go's own collector finds to be leaked; null: it does not look (before 1.27)
//	gc		two garbage collections (the runtime notes only then how long goroutines have waited)
//
// Only the standard library as it was in Go 1.19 is used: the same sources build with every release.
package truth

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"
)

const (
	readyWithin = 60 * time.Second
	lifetime    = 10 * time.Minute // for programs whose standard input never ends
)

// Wait is what some goroutines are to do: block at the line marked At in Function.
type Wait struct {
	Role     string // what the test calls them
	Kind     string // go-mutex, go-chan, …; empty: no lock and no channel
	Function string // as Go names it: main.(*ledger).append
	At       string // mark of the line where they block
	Created  string // mark of the go statement; empty: the main goroutine
	Address  string // of the lock or the channel for which they wait: Of(); empty: none or not known
	Count    int
}

// Frame is a call, as a traceback has it.
type Frame struct {
	Function string `json:"function"`
	File     string `json:"file"`
	Line     int    `json:"line"`
}

// Goroutine is one goroutine of a traceback, innermost frame first.
type Goroutine struct {
	ID      int64   `json:"goroutine"`
	State   string  `json:"state"`
	Stack   []Frame `json:"stack"`
	Created *Frame  `json:"created_by"`
}

type waitLine struct {
	Role       string   `json:"role"`
	Kind       string   `json:"kind"`
	Function   string   `json:"function"`
	File       string   `json:"file"`
	Line       int      `json:"line"`
	CreatedBy  string   `json:"created_by"`
	Created    int      `json:"created_line"`
	Address    string   `json:"address"`
	Count      int      `json:"count"`
	Goroutines []int64  `json:"goroutines"`
	States     []string `json:"states"`
}

type readyLine struct {
	Workload string     `json:"workload"`
	PID      int        `json:"pid"`
	Go       string     `json:"go"`
	Verdict  string     `json:"verdict"`
	Waits    []waitLine `json:"waits"`
}

var (
	header = regexp.MustCompile(`^goroutine (\d+) (?:.*)\[([^\]]*)\]`)
	place  = regexp.MustCompile(`^\t(.*):(\d+)(?: \+0x[0-9a-f]+)?$`)
)

// Goroutines is every goroutine but the caller's, by runtime.Stack.
func Goroutines() []Goroutine {
	size := 1 << 20
	buffer := make([]byte, size)
	n := runtime.Stack(buffer, true)
	for n == size {
		size *= 2
		buffer = make([]byte, size)
		n = runtime.Stack(buffer, true)
	}
	all := []Goroutine{}
	for i, text := range strings.Split(string(buffer[:n]), "\n\n") {
		if g, ok := parse(text); ok && i > 0 {
			all = append(all, g)
		}
	}
	return all
}

func parse(text string) (Goroutine, bool) {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	found := header.FindStringSubmatch(lines[0])
	if found == nil {
		return Goroutine{}, false
	}
	id, _ := strconv.ParseInt(found[1], 10, 64)
	g := Goroutine{ID: id, State: found[2], Stack: []Frame{}}
	for i := 1; i+1 < len(lines); i += 2 {
		at := place.FindStringSubmatch(lines[i+1])
		if at == nil {
			i--
			continue
		}
		line, _ := strconv.Atoi(at[2])
		f := Frame{File: at[1], Line: line}
		if name := strings.TrimPrefix(lines[i], "created by "); name != lines[i] {
			f.Function = strings.Split(name, " in goroutine ")[0]
			g.Created = &f
			break
		}
		f.Function = lines[i]
		if open := strings.LastIndex(lines[i], "("); open > 0 {
			f.Function = lines[i][:open]
		}
		g.Stack = append(g.Stack, f)
	}
	return g, true
}

// lineOf is the number of the line that has a mark, which must be the only one.
func lineOf(source, mark string) int {
	found := 0
	for i, line := range strings.Split(source, "\n") {
		if strings.HasSuffix(line, "// at: "+mark) {
			if found != 0 {
				fail("two lines are marked %q", mark)
			}
			found = i + 1
		}
	}
	if found == 0 {
		fail("no line is marked %q", mark)
	}
	return found
}

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, filepath.Base(os.Args[0])+": "+format+"\n", args...)
	os.Exit(1)
}

// blocksAt: is this the goroutine's innermost frame of the program itself, and does it not run?
func (g *Goroutine) blocksAt(function string, line int) bool {
	if strings.HasPrefix(g.State, "runn") {
		return false
	}
	for _, f := range g.Stack {
		if strings.HasPrefix(f.Function, "main.") {
			return f.Function == function && f.Line == line
		}
	}
	return false
}

// find fills in what is seen of a wait.
func find(w Wait, source string, all []Goroutine) waitLine {
	l := waitLine{Role: w.Role, Kind: w.Kind, Function: w.Function, File: "main.go",
		Line: lineOf(source, w.At), Count: w.Count, Goroutines: []int64{}, States: []string{}}
	l.Address = w.Address
	if w.Created != "" {
		l.Created = lineOf(source, w.Created)
	}
	for i := range all {
		g := &all[i]
		if !g.blocksAt(l.Function, l.Line) || (g.Created != nil && g.Created.Line != l.Created) {
			continue
		}
		l.Goroutines = append(l.Goroutines, g.ID)
		l.States = append(l.States, g.State)
		if g.Created != nil {
			l.CreatedBy = g.Created.Function
		}
	}
	return l
}

func print(v any) {
	text, err := json.Marshal(v)
	if err != nil {
		fail("%v", err)
	}
	os.Stdout.Write(append(text, '\n'))
}

// Of is the address of a lock or channel, which is no reference to it.
func Of(object any) string { return fmt.Sprintf("%p", object) }

// Main makes the trouble in a goroutine of its own, which has ended when the program is ready: nothing of what it
// had is on any stack any more but those of the goroutines that it left behind.
func Main(source, verdict string, trouble func() []Wait) {
	waits := make(chan []Wait)
	go func() { waits <- trouble() }()
	Ready(source, verdict, <-waits...)
	Serve()
}

// Ready returns when every wait is seen as often as it is to be; it has printed what the test needs to
// know. verdict is what ails the program; "healthy": nothing.
func Ready(source, verdict string, waits ...Wait) {
	time.AfterFunc(lifetime, func() { os.Exit(0) })
	deadline := time.Now().Add(readyWithin)
	for {
		all, complete := Goroutines(), true
		line := readyLine{Workload: filepath.Base(os.Args[0]), PID: os.Getpid(), Go: runtime.Version(),
			Verdict: verdict, Waits: []waitLine{}}
		for _, w := range waits {
			l := find(w, source, all)
			complete = complete && len(l.Goroutines) == w.Count
			line.Waits = append(line.Waits, l)
		}
		if complete {
			print(line)
			return
		}
		if time.Now().After(deadline) {
			print(all)
			fail("not blocked where they should be in %v: %+v", readyWithin, line.Waits)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// leaks lets the collector look for leaked goroutines. What it found is forgotten with the next collection: there is none.
func leaks() any {
	profile := pprof.Lookup("goroutineleak")
	if profile == nil {
		return nil
	}
	debug.SetGCPercent(-1)
	if err := profile.WriteTo(io.Discard, 0); err != nil {
		fail("%v", err)
	}
	return profile.Count()
}

// Serve answers standard input until it ends; then the program does.
func Serve() {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		switch in.Text() {
		case "goroutines":
			print(Goroutines())
		case "leaks":
			print(leaks())
		case "gc":
			runtime.GC()
			runtime.GC()
			print("collected")
		default:
			fail("can't %q", in.Text())
		}
	}
	os.Exit(0)
}
