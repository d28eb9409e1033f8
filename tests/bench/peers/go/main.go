// The ingress a Go developer would write in an afternoon: net/http reads the form, the key is
// looked up, a persistent message is published with a confirm, and only then comes the answer.
package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

type command struct {
	ID          string `json:"id"`
	Kind        string `json:"kind"`
	Integration int    `json:"integration"`
	Order       string `json:"order"`
	Sum         string `json:"sum"`
	ReceivedAt  string `json:"received_at"`
}

func main() {
	connection, err := amqp.Dial(os.Getenv("AMQP_URL"))
	if err != nil {
		log.Fatal(err)
	}
	channel, err := connection.Channel()
	if err != nil {
		log.Fatal(err)
	}
	if err := channel.Confirm(false); err != nil {
		log.Fatal(err)
	}
	exchange, route := os.Getenv("PEER_EXCHANGE"), os.Getenv("PEER_ROUTE")
	keys := map[string]int{os.Getenv("PEER_KEY"): 1}

	take := func(w http.ResponseWriter, r *http.Request) {
		order := r.PostFormValue("id")
		integration, known := keys[r.PostFormValue("key")]
		if order == "" || !known {
			http.Error(w, `{"success":false}`, http.StatusForbidden)
			return
		}
		id := make([]byte, 16)
		if _, err := rand.Read(id); err != nil {
			http.Error(w, `{"success":false}`, http.StatusInternalServerError)
			return
		}
		body, _ := json.Marshal(command{
			ID: hex.EncodeToString(id), Kind: "SendOrder", Integration: integration, Order: order,
			Sum: r.PostFormValue("sum"), ReceivedAt: time.Now().UTC().Format(time.RFC3339Nano),
		})
		confirm, err := channel.PublishWithDeferredConfirmWithContext(r.Context(), exchange, route, true, false,
			amqp.Publishing{ContentType: "application/json", DeliveryMode: amqp.Persistent, Body: body})
		if err != nil || !confirm.Wait() {
			http.Error(w, `{"success":false}`, http.StatusServiceUnavailable)
			return
		}
		answer, _ := json.Marshal(map[string]any{"success": true, "id": order})
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.Write(answer)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/reintegrations/requests/trigger/retailcrm", take)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	log.Fatal(http.Serve(listener, mux))
}
