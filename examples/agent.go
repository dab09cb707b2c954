// Counts the lines of a folder's files, while people watch: go run examples/agent.go [FOLDER]
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"path/filepath"
)

// say is one request of the simple API, which knows an agent by its name alone.
func say(method string, step map[string]any) {
	step["agentId"] = "counter-go"
	body, _ := json.Marshal(step)
	url := os.Getenv("KULTI_URL") + "/api/agent/stream?agentId=counter-go"
	request, _ := http.NewRequest(method, url, bytes.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	if answer, err := http.DefaultClient.Do(request); err != nil || answer.StatusCode >= 300 {
		log.Fatal(answer, err)
	}
}

func main() {
	folder, total := append(os.Args, ".")[1], 0
	say("POST", map[string]any{"task": "Count the lines in " + folder, "visibility": "public"})
	files, _ := filepath.Glob(filepath.Join(folder, "*.*"))
	for _, file := range files {
		content, _ := os.ReadFile(file)
		line := fmt.Sprintf("%8d %s", bytes.Count(content, []byte("\n")), filepath.Base(file))
		say("PATCH", map[string]any{"terminal": []any{map[string]any{"type": "output", "content": line}}})
		total += bytes.Count(content, []byte("\n"))
	}
	say("PATCH", map[string]any{"thinking": fmt.Sprintf("%d lines in %d files.", total, len(files))})
	say("DELETE", map[string]any{})
}
