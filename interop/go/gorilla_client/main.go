// A client on github.com/gorilla/websocket: echoes of both types, a ping, and a close with code and reason.
package main

import (
	"bytes"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/gorilla/websocket"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: gorilla_client URL")
	}
	ws, _, err := websocket.DefaultDialer.Dial(os.Args[1], nil)
	if err != nil {
		log.Fatal(err)
	}
	ws.SetReadDeadline(time.Now().Add(15 * time.Second))
	ws.SetPongHandler(func(data string) error {
		fmt.Printf("pong %s\n", data)
		return nil
	})
	if err := ws.WriteControl(websocket.PingMessage, []byte("nil is not all"), time.Now().Add(time.Second)); err != nil {
		log.Fatal(err)
	}
	for _, kind := range []int{websocket.TextMessage, websocket.BinaryMessage} {
		for _, size := range []int{0, 125, 126, 50000} {
			sent := bytes.Repeat([]byte("g"), size)
			if err := ws.WriteMessage(kind, sent); err != nil {
				log.Fatal(err)
			}
			gotKind, got, err := ws.ReadMessage()
			if err != nil || gotKind != kind || !bytes.Equal(got, sent) {
				log.Fatalf("%d bytes of type %d came back as %d bytes of type %d: %v", size, kind, len(got), gotKind, err)
			}
		}
	}
	goodbye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "Goodbye, server!")
	if err := ws.WriteMessage(websocket.CloseMessage, goodbye); err != nil {
		log.Fatal(err)
	}
	_, _, err = ws.ReadMessage()
	if !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		log.Fatalf("the end was %v", err)
	}
	fmt.Println("closed 1000")
}
