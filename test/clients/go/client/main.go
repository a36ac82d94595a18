// Command client does with client-go what programs do, one thing per call, and says "ok" or why not.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// program is what each step works with.
type program struct {
	config    *rest.Config
	typed     kubernetes.Interface
	dynamic   dynamic.Interface
	traffic   *traffic
	namespace string
	args      []string
}

// traffic notes what went over the wire.
type traffic struct {
	http.RoundTripper
	mutex sync.Mutex
	lines []string
}

func (t *traffic) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := t.RoundTripper.RoundTrip(request)
	t.mutex.Lock()
	defer t.mutex.Unlock()
	kind, protocol := "", ""
	if response != nil {
		kind, protocol = response.Header.Get("Content-Type"), response.Proto
	}
	t.lines = append(t.lines, fmt.Sprintf("%s %s %s %s", request.Method, request.URL.RequestURI(), kind, protocol))
	return response, err
}

// find tells whether a line has all these parts.
func (t *traffic) find(parts ...string) bool {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	for _, line := range t.lines {
		has := true
		for _, part := range parts {
			has = has && strings.Contains(line, part)
		}
		if has {
			return true
		}
	}
	return false
}

var steps = map[string]func(context.Context, *program) error{
	"informers":       informers,
	"watch-list":      watchList,
	"protobuf":        protobuf,
	"dynamic":         dynamicClient,
	"metadata":        metadataClient,
	"discovery":       discoveryClient,
	"apply":           apply,
	"scale":           scaleClient,
	"leader-election": leaderElection,
	"exec":            execute,
	"port-forward":    portForward,
	"survive":         survive,
}

func main() {
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(), &clientcmd.ConfigOverrides{CurrentContext: os.Getenv("CONTEXT")}).ClientConfig()
	if err != nil {
		fail(err)
	}
	seen := &traffic{}
	config.Wrap(func(inner http.RoundTripper) http.RoundTripper {
		seen.RoundTripper = inner
		return seen
	})
	step, known := steps[os.Args[1]]
	if !known {
		fail(fmt.Errorf("no step %q", os.Args[1]))
	}
	p := &program{
		config: config, traffic: seen, namespace: "default", args: os.Args[2:],
		typed: kubernetes.NewForConfigOrDie(config), dynamic: dynamic.NewForConfigOrDie(config),
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Second)
	defer cancel()
	if err := step(ctx, p); err != nil {
		fail(err)
	}
	fmt.Println("ok")
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// expect is an error that says what was not as it should be.
func expect(holds bool, format string, args ...any) error {
	if holds {
		return nil
	}
	return fmt.Errorf(format, args...)
}
