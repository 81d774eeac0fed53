// The tutorial's echo client on golang.org/x/net/websocket: one write, one read of at most 512 bytes, and the end of
// the process in place of a Close.
package main

import (
	"fmt"
	"log"
	"os"

	"golang.org/x/net/websocket"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: echo_client URL MESSAGE")
	}
	ws, err := websocket.Dial(os.Args[1], "", "http://localhost/")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := ws.Write([]byte(os.Args[2])); err != nil {
		log.Fatal(err)
	}
	message := make([]byte, 512)
	n, err := ws.Read(message)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("Received: %s.\n", message[:n])
}
