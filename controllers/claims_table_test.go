package controllers

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/internal/config"
)

// announced is a publication of example.com that has announced an id.
func announced(namespace, follows string) v1alpha1.MTASTSPublication {
	p := testPublication(namespace, follows)
	p.Spec.LastID, p.Spec.AnnouncedID = "20260301120000aaaaaaaa", "20260301120000aaaaaaaa"
	return p
}

func allowing(rules ...config.DomainRule) config.Operator {
	cfg := config.Default()
	cfg.Domains = rules
	return cfg
}

func rule(domain string, namespaces ...string) config.DomainRule {
	return config.DomainRule{Namespaces: namespaces, Allow: []string{domain}}
}

// verdict is a table's row of claims, to be compared.
type verdict struct {
	Winner, Frozen, Heir string
	Title                publication.Title
	Refused              map[string]string
}

func verdictOf(c claims) verdict {
	v := verdict{Title: c.title, Refused: map[string]string{}}
	if c.winner != nil {
		v.Winner = c.winner.Namespace + "/" + c.winner.Name
	}
	if c.frozen != nil {
		v.Frozen = c.frozen.reason
	}
	if c.heir != nil {
		v.Heir = c.heir.Namespace + "/" + c.heir.Name
	}
	for p, why := range c.refused {
		v.Refused[p.Namespace+"/"+p.Name] = why.reason
	}
	return v
}

func TestWhoseADomainIs(t *testing.T) {
	const conflicts, notAllowed = v1alpha1.ReasonDomainConflict, v1alpha1.ReasonDomainNotAllowed
	a, b := testPolicy("a", "p", 9), testPolicy("b", "p", 1)
	gone := testPolicy("a", "gone", 90)
	gone.DeletionTimestamp = new(metav1.NewTime(testNow))
	odd := testPolicy("a", "odd", 90)
	odd.Spec.MaxAgeSeconds = 5
	handed := announced("b", "p")
	handed.Annotations = map[string]string{v1alpha1.TransferToAnnotation: "a"}
	never := testPublication("a", "p")
	restored := announced("b", "p")
	restored.CreationTimestamp = metav1.NewTime(testNow)
	onlyB := allowing(rule("*", "b"))
	of := func(namespace string) *former { return &former{namespace, testNow.Add(time.Hour)} }
	there := &pointed{addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, off: "a"}
	at := func(p v1alpha1.MTASTSPolicy, targets ...string) v1alpha1.MTASTSPolicy {
		p.Spec.DNS.Targets = targets
		return p
	}
	type policies = []v1alpha1.MTASTSPolicy
	type publications = []v1alpha1.MTASTSPublication

	for name, tt := range map[string]struct {
		policies     policies
		publications publications
		grounds      grounds
		want         verdict
	}{
		// Nothing is published.
		"the only claim": {
			policies{a}, nil, grounds{}, verdict{Winner: "a/p"},
		},
		"neither of two namespaces, whichever is older": {
			policies{a, b}, nil, grounds{}, verdict{Refused: map[string]string{"a/p": conflicts, "b/p": conflicts}},
		},
		"the older of two in one namespace": {
			policies{testPolicy("a", "young", 1), testPolicy("a", "old", 2)},
			nil,
			grounds{},
			verdict{Winner: "a/old", Refused: map[string]string{"a/young": conflicts}},
		},
		"by name where both are of one age": {
			policies{testPolicy("a", "q", 1), testPolicy("a", "p", 1)},
			nil,
			grounds{},
			verdict{Winner: "a/p", Refused: map[string]string{"a/q": conflicts}},
		},
		"one beside another that may not claim": {
			policies{a, b},
			nil,
			grounds{cfg: onlyB},
			verdict{Winner: "b/p", Title: publication.ByRule, Refused: map[string]string{"a/p": notAllowed}},
		},
		"one beside another that is not valid": {
			policies{odd, b}, nil, grounds{}, verdict{Winner: "b/p", Refused: map[string]string{"a/odd": v1alpha1.ReasonInvalidPolicy}},
		},
		"one beside another that is being deleted": {
			policies{gone, b}, nil, grounds{}, verdict{Winner: "b/p"},
		},
		"none that may not claim": {
			policies{a}, nil, grounds{cfg: onlyB}, verdict{Refused: map[string]string{"a/p": notAllowed}},
		},
		"none that is being deleted": {policies{gone}, nil, grounds{}, verdict{}},
		"by rule only where nobody else may ever claim": {
			policies{b}, nil, grounds{cfg: allowing(rule(testDomain, "b"), rule("*", "ops"))}, verdict{Winner: "b/p"},
		},
		"neither of two that the rules allow": {
			policies{a, b},
			nil,
			grounds{cfg: allowing(rule("*", "a", "b"))},
			verdict{Refused: map[string]string{"a/p": conflicts, "b/p": conflicts}},
		},

		// A publication was seen to go.
		"who published last, under another name": {
			policies{testPolicy("a", "renamed", 0)}, nil, grounds{former: of("a")}, verdict{Winner: "a/renamed", Title: publication.ByHistory},
		},
		"who published last, beside an older claim": {
			policies{testPolicy("a", "again", 0), b},
			nil,
			grounds{former: of("a")},
			verdict{Winner: "a/again", Title: publication.ByHistory, Refused: map[string]string{"b/p": conflicts}},
		},
		"not the only claim, while another namespace published last": {
			policies{b}, nil, grounds{former: of("a")}, verdict{Title: publication.ByHistory, Refused: map[string]string{"b/p": conflicts}},
		},
		"whom a rule names, and not who published last and may no more": {
			policies{a, b},
			nil,
			grounds{cfg: onlyB, former: of("a")},
			verdict{Winner: "b/p", Title: publication.ByRule, Refused: map[string]string{"a/p": notAllowed}},
		},
		"whom a rule names, at once if it published last": {
			policies{b}, nil, grounds{cfg: onlyB, former: of("b")}, verdict{Winner: "b/p", Title: publication.ByHistory},
		},

		// Something is published.
		"the publication's own, though another is older": {
			policies{testPolicy("a", "old", 9), testPolicy("a", "own", 1)},
			publications{announced("a", "own")},
			grounds{},
			verdict{Winner: "a/own", Refused: map[string]string{"a/old": conflicts}},
		},
		"the next of the namespace when the publication's own is gone": {
			policies{testPolicy("a", "next", 1), gone}, publications{announced("a", "gone")}, grounds{}, verdict{Winner: "a/next"},
		},
		"none of another namespace, even when the publication's own is gone": {
			policies{b, gone}, publications{announced("a", "gone")}, grounds{}, verdict{Refused: map[string]string{"b/p": conflicts}},
		},
		"the incumbent, though another published before it": {
			policies{a, b},
			publications{announced("a", "p")},
			grounds{former: of("b")},
			verdict{Winner: "a/p", Refused: map[string]string{"b/p": conflicts}},
		},
		"the incumbent, though a rule is for another": {
			policies{a, b},
			publications{announced("a", "p")},
			grounds{cfg: onlyB},
			verdict{Winner: "a/p", Frozen: notAllowed, Refused: map[string]string{"b/p": conflicts}},
		},
		"the incumbent, frozen if it is no longer valid": {
			policies{odd}, publications{announced("a", "odd")}, grounds{}, verdict{Winner: "a/odd", Frozen: v1alpha1.ReasonInvalidPolicy},
		},
		"whom somebody's bare publication names": {
			policies{a, b},
			publications{{ObjectMeta: metav1.ObjectMeta{Namespace: "b", Name: testDomain}, Spec: v1alpha1.MTASTSPublicationSpec{Domain: testDomain}}},
			grounds{former: of("a")},
			verdict{Winner: "b/p", Refused: map[string]string{"a/p": conflicts}},
		},
		"who has announced something, though another publication is older": {
			policies{a, b}, publications{never, restored}, grounds{}, verdict{Winner: "b/p", Refused: map[string]string{"a/p": conflicts}},
		},
		"the incumbent, until it is handed over": {
			policies{a, b}, publications{handed}, grounds{}, verdict{Winner: "b/p", Heir: "a/p", Refused: map[string]string{"a/p": conflicts}},
		},
		"the incumbent, while something is in the way of the heir": {
			policies{a, b}, publications{handed}, grounds{cfg: onlyB}, verdict{Winner: "b/p", Refused: map[string]string{"a/p": notAllowed}},
		},

		// Nothing was announced yet.
		"who has announced nothing, while DNS points nowhere": {
			policies{a, at(b, "192.0.2.1")}, publications{never}, grounds{}, verdict{Winner: "a/p", Refused: map[string]string{"b/p": conflicts}},
		},
		"the other claim, once DNS points where that says": {
			policies{a, at(b, "192.0.2.1")},
			publications{never},
			grounds{host: there},
			verdict{Winner: "a/p", Heir: "b/p", Refused: map[string]string{"b/p": conflicts}},
		},
		"not the other claim, if it has no place to point at": {
			policies{a, b}, publications{never}, grounds{host: there}, verdict{Winner: "a/p", Refused: map[string]string{"b/p": conflicts}},
		},
		"not the other claim, if DNS points where both say": {
			policies{a, at(b, "192.0.2.1")}, publications{func() v1alpha1.MTASTSPublication {
				p := testPublication("a", "p")
				p.Spec.Delivery.DNS.Targets = []string{"192.0.2.1"}
				return p
			}()}, grounds{host: there}, verdict{Winner: "a/p", Refused: map[string]string{"b/p": conflicts}},
		},
		"neither of two other claims that DNS speaks for": {
			policies{a, at(b, "192.0.2.1"), at(testPolicy("c", "p", 0), "192.0.2.1")},
			publications{never},
			grounds{host: there},
			verdict{Winner: "a/p", Refused: map[string]string{"b/p": conflicts, "c/p": conflicts}},
		},
		"who has announced, wherever DNS points": {
			policies{a, at(b, "192.0.2.1")},
			publications{announced("a", "p")},
			grounds{host: there},
			verdict{Winner: "a/p", Refused: map[string]string{"b/p": conflicts}},
		},
		"whom the rules name since, where nothing was announced": {
			policies{a, b},
			publications{never},
			grounds{cfg: onlyB},
			verdict{Winner: "a/p", Frozen: notAllowed, Heir: "b/p", Refused: map[string]string{"b/p": conflicts}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.grounds.cfg.Kind == "" {
				tt.grounds.cfg = config.Default()
			}
			if tt.want.Refused == nil {
				tt.want.Refused = map[string]string{}
			}
			if diff := cmp.Diff(tt.want, verdictOf(judge(tt.policies, tt.publications, tt.grounds))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestNobodyGetsADomainWithoutATitle goes through all combinations of claims, publications, history, rules and DNS.
func TestNobodyGetsADomainWithoutATitle(t *testing.T) {
	claimants := [][]string{{}, {"a"}, {"b"}, {"a", "b"}, {"b", "a"}, {"a", "b", "c"}}
	holders := []string{"", "a", "b"}
	rules := map[string]config.Operator{
		"none": config.Default(), "all": allowing(rule("*", "*")), "a": allowing(rule("*", "a")),
		"b": allowing(rule("*", "b")), "a and b": allowing(rule("*", "a"), rule("*", "b")), "nobody": allowing(rule("example.net", "a")),
	}
	rows := 0
	for _, names := range claimants {
		for _, holder := range holders {
			for _, hasAnnounced := range []bool{false, true} {
				for _, last := range holders {
					for ruled, cfg := range rules {
						for _, points := range []bool{false, true} {
							rows++
							row := fmt.Sprintf("claims %v, published from %q (announced %v), last from %q, rules for %s, DNS points at b: %v", names, holder, hasAnnounced, last, ruled, points)
							checkRow(t, row, names, holder, hasAnnounced, last, cfg, points)
						}
					}
				}
			}
		}
	}
	if rows < 1000 {
		t.Errorf("only %d rows", rows)
	}
}

func checkRow(t *testing.T, row string, names []string, holder string, hasAnnounced bool, last string, cfg config.Operator, points bool) {
	t.Helper()
	g := grounds{cfg: cfg}
	if last != "" {
		g.former = &former{last, testNow.Add(time.Hour)}
	}
	if points {
		g.host = &pointed{addresses: []netip.Addr{netip.MustParseAddr("192.0.2.2")}, off: holder}
	}
	var publications []v1alpha1.MTASTSPublication
	if holder != "" {
		p := testPublication(holder, "p")
		if hasAnnounced {
			p = announced(holder, "p")
		}
		publications = append(publications, p)
	}
	var policies []v1alpha1.MTASTSPolicy
	var allowed []string
	for i, namespace := range names {
		p := testPolicy(namespace, "p", 10-i)
		p.Spec.DNS.Targets = []string{map[string]string{"a": "192.0.2.1", "b": "192.0.2.2", "c": "192.0.2.3"}[namespace]}
		policies = append(policies, p)
		if cfg.MayClaim(namespace, testDomain) {
			allowed = append(allowed, namespace)
		}
	}
	c := judge(policies, publications, g)
	winner, heir := "", ""
	if c.winner != nil {
		winner = c.winner.Namespace
	}
	if c.heir != nil {
		heir = c.heir.Namespace
	}
	sole, _ := cfg.SoleClaimant(testDomain)
	switch {
	case len(c.refused)+len(winner) != len(names): // names have one letter
		t.Errorf("%s: %d are refused, and %q wins", row, len(c.refused), winner)
	case holder != "":
		if winner != "" && winner != holder {
			t.Errorf("%s: %s wins", row, winner)
		}
		lapses := !hasAnnounced && slices.Contains(allowed, heir) && (heir == sole || (heir == "b" && points))
		if heir != "" && !lapses {
			t.Errorf("%s: %s inherits", row, heir)
		}
	case winner == "":
		entitled := last == "" && (len(allowed) == 1 || slices.Contains(allowed, sole))
		if entitled || (cfg.MayClaim(last, testDomain) && slices.Contains(allowed, last)) {
			t.Errorf("%s: nobody wins", row)
		}
	case !slices.Contains(allowed, winner), len(allowed) > 1 && winner != last, last != "" && last != winner && cfg.MayClaim(last, testDomain):
		t.Errorf("%s: %s wins", row, winner)
	case (c.title == publication.ByHistory) != (last == winner), c.title == publication.ByRule && sole != winner:
		t.Errorf("%s: %s wins by %q", row, winner, c.title)
	}
}

func TestARefusedClaimIsToldWhatDecides(t *testing.T) {
	a, b := testPolicy("a", "p", 9), testPolicy("b", "p", 1)
	softer := testPolicy("a", "softer", 1)
	softer.Spec.Mode, softer.Spec.MX = v1alpha1.ModeTesting, []string{"mx7.example.com", "mx8.example.com"}
	pointing := testPolicy("b", "p", 1)
	pointing.Spec.DNS.Targets = []string{"192.0.2.1"}
	word := `echo '{"apiVersion":"mtasts.dev/v1alpha1","kind":"MTASTSPublication","metadata":{"namespace":"b","name":"example.com"},"spec":{"domain":"example.com"}}' | kubectl create -f -`
	for name, tt := range map[string]struct {
		policies     []v1alpha1.MTASTSPolicy
		publications []v1alpha1.MTASTSPublication
		former       *former
		want         []string
	}{
		"published elsewhere": {
			[]v1alpha1.MTASTSPolicy{b},
			[]v1alpha1.MTASTSPublication{announced("a", "p")},
			nil,
			[]string{"kubectl -n a annotate --overwrite mtastspublication example.com mtasts.dev/transfer-to=b"},
		},
		"published elsewhere, with nothing to show": {
			[]v1alpha1.MTASTSPolicy{pointing},
			[]v1alpha1.MTASTSPublication{testPublication("a", "p")},
			nil,
			[]string{"if DNS answers 192.0.2.1 for mta-sts.example.com"},
		},
		"several claims":           {[]v1alpha1.MTASTSPolicy{a, b}, nil, nil, []string{"claimed from namespaces a, b", word}},
		"published last elsewhere": {[]v1alpha1.MTASTSPolicy{b}, nil, &former{"a", testNow}, []string{"last published from namespace a", testNow.Format(time.RFC3339), word}},
		"two of one namespace": {
			[]v1alpha1.MTASTSPolicy{a, softer},
			[]v1alpha1.MTASTSPublication{announced("a", "p")},
			nil,
			[]string{"MTASTSPolicy a/p already publishes example.com", "mode testing and mx mx7.example.com, mx8.example.com", "leaves mode enforce"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := judge(tt.policies, tt.publications, grounds{cfg: config.Default(), former: tt.former})
			for p, why := range c.refused {
				if len(c.refused) > 1 && p.Namespace == "a" {
					continue
				}
				for _, want := range tt.want {
					if !strings.Contains(why.message, want) {
						t.Errorf("message %q does not contain %q", why.message, want)
					}
				}
				if n := strings.Count(why.message, "kubectl"); n > 1 {
					t.Errorf("message %q has %d commands", why.message, n)
				}
			}
		})
	}
}

func TestADomainIsNotHandedOverOntoAnotherPublication(t *testing.T) {
	incumbent, there := announced("old", "p"), announced("new", "p")
	incumbent.Annotations = map[string]string{v1alpha1.TransferToAnnotation: "new"}
	there.CreationTimestamp = metav1.NewTime(incumbent.CreationTimestamp.Add(time.Hour))
	for lastID, heir := range map[string]bool{incumbent.Spec.LastID: true, "20260201120000bbbbbbbb": false} {
		there.Spec.LastID = lastID
		c := judge([]v1alpha1.MTASTSPolicy{testPolicy("new", "p", 1)}, []v1alpha1.MTASTSPublication{incumbent, there}, grounds{cfg: config.Default()})
		if (c.heir != nil) != heir {
			t.Errorf("with last id %s there the heir is %v", lastID, c.heir)
		}
		for _, why := range c.refused {
			if want := "kubectl -n new delete mtastspublication example.com"; !heir && !strings.Contains(why.message, want) {
				t.Errorf("message %q does not contain %q", why.message, want)
			}
		}
	}
}
