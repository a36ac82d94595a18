package main

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

const finalizer = "web.example.com/archive"

// siteReconciler keeps the pages of a site in a ConfigMap that it owns, and archives them when the site goes.
type siteReconciler struct {
	client.Client
	events events.EventRecorder
}

func (r *siteReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var site Site
	if err := r.Get(ctx, request.NamespacedName, &site); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !site.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, r.archive(ctx, &site)
	}
	if controllerutil.AddFinalizer(&site, finalizer) {
		if err := r.Update(ctx, &site); err != nil {
			return ctrl.Result{}, err
		}
	}
	pages := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: site.Name + "-pages", Namespace: site.Namespace}}
	result, err := controllerutil.CreateOrUpdate(ctx, r.Client, pages, func() error {
		pages.Data = dataOf(&site)
		return controllerutil.SetControllerReference(&site, pages, r.Scheme())
	})
	if err != nil {
		return ctrl.Result{}, err
	}
	if result != controllerutil.OperationResultNone {
		r.events.Eventf(&site, pages, corev1.EventTypeNormal, "Published", "Publish", "pages were %s", result)
	}
	site.Status.ObservedGeneration, site.Status.PageCount = site.Generation, len(site.Spec.Pages)
	meta.SetStatusCondition(&site.Status.Conditions, metav1.Condition{
		Type: "Ready", Status: metav1.ConditionTrue, Reason: "Published", Message: fmt.Sprintf("%d pages", len(site.Spec.Pages)), ObservedGeneration: site.Generation,
	})
	return ctrl.Result{}, r.Status().Update(ctx, &site)
}

// archive keeps a copy that nobody owns.
func (r *siteReconciler) archive(ctx context.Context, site *Site) error {
	if !controllerutil.ContainsFinalizer(site, finalizer) {
		return nil
	}
	archive := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: site.Name + "-archive", Namespace: site.Namespace}, Data: dataOf(site)}
	if err := r.Create(ctx, archive); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	controllerutil.RemoveFinalizer(site, finalizer)
	return r.Update(ctx, site)
}

func dataOf(site *Site) map[string]string {
	data := map[string]string{}
	for _, page := range site.Spec.Pages {
		data[page.Name] = page.Text
	}
	return data
}

// siteWebhook fills in the theme and refuses scripts.
type siteWebhook struct{}

func (siteWebhook) Default(_ context.Context, site *Site) error {
	if site.Spec.Theme == "" {
		site.Spec.Theme = "plain"
	}
	return nil
}

func (siteWebhook) ValidateCreate(_ context.Context, site *Site) (admission.Warnings, error) {
	for _, page := range site.Spec.Pages {
		if strings.Contains(page.Text, "<script") {
			return nil, fmt.Errorf("page %s has a script", page.Name)
		}
	}
	if len(site.Spec.Pages) == 0 {
		return admission.Warnings{"a site without pages"}, nil
	}
	return nil, nil
}

func (w siteWebhook) ValidateUpdate(ctx context.Context, _, site *Site) (admission.Warnings, error) {
	return w.ValidateCreate(ctx, site)
}

func (siteWebhook) ValidateDelete(_ context.Context, site *Site) (admission.Warnings, error) {
	if site.Labels["keep"] == "yes" {
		return nil, fmt.Errorf("site %s is to be kept", site.Name)
	}
	return nil, nil
}
