package controllers

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
)

// anIngress was made for a class, "" for the cluster's default class, and answers at an address.
func anIngress(name, class, address string, made time.Time) *networkingv1.Ingress {
	o := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(made)}}
	if class != "" {
		o.Annotations = map[string]string{v1alpha1.IngressClassAnnotation: class}
	}
	if address != "" {
		o.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{IP: address}}
	}
	return o
}

func TestTheWantedWayIsMadeBesideTheFormerOne(t *testing.T) {
	first, second := resources.IngressNames("example.com")[0], resources.IngressNames("example.com")[1]
	nginx := anIngress(first, "nginx", "192.0.2.1", testNow)
	traefik := anIngress(second, "traefik", "192.0.2.2", testNow.Add(time.Hour))
	byDefault := anIngress(first, "", "192.0.2.1", testNow)
	type is struct {
		Wanted, Make    string
		Former, Surplus []string
	}
	for name, tt := range map[string]struct {
		exposure v1alpha1.ExposureType
		class    string
		have     [2]*networkingv1.Ingress
		written  []string
		want     is
	}{
		"nothing is there yet":                            {class: "nginx", want: is{Make: first}},
		"the wanted one is there":                         {class: "nginx", have: [2]*networkingv1.Ingress{nginx}, want: is{Wanted: first, Make: first}},
		"another class is wanted":                         {class: "traefik", have: [2]*networkingv1.Ingress{nginx}, want: is{Make: second, Former: []string{first}}},
		"both are there":                                  {class: "traefik", have: [2]*networkingv1.Ingress{nginx, traefik}, want: is{Wanted: second, Make: second, Former: []string{first}}},
		"the former one is gone":                          {class: "traefik", have: [2]*networkingv1.Ingress{nil, traefik}, want: is{Wanted: second, Make: second}},
		"and back before that":                            {class: "nginx", have: [2]*networkingv1.Ingress{nginx, traefik}, want: is{Wanted: first, Make: first, Former: []string{second}}},
		"and back after that":                             {class: "nginx", have: [2]*networkingv1.Ingress{nil, traefik}, want: is{Make: first, Former: []string{second}}},
		"the default class is another wish":               {class: "nginx", have: [2]*networkingv1.Ingress{byDefault}, want: is{Make: second, Former: []string{first}}},
		"the default class is what it was":                {have: [2]*networkingv1.Ingress{byDefault}, want: is{Wanted: first, Make: first}},
		"a third class while DNS leads to the first":      {class: "contour", have: [2]*networkingv1.Ingress{nginx, traefik}, written: []string{"192.0.2.1"}, want: is{Former: []string{first}, Surplus: []string{second}}},
		"a third class while DNS leads to the second":     {class: "contour", have: [2]*networkingv1.Ingress{nginx, traefik}, written: []string{"192.0.2.2"}, want: is{Former: []string{second}, Surplus: []string{first}}},
		"a third class, and nobody knows where DNS leads": {class: "contour", have: [2]*networkingv1.Ingress{nginx, traefik}, want: is{Former: []string{first, second}}},
		"a route of one's own":                            {exposure: v1alpha1.ExposureNone, have: [2]*networkingv1.Ingress{nginx, traefik}, want: is{Former: []string{first, second}}},
		"a route of one's own from the beginning":         {exposure: v1alpha1.ExposureNone},
	} {
		t.Run(name, func(t *testing.T) {
			settings := resources.Settings{Exposure: v1alpha1.ExposureIngress}
			if tt.exposure != "" {
				settings.Exposure = tt.exposure
			}
			if tt.class != "" {
				settings.ClassName = &tt.class
			}
			w := waysOf("example.com", tt.have, settings, tt.written)
			got := is{Make: w.ingressName}
			if w.ingress != nil {
				got.Wanted = w.ingress.Name
			}
			for _, o := range w.former {
				got.Former = append(got.Former, o.Name)
			}
			if w.surplus != nil {
				got.Surplus = []string{w.surplus.Name}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("ways (-want +got):\n%s", diff)
			}
		})
	}
}
