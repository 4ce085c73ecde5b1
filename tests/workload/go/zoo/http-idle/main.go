// SPDX-License-Identifier: GPL-2.0-only

// http-idle: healthy. An HTTP server with idle keep-alive connections, and the clients that keep them.
package main

import (
	_ "embed"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"

	"holdup.test/go/truth"
)

//go:embed main.go
var source string

const clients = 6

func hello(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "hello") }

// get leaves its connection open, for the client's next request.
func get(client *http.Client, url string, all *sync.WaitGroup) {
	reply, err := client.Get(url)
	if err != nil {
		panic(err)
	}
	// All at once, so that each has a connection of its own.
	all.Done()
	all.Wait()
	io.Copy(io.Discard, reply.Body)
	reply.Body.Close()
}

//go:noinline
func serve(l net.Listener) {
	http.Serve(l, http.HandlerFunc(hello)) // at: serves
}

func main() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go serve(l) // at: starts
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	var all, over sync.WaitGroup
	all.Add(clients)
	over.Add(clients)
	for i := 0; i < clients; i++ {
		go func() {
			defer over.Done()
			get(client, "http://"+l.Addr().String()+"/", &all)
		}()
	}
	over.Wait()
	truth.Ready(source, "healthy",
		truth.Wait{Role: "server", Function: "main.serve", At: "serves", Created: "starts", Count: 1})
	truth.Serve()
}
