// Command client asks the server for a greeting and prints it.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"time"

	"example.com/multistage/internal/greeting"
)

func main() {
	log.SetFlags(0)
	server := flag.String("server", "http://127.0.0.1:"+greeting.Port, "base URL of the server")
	wait := flag.Duration("wait", 0, "how long to wait for the server to come up")
	flag.Parse()

	question := *server + greeting.Path + "?name=" + url.QueryEscape(flag.Arg(0))
	answer, err := ask(question, time.Now().Add(*wait))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(answer)
}

// ask tries until an answer comes or the deadline has passed.
func ask(question string, deadline time.Time) (string, error) {
	for {
		answer, err := get(question)
		if err == nil || time.Now().After(deadline) {
			return answer, err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func get(question string) (string, error) {
	response, err := http.Get(question)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", question, response.Status)
	}
	return string(body), err
}
