// The tutorial's echo server on golang.org/x/net/websocket, on a free port: each read is written back.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"

	"golang.org/x/net/websocket"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening on ws://%s/echo\n", listener.Addr())
	http.Handle("/echo", websocket.Handler(func(ws *websocket.Conn) { io.Copy(ws, ws) }))
	log.Fatal(http.Serve(listener, nil))
}
