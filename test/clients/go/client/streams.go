package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	utilexec "k8s.io/client-go/util/exec"
)

// leaderElection: a second candidate takes over as soon as the first lets go.
func leaderElection(ctx context.Context, p *program) error {
	began := make(chan string, 2)
	candidate := func(ctx context.Context, name string) {
		lock := &resourcelock.LeaseLock{
			LeaseMeta: metav1.ObjectMeta{Name: "elected", Namespace: p.namespace}, Client: p.typed.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: name},
		}
		leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
			Lock: lock, ReleaseOnCancel: true, LeaseDuration: 3 * time.Second, RenewDeadline: 2 * time.Second, RetryPeriod: 200 * time.Millisecond,
			Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: func(context.Context) { began <- name }, OnStoppedLeading: func() {}},
		})
	}
	next := func(wanted string) error {
		select {
		case name := <-began:
			return expect(name == wanted, "%s leads, not %s", name, wanted)
		case <-ctx.Done():
			return fmt.Errorf("%s never led", wanted)
		}
	}
	firstCtx, resign := context.WithCancel(ctx)
	go candidate(firstCtx, "first")
	if err := next("first"); err != nil {
		resign()
		return err
	}
	go candidate(ctx, "second")
	resign()
	return next("second")
}

// execute runs commands in the pod of the first argument, over "websocket" or "spdy".
func execute(ctx context.Context, p *program) error {
	run := func(command []string, input string) (string, string, error) {
		request := p.typed.CoreV1().RESTClient().Post().Resource("pods").Namespace(p.namespace).Name(p.args[0]).SubResource("exec").
			VersionedParams(&corev1.PodExecOptions{Command: command, Stdin: input != "", Stdout: true, Stderr: true}, scheme.ParameterCodec)
		executor, err := remotecommand.NewSPDYExecutor(p.config, "POST", request.URL())
		if p.args[1] == "websocket" {
			executor, err = remotecommand.NewWebSocketExecutor(p.config, "GET", request.URL().String())
		}
		if err != nil {
			return "", "", err
		}
		var output, problems bytes.Buffer
		options := remotecommand.StreamOptions{Stdout: &output, Stderr: &problems}
		if input != "" {
			options.Stdin = strings.NewReader(input)
		}
		err = executor.StreamWithContext(ctx, options)
		return output.String(), problems.String(), err
	}
	large := strings.Repeat("0123456789abcdef", 1<<16)
	output, _, err := run([]string{"cat"}, large)
	if err != nil {
		return err
	}
	if err := expect(output == large, "%d bytes came back", len(output)); err != nil {
		return err
	}
	output, problems, err := run([]string{"sh", "-c", "echo out; echo err >&2; exit 7"}, "")
	var exit utilexec.CodeExitError
	if !errors.As(err, &exit) || exit.Code != 7 {
		return fmt.Errorf("no exit code 7: %v", err)
	}
	return expect(output == "out\n" && problems == "err\n", "said %q and %q", output, problems)
}

// portForward asks the web server of the pod of the first argument, over "websocket" or "spdy".
func portForward(ctx context.Context, p *program) error {
	address := p.typed.CoreV1().RESTClient().Post().Resource("pods").Namespace(p.namespace).Name(p.args[0]).SubResource("portforward").URL()
	roundTripper, upgrader, err := spdy.RoundTripperFor(p.config)
	if err != nil {
		return err
	}
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: roundTripper}, "POST", address)
	if p.args[1] == "websocket" {
		if dialer, err = portforward.NewSPDYOverWebsocketDialer(address, p.config); err != nil {
			return err
		}
	}
	stop, ready := make(chan struct{}), make(chan struct{})
	forwarder, err := portforward.New(dialer, []string{"0:80"}, stop, ready, io.Discard, io.Discard)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- forwarder.ForwardPorts() }()
	defer close(stop)
	select {
	case <-ready:
	case err := <-ended:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		return err
	}
	response, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", ports[0].Local))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	return expect(strings.Contains(string(body), "Welcome to nginx!"), "the page says %q", body)
}
