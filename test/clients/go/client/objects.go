package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	appsapply "k8s.io/client-go/applyconfigurations/apps/v1"
	coreapply "k8s.io/client-go/applyconfigurations/core/v1"
	metaapply "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	sharedinformers "k8s.io/client-go/informers"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/scale"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/retry"
)

// events are what an informer told, as "add NAME", "update NAME", "delete NAME".
type events chan string

func (e events) handler() cache.ResourceEventHandlerFuncs {
	say := func(verb string, object any) {
		if gone, isGone := object.(cache.DeletedFinalStateUnknown); isGone {
			object = gone.Obj
		}
		e <- verb + " " + object.(metav1.Object).GetName()
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { say("add", object) },
		UpdateFunc: func(_, object any) { say("update", object) },
		DeleteFunc: func(object any) { say("delete", object) },
	}
}

// await reads until the event came.
func (e events) await(ctx context.Context, wanted string) error {
	for {
		select {
		case event := <-e:
			if event == wanted {
				return nil
			}
		case <-ctx.Done():
			return fmt.Errorf("waited in vain for %q", wanted)
		}
	}
}

func configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"made-by": "client-go"}}, Data: map[string]string{"a": "1"}}
}

func startFactory(ctx context.Context, p *program) (sharedinformers.SharedInformerFactory, events, error) {
	factory := sharedinformers.NewSharedInformerFactoryWithOptions(p.typed, 0, sharedinformers.WithNamespace(p.namespace))
	seen := make(events, 1000)
	informer := factory.Core().V1().ConfigMaps().Informer()
	if _, err := informer.AddEventHandler(seen.handler()); err != nil {
		return nil, nil, err
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return nil, nil, errors.New("the informer did not sync")
	}
	return factory, seen, nil
}

func informers(ctx context.Context, p *program) error {
	factory, seen, err := startFactory(ctx, p)
	if err != nil {
		return err
	}
	maps := p.typed.CoreV1().ConfigMaps(p.namespace)
	if _, err := maps.Create(ctx, configMap("informed"), metav1.CreateOptions{}); err != nil {
		return err
	}
	if err := seen.await(ctx, "add informed"); err != nil {
		return err
	}
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		found, err := maps.Get(ctx, "informed", metav1.GetOptions{})
		if err != nil {
			return err
		}
		found.Data["a"] = "2"
		_, err = maps.Update(ctx, found, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return err
	}
	if err := seen.await(ctx, "update informed"); err != nil {
		return err
	}
	listed, err := factory.Core().V1().ConfigMaps().Lister().ConfigMaps(p.namespace).Get("informed")
	if err != nil || listed.Data["a"] != "2" {
		return fmt.Errorf("the lister has %v, %v", listed, err)
	}
	if err := maps.Delete(ctx, "informed", metav1.DeleteOptions{}); err != nil {
		return err
	}
	return seen.await(ctx, "delete informed")
}

// watchList: client-go's reflectors begin with a streaming list.
func watchList(ctx context.Context, p *program) error {
	if _, _, err := startFactory(ctx, p); err != nil {
		return err
	}
	return expect(p.traffic.find("GET", "/configmaps?", "sendInitialEvents=true", "watch=true"), "no streaming list: %v", p.traffic.lines)
}

// protobuf is what typed clients speak, both ways, over HTTP/2.
func protobuf(ctx context.Context, p *program) error {
	made, err := p.typed.AppsV1().Deployments(p.namespace).Create(ctx, deployment("in-protobuf"), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	defer func() {
		_ = p.typed.AppsV1().Deployments(p.namespace).Delete(ctx, "in-protobuf", metav1.DeleteOptions{})
	}()
	if err := expect(*made.Spec.RevisionHistoryLimit == 10 && made.UID != "", "defaults are missing: %v", made.Spec); err != nil {
		return err
	}
	if _, err := p.typed.AppsV1().Deployments("").List(ctx, metav1.ListOptions{Limit: 1}); err != nil {
		return err
	}
	_, err = p.typed.CoreV1().ConfigMaps(p.namespace).Get(ctx, "absent", metav1.GetOptions{})
	if err := expect(apierrors.IsNotFound(err), "not a NotFound: %v", err); err != nil {
		return err
	}
	patch := []byte(`{"metadata":{"annotations":{"patched":"yes"}}}`)
	if _, err := p.typed.AppsV1().Deployments(p.namespace).Patch(ctx, "in-protobuf", types.StrategicMergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return err
	}
	for _, request := range []string{"POST /apis/apps/v1/namespaces/default/deployments ", "GET /apis/apps/v1/deployments?limit=1 ", "GET /api/v1/namespaces/default/configmaps/absent ", "PATCH "} {
		if !p.traffic.find(request, "application/vnd.kubernetes.protobuf", "HTTP/2.0") {
			return fmt.Errorf("%s was not in protobuf: %v", request, p.traffic.lines)
		}
	}
	return nil
}

func deployment(name string) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	zero := int32(0)
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &zero, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "busybox"}}},
			},
		},
	}
}

func dynamicClient(ctx context.Context, p *program) error {
	resource := schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	factory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(p.dynamic, 0, p.namespace, func(options *metav1.ListOptions) { options.LabelSelector = "made-by=dynamic" })
	seen := make(events, 100)
	informer := factory.ForResource(resource).Informer()
	if _, err := informer.AddEventHandler(seen.handler()); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return errors.New("the informer did not sync")
	}
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "free", "labels": map[string]any{"made-by": "dynamic"}},
	}}
	maps := p.dynamic.Resource(resource).Namespace(p.namespace)
	if _, err := maps.Create(ctx, object, metav1.CreateOptions{}); err != nil {
		return err
	}
	if err := seen.await(ctx, "add free"); err != nil {
		return err
	}
	// It leaves the selector: a delete for this informer.
	if _, err := maps.Patch(ctx, "free", types.MergePatchType, []byte(`{"metadata":{"labels":{"made-by":null}}}`), metav1.PatchOptions{}); err != nil {
		return err
	}
	if err := seen.await(ctx, "delete free"); err != nil {
		return err
	}
	return maps.Delete(ctx, "free", metav1.DeleteOptions{})
}

func metadataClient(ctx context.Context, p *program) error {
	client, err := metadata.NewForConfig(p.config)
	if err != nil {
		return err
	}
	list, err := client.Resource(schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, item := range list.Items {
		if item.UID == "" {
			return fmt.Errorf("no uid: %v", item)
		}
	}
	namespace, err := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}).Get(ctx, "kube-system", metav1.GetOptions{})
	if err != nil {
		return err
	}
	return expect(namespace.Labels["kubernetes.io/metadata.name"] == "kube-system" && p.traffic.find("GET /api/v1/namespaces/kube-system", "application/vnd.kubernetes.protobuf"), "not metadata in protobuf: %v", p.traffic.lines)
}

func discoveryClient(_ context.Context, p *program) error {
	client, err := discovery.NewDiscoveryClientForConfig(p.config)
	if err != nil {
		return err
	}
	groups, resources, err := client.ServerGroupsAndResources()
	if err != nil {
		return err
	}
	if err := expect(len(groups) > 15 && len(resources) > 20, "few groups: %d, %d", len(groups), len(resources)); err != nil {
		return err
	}
	if err := expect(p.traffic.find("GET /apis?", "as=APIGroupDiscoveryList"), "not aggregated: %v", p.traffic.lines); err != nil {
		return err
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client))
	mapping, err := mapper.RESTMapping(schema.GroupKind{Group: "apps", Kind: "Deployment"})
	if err != nil {
		return err
	}
	if _, err := client.OpenAPIV3().Paths(); err != nil {
		return err
	}
	document, err := client.OpenAPISchema()
	if err != nil {
		return err
	}
	return expect(mapping.Resource.Resource == "deployments" && len(document.Definitions.AdditionalProperties) > 500, "mapping %v", mapping)
}

// apply: two managers, a conflict between them, and fields that are given up.
func apply(ctx context.Context, p *program) error {
	deployments := p.typed.AppsV1().Deployments(p.namespace)
	wanted := func(replicas int32) *appsapply.DeploymentApplyConfiguration {
		return appsapply.Deployment("applied", p.namespace).WithSpec(appsapply.DeploymentSpec().WithReplicas(replicas).
			WithSelector(metaapply.LabelSelector().WithMatchLabels(map[string]string{"app": "applied"})).
			WithTemplate(coreapply.PodTemplateSpec().WithLabels(map[string]string{"app": "applied"}).
				WithSpec(coreapply.PodSpec().WithContainers(coreapply.Container().WithName("main").WithImage("busybox")))))
	}
	if _, err := deployments.Apply(ctx, wanted(0), metav1.ApplyOptions{FieldManager: "one"}); err != nil {
		return err
	}
	_, err := deployments.Apply(ctx, wanted(1), metav1.ApplyOptions{FieldManager: "two"})
	if err := expect(apierrors.IsConflict(err), "not a conflict: %v", err); err != nil {
		return err
	}
	annotated := appsapply.Deployment("applied", p.namespace).WithAnnotations(map[string]string{"by": "two"})
	made, err := deployments.Apply(ctx, annotated, metav1.ApplyOptions{FieldManager: "two"})
	if err != nil {
		return err
	}
	extracted, err := appsapply.ExtractDeployment(made, "two")
	if err != nil {
		return err
	}
	if err := expect(extracted.Annotations["by"] == "two" && extracted.Spec == nil, "two owns %v", extracted); err != nil {
		return err
	}
	made, err = deployments.Apply(ctx, appsapply.Deployment("applied", p.namespace), metav1.ApplyOptions{FieldManager: "two"})
	if err != nil {
		return err
	}
	if err := expect(made.Annotations["by"] == "", "given up and still there: %v", made.Annotations); err != nil {
		return err
	}
	return deployments.Delete(ctx, "applied", metav1.DeleteOptions{})
}

func scaleClient(ctx context.Context, p *program) error {
	if _, err := p.typed.AppsV1().Deployments(p.namespace).Create(ctx, deployment("scaled"), metav1.CreateOptions{}); err != nil {
		return err
	}
	client, err := discovery.NewDiscoveryClientForConfig(p.config)
	if err != nil {
		return err
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client))
	scales, err := scale.NewForConfig(p.config, mapper, dynamic.LegacyAPIPathResolverFunc, scale.NewDiscoveryScaleKindResolver(client))
	if err != nil {
		return err
	}
	resource := schema.GroupResource{Group: "apps", Resource: "deployments"}
	var updated *autoscalingv1.Scale
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		found, err := scales.Scales(p.namespace).Get(ctx, resource, "scaled", metav1.GetOptions{})
		if err != nil {
			return err
		}
		found.Spec.Replicas = 0
		updated, err = scales.Scales(p.namespace).Update(ctx, resource, found, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return err
	}
	if err := expect(updated.Status.Selector == "app=scaled", "selector %q", updated.Status.Selector); err != nil {
		return err
	}
	typed, err := p.typed.AppsV1().Deployments(p.namespace).UpdateScale(ctx, "scaled", &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: "scaled", Namespace: p.namespace}}, metav1.UpdateOptions{})
	if err != nil || typed.Name != "scaled" {
		return fmt.Errorf("typed scale: %v, %v", typed, err)
	}
	return p.typed.AppsV1().Deployments(p.namespace).Delete(ctx, "scaled", metav1.DeleteOptions{})
}

// survive says when it has synced, and ends when it heard of what was made after the control plane came back.
func survive(ctx context.Context, p *program) error {
	_, seen, err := startFactory(ctx, p)
	if err != nil {
		return err
	}
	fmt.Println("synced")
	started := time.Now()
	if err := seen.await(ctx, "add after-restart"); err != nil {
		return err
	}
	fmt.Printf("heard after %d ms\n", time.Since(started).Milliseconds())
	return nil
}
