package main

import (
	"context"
	"os"
	"path/filepath"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// install makes a certificate and the definition, webhooks and APIService that lead here; what is there already trusts the new certificate from then on.
func install(ctx context.Context, c client.Client) error {
	certificate, key, err := cert.GenerateSelfSignedCertKey("operator.operator.svc", nil, nil)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(certificates, 0o700); err != nil {
		return err
	}
	for name, content := range map[string][]byte{"tls.crt": certificate, "tls.key": key} {
		if err := os.WriteFile(filepath.Join(certificates, name), content, 0o600); err != nil {
			return err
		}
	}
	definition := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "sites.web.example.com"}}
	if _, err := controllerutil.CreateOrUpdate(ctx, c, definition, func() error {
		definition.Spec = definitionSpec(certificate)
		return nil
	}); err != nil {
		return err
	}
	if err := installWebhooks(ctx, c, certificate); err != nil {
		return err
	}
	return installAPIService(ctx, c, certificate)
}

func definitionSpec(caBundle []byte) apiextensionsv1.CustomResourceDefinitionSpec {
	text := apiextensionsv1.JSONSchemaProps{Type: "string"}
	theme := apiextensionsv1.JSONSchemaProps{Type: "string", MaxLength: ptr(int64(20))}
	pages := apiextensionsv1.JSONSchemaProps{
		Type: "array", XListType: ptr("map"), XListMapKeys: []string{"name"},
		Items: &apiextensionsv1.JSONSchemaPropsOrArray{Schema: &apiextensionsv1.JSONSchemaProps{
			Type: "object", Required: []string{"name"}, Properties: map[string]apiextensionsv1.JSONSchemaProps{"name": text, "text": text},
		}},
	}
	version := func(name string, storage bool, pages apiextensionsv1.JSONSchemaProps) apiextensionsv1.CustomResourceDefinitionVersion {
		return apiextensionsv1.CustomResourceDefinitionVersion{
			Name: name, Served: true, Storage: storage,
			Subresources: &apiextensionsv1.CustomResourceSubresources{Status: &apiextensionsv1.CustomResourceSubresourceStatus{}},
			AdditionalPrinterColumns: []apiextensionsv1.CustomResourceColumnDefinition{
				{Name: "Theme", Type: "string", JSONPath: ".spec.theme"},
				{Name: "Pages", Type: "integer", JSONPath: ".status.pageCount"},
				{Name: "Ready", Type: "string", JSONPath: `.status.conditions[?(@.type=="Ready")].status`},
			},
			Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
				Type: "object", Properties: map[string]apiextensionsv1.JSONSchemaProps{
					"spec":   {Type: "object", Properties: map[string]apiextensionsv1.JSONSchemaProps{"pages": pages, "theme": theme}},
					"status": {Type: "object", XPreserveUnknownFields: ptr(true)},
				},
			}},
		}
	}
	return apiextensionsv1.CustomResourceDefinitionSpec{
		Group: "web.example.com", Scope: apiextensionsv1.NamespaceScoped,
		Names:    apiextensionsv1.CustomResourceDefinitionNames{Plural: "sites", Singular: "site", Kind: "Site", ListKind: "SiteList", ShortNames: []string{"st"}},
		Versions: []apiextensionsv1.CustomResourceDefinitionVersion{version("v1", true, pages), version("v1beta1", false, text)},
		Conversion: &apiextensionsv1.CustomResourceConversion{
			Strategy: apiextensionsv1.WebhookConverter,
			Webhook: &apiextensionsv1.WebhookConversion{
				ConversionReviewVersions: []string{"v1"},
				ClientConfig: &apiextensionsv1.WebhookClientConfig{
					CABundle: caBundle, Service: &apiextensionsv1.ServiceReference{Namespace: "operator", Name: "operator", Path: ptr("/convert")},
				},
			},
		},
	}
}

func installWebhooks(ctx context.Context, c client.Client, caBundle []byte) error {
	leadsTo := func(path string) admissionv1.WebhookClientConfig {
		return admissionv1.WebhookClientConfig{CABundle: caBundle, Service: &admissionv1.ServiceReference{Namespace: "operator", Name: "operator", Path: &path}}
	}
	rules := func(operations ...admissionv1.OperationType) []admissionv1.RuleWithOperations {
		return []admissionv1.RuleWithOperations{{Operations: operations, Rule: admissionv1.Rule{APIGroups: []string{v1.Group}, APIVersions: []string{"v1"}, Resources: []string{"sites"}}}}
	}
	sideEffects := admissionv1.SideEffectClassNone
	mutating := &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "sites"}}
	if _, err := controllerutil.CreateOrUpdate(ctx, c, mutating, func() error {
		mutating.Webhooks = []admissionv1.MutatingWebhook{{
			Name: "default.web.example.com", AdmissionReviewVersions: []string{"v1"}, SideEffects: &sideEffects,
			ClientConfig: leadsTo("/mutate-web-example-com-v1-site"), Rules: rules(admissionv1.Create, admissionv1.Update),
		}}
		return nil
	}); err != nil {
		return err
	}
	validating := &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "sites"}}
	_, err := controllerutil.CreateOrUpdate(ctx, c, validating, func() error {
		validating.Webhooks = []admissionv1.ValidatingWebhook{{
			Name: "validate.web.example.com", AdmissionReviewVersions: []string{"v1"}, SideEffects: &sideEffects,
			ClientConfig: leadsTo("/validate-web-example-com-v1-site"), Rules: rules(admissionv1.Create, admissionv1.Update, admissionv1.Delete),
		}}
		return nil
	})
	return err
}

func installAPIService(ctx context.Context, c client.Client, caBundle []byte) error {
	service := &unstructured.Unstructured{}
	service.SetAPIVersion("apiregistration.k8s.io/v1")
	service.SetKind("APIService")
	service.SetName("v1.clock.example.com")
	_, err := controllerutil.CreateOrUpdate(ctx, c, service, func() error {
		service.Object["spec"] = map[string]any{
			"group": "clock.example.com", "version": "v1", "groupPriorityMinimum": int64(100), "versionPriority": int64(100), "caBundle": encode(caBundle),
			"service": map[string]any{"namespace": "operator", "name": "operator", "port": int64(8443)},
		}
		return nil
	})
	return err
}

func ptr[T any](value T) *T { return &value }
