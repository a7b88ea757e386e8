// Command server answers greetings over HTTP.
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"

	"example.com/multistage/internal/greeting"
)

func main() {
	listen := flag.String("listen", defaultAddress(), "address to listen on; $PORT changes the default")
	flag.Parse()

	http.HandleFunc(greeting.Path, greet)
	log.Printf("listening on %s", *listen)
	log.Fatal(http.ListenAndServe(*listen, nil))
}

func defaultAddress() string {
	if port := os.Getenv("PORT"); port != "" {
		return ":" + port
	}
	return ":" + greeting.Port
}

func greet(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintln(w, greeting.For(r.URL.Query().Get("name")))
}
