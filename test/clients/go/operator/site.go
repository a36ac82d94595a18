package main

import (
	"encoding/json"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/conversion"
)

var (
	v1    = schema.GroupVersion{Group: "web.example.com", Version: "v1"}
	v1old = schema.GroupVersion{Group: "web.example.com", Version: "v1beta1"}
)

// Site is what the operator looks after; this version is stored.
type Site struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              SiteSpec   `json:"spec,omitempty"`
	Status            SiteStatus `json:"status,omitempty"`
}

type SiteSpec struct {
	Pages []Page `json:"pages,omitempty"`
	Theme string `json:"theme,omitempty"`
}

type Page struct {
	Name string `json:"name"`
	Text string `json:"text,omitempty"`
}

type SiteStatus struct {
	ObservedGeneration int64              `json:"observedGeneration,omitempty"`
	PageCount          int                `json:"pageCount,omitempty"`
	Conditions         []metav1.Condition `json:"conditions,omitempty"`
}

type SiteList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Site `json:"items"`
}

// OldSite is the version before: its pages are one text, "name=text" lines.
type OldSite struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              OldSiteSpec `json:"spec,omitempty"`
	Status            SiteStatus  `json:"status,omitempty"`
}

type OldSiteSpec struct {
	Pages string `json:"pages,omitempty"`
	Theme string `json:"theme,omitempty"`
}

type OldSiteList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []OldSite `json:"items"`
}

func addSites(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(v1, &Site{}, &SiteList{})
	metav1.AddToGroupVersion(scheme, v1)
	scheme.AddKnownTypeWithName(v1old.WithKind("Site"), &OldSite{})
	scheme.AddKnownTypeWithName(v1old.WithKind("SiteList"), &OldSiteList{})
	metav1.AddToGroupVersion(scheme, v1old)
	return nil
}

func (s *Site) Hub() {}

func (s *OldSite) ConvertTo(hub conversion.Hub) error {
	site := hub.(*Site)
	site.ObjectMeta, site.Status = s.ObjectMeta, s.Status
	site.Spec = SiteSpec{Theme: s.Spec.Theme}
	for _, line := range strings.Split(s.Spec.Pages, "\n") {
		if name, text, found := strings.Cut(line, "="); found {
			site.Spec.Pages = append(site.Spec.Pages, Page{Name: name, Text: text})
		}
	}
	return nil
}

func (s *OldSite) ConvertFrom(hub conversion.Hub) error {
	site := hub.(*Site)
	s.ObjectMeta, s.Status = site.ObjectMeta, site.Status
	lines := []string{}
	for _, page := range site.Spec.Pages {
		lines = append(lines, page.Name+"="+page.Text)
	}
	s.Spec = OldSiteSpec{Theme: site.Spec.Theme, Pages: strings.Join(lines, "\n")}
	return nil
}

func (s *Site) DeepCopyObject() runtime.Object        { return copied(s, &Site{}) }
func (s *SiteList) DeepCopyObject() runtime.Object    { return copied(s, &SiteList{}) }
func (s *OldSite) DeepCopyObject() runtime.Object     { return copied(s, &OldSite{}) }
func (s *OldSiteList) DeepCopyObject() runtime.Object { return copied(s, &OldSiteList{}) }

// copied goes through JSON: there are no generated copies here.
func copied[T any](from, to *T) *T {
	text, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(text, to)
	}
	if err != nil {
		panic(err)
	}
	return to
}
