// Command operator is a small operator as kubebuilder lays them out: a custom resource with two versions, a reconciler with a finalizer, owner references, status and events,
// webhooks that default, validate and convert, leader election, and, beside it, an aggregated API. It makes its own certificate and tells the cluster of it.
package main

import (
	"context"
	"os"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
)

const certificates = "/tmp/certificates"

func main() {
	ctrl.SetLogger(zap.New())
	log := ctrl.Log.WithName("setup")
	if err := run(ctrl.SetupSignalHandler()); err != nil {
		log.Error(err, "The operator ended")
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, addSites} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	config := ctrl.GetConfigOrDie()
	direct, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return err
	}
	if err := install(ctx, direct); err != nil {
		return err
	}
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme, LeaderElection: true, LeaderElectionID: "operator.web.example.com", LeaderElectionNamespace: "operator", LeaderElectionReleaseOnCancel: true,
		Metrics: server.Options{BindAddress: ":8080"}, HealthProbeBindAddress: ":8081",
		WebhookServer: webhook.NewServer(webhook.Options{Port: 9443, CertDir: certificates}),
	})
	if err != nil {
		return err
	}
	reconciler := &siteReconciler{Client: manager.GetClient(), events: manager.GetEventRecorder("site-operator")}
	err = ctrl.NewControllerManagedBy(manager).For(&Site{}).Owns(&corev1.ConfigMap{}).Complete(reconciler)
	if err != nil {
		return err
	}
	err = ctrl.NewWebhookManagedBy(manager, &Site{}).WithDefaulter(siteWebhook{}).WithValidator(siteWebhook{}).Complete()
	if err != nil {
		return err
	}
	if err := manager.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	if err := manager.AddReadyzCheck("webhooks", manager.GetWebhookServer().StartedChecker()); err != nil {
		return err
	}
	go serveAggregated(config)
	return manager.Start(ctx)
}
