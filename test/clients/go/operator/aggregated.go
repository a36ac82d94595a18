package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const clockPath = "/apis/clock.example.com/v1"

// serveAggregated serves clock.example.com/v1: the zones of the clock, which are computed, and a watch that ticks. It believes whom the API server names, and nobody else.
func serveAggregated(config *rest.Config) {
	pool, err := frontProxies(config)
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc(clockPath, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "clock.example.com/v1", "resources": []any{
			map[string]any{"name": "zones", "singularName": "zone", "namespaced": false, "kind": "Zone", "verbs": []string{"get", "list", "watch"}, "shortNames": []string{"tz"}},
		}})
	})
	mux.HandleFunc(clockPath+"/zones", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("watch") != "" {
			tick(w, r)
			return
		}
		answer(w, map[string]any{"kind": "ZoneList", "apiVersion": "clock.example.com/v1", "metadata": map[string]any{"resourceVersion": "1"}, "items": []any{zone("utc", r), zone("local", r)}})
	})
	mux.HandleFunc(clockPath+"/zones/{name}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, zone(r.PathValue("name"), r))
	})
	server := &http.Server{
		Addr: ":8443", Handler: mux, ReadHeaderTimeout: 5 * time.Second,
		TLSConfig: &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, MinVersion: tls.VersionTLS12},
	}
	panic(server.ListenAndServeTLS(filepath.Join(certificates, "tls.crt"), filepath.Join(certificates, "tls.key")))
}

// frontProxies are the authorities that the cluster says to trust.
func frontProxies(config *rest.Config) (*x509.CertPool, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	found, err := client.CoreV1().ConfigMaps("kube-system").Get(context.Background(), "extension-apiserver-authentication", metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(found.Data["requestheader-client-ca-file"])) {
		return nil, fmt.Errorf("no authority in %v", found.Data)
	}
	return pool, nil
}

func zone(name string, r *http.Request) map[string]any {
	host, _ := os.Hostname()
	return map[string]any{
		"kind": "Zone", "apiVersion": "clock.example.com/v1", "metadata": map[string]any{"name": name, "resourceVersion": "1"},
		"status": map[string]any{
			"time": time.Now().UTC().Format(time.RFC3339), "host": host, "asker": r.Header.Get("X-Remote-User"), "groups": strings.Join(r.Header.Values("X-Remote-Group"), ","),
		},
	}
}

// tick sends three events, half a second apart.
func tick(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	for _, kind := range []string{"ADDED", "MODIFIED", "MODIFIED"} {
		_ = encoder.Encode(map[string]any{"type": kind, "object": zone("utc", r)})
		w.(http.Flusher).Flush()
		time.Sleep(500 * time.Millisecond)
	}
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}

func encode(content []byte) string { return base64.StdEncoding.EncodeToString(content) }
