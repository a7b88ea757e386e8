// Package greeting is what the client and the server agree on.
package greeting

import "fmt"

// Path is where the server answers.
const Path = "/greet"

// Port is used where neither side is told another one.
const Port = "8080"

// For greets name, or the world when there is no name.
func For(name string) string {
	if name == "" {
		name = "world"
	}
	return fmt.Sprintf("Hello, %s!", name)
}
