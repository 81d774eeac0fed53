// gorilla/websocket: `gorilla MODE [PORT]`. The broadcast is the hub of its chat example, with one message in each frame.
package main

import (
	"bytes"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"

	"github.com/gorilla/websocket"
)

// Messages that may wait for one client, as in the example.
const queue = 256

var upgrader = websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}

func main() {
	runtime.GOMAXPROCS(1)
	serve := map[string]func(*websocket.Conn){"echo": echo, "large": echo, "deflate": deflate, "broadcast": chat}
	if len(os.Args) < 2 || serve[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "gorilla echo|large|deflate|broadcast [PORT]")
		os.Exit(2)
	}
	port := "0"
	if len(os.Args) > 2 {
		port = os.Args[2]
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening on %s\n", listener.Addr())
	mode := os.Args[1]
	upgrader.EnableCompression = mode == "deflate"
	if mode == "broadcast" {
		go hub()
	}
	log.Fatal(http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The upgrader has answered what it refuses.
		if conn, err := upgrader.Upgrade(w, r, nil); err == nil {
			serve[mode](conn)
			conn.Close()
		}
	})))
}

// It keeps its buffer: ReadMessage would allocate one for each message, and grow it by doubling.
func echo(conn *websocket.Conn) {
	var buffer bytes.Buffer
	for {
		kind, reader, err := conn.NextReader()
		if err != nil {
			return
		}
		buffer.Reset()
		if _, err := buffer.ReadFrom(reader); err != nil {
			return
		}
		if err := conn.WriteMessage(kind, buffer.Bytes()); err != nil {
			return
		}
	}
}

func deflate(conn *websocket.Conn) {
	conn.EnableWriteCompression(true)
	echo(conn)
}

type message struct {
	kind int
	data []byte
}

var (
	join    = make(chan chan message)
	leave   = make(chan chan message)
	publish = make(chan message)
)

func hub() {
	clients := map[chan message]bool{}
	for {
		select {
		case client := <-join:
			clients[client] = true
		case client := <-leave:
			if clients[client] {
				delete(clients, client)
				close(client)
			}
		case said := <-publish:
			for client := range clients {
				select {
				case client <- said:
				default: // too slow
					delete(clients, client)
					close(client)
				}
			}
		}
	}
}

func chat(conn *websocket.Conn) {
	client := make(chan message, queue)
	join <- client
	go func() {
		for said := range client {
			if conn.WriteMessage(said.kind, said.data) != nil {
				break
			}
		}
		conn.Close()
	}()
	for {
		kind, data, err := conn.ReadMessage()
		if err != nil {
			break
		}
		publish <- message{kind, data}
	}
	leave <- client
}
